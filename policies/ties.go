package policies

import (
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/easymicro/easymicro/config"
)

// mostTies is the number of problems after which no more are looked for.
const mostTies = 100

// ValidateTies finds pairs of enforced rules of which neither is more specific, though only one of them can win for a
// call that both match: two timeouts, or two breakers, for the same calls.
func ValidateTies(rules []config.Rule) config.Problems {
	type pair struct{ a, b *config.Rule }
	var problems config.Problems
	groups := make(map[string][]tieRule)
	found := make(map[pair]bool)
	now := time.Now()
	for i := range rules {
		r := &rules[i]
		kinds := kindsWithOneWinner(r)
		if len(kinds) == 0 || r.Mode == config.Off || r.Mode == config.Shadow ||
			!r.Expires.IsZero() && !now.Before(r.Expires) {
			continue
		}
		for _, form := range forms(r) {
			key := form.key()
			for _, earlier := range groups[key] {
				if earlier.rule == r || found[pair{earlier.rule, r}] || !form.overlaps(earlier) {
					continue
				}
				kind, ok := common(kindsWithOneWinner(earlier.rule), kinds)
				if !ok {
					continue
				}
				found[pair{earlier.rule, r}] = true
				problems = append(problems, tie(earlier.rule, r, kind))
				if len(problems) >= mostTies {
					return problems
				}
			}
			groups[key] = append(groups[key], form)
		}
	}
	return problems
}

func tie(a, b *config.Rule, kind config.Kind) config.Problem {
	at := b.Position(string(kind))
	return config.Problem{
		File: at.File, Line: at.Line, Column: at.Column, Path: b.Path() + "." + string(kind),
		Message: fmt.Sprintf("%s of rule %s and of rule %s (%s) are equally specific and match the same calls: "+
			"make one narrower, or put one in mode: shadow", kind, b.Name, a.Name, a.Position(string(kind))),
	}
}

func kindsWithOneWinner(r *config.Rule) []config.Kind {
	return slices.DeleteFunc(r.Kinds(), func(k config.Kind) bool { return !oneWins(k) })
}

func common(a, b []config.Kind) (config.Kind, bool) {
	for _, k := range a {
		if slices.Contains(b, k) {
			return k, true
		}
	}
	return "", false
}

// tieRule is a rule with one element of each list of its match.
type tieRule struct {
	rule                              *config.Rule
	method, service, caller, upstream *glob // nil: absent
	peer                              netip.Prefix
}

// mostForms bounds what a rule with long lists costs: ties of what is behind are not found, and decided by name.
const mostForms = 4096

// forms are all combinations of the elements of a rule's lists.
func forms(r *config.Rule) []tieRule {
	list := []tieRule{{rule: r}}
	list = expand(list, r.Match.Method, func(t *tieRule, g *glob) { t.method = g })
	list = expand(list, r.Match.Service, func(t *tieRule, g *glob) { t.service = g })
	list = expand(list, r.Match.Caller, func(t *tieRule, g *glob) { t.caller = g })
	list = expand(list, r.Match.Upstream, func(t *tieRule, g *glob) { t.upstream = g })
	networks, err := parseNetworks(r.Match.Peer)
	if err != nil || len(networks) == 0 {
		return list // a bad network has its own problem
	}
	var expanded []tieRule
	for _, t := range list {
		for _, n := range networks {
			if len(expanded) == mostForms {
				return expanded
			}
			t.peer = n
			expanded = append(expanded, t)
		}
	}
	return expanded
}

func expand(list []tieRule, patterns []string, set func(*tieRule, *glob)) []tieRule {
	if len(patterns) == 0 {
		return list
	}
	globs := compileGlobs(patterns)
	expanded := make([]tieRule, 0, min(len(list)*len(globs), mostForms))
	for _, t := range list {
		for i := range globs {
			if len(expanded) == mostForms {
				return expanded
			}
			set(&t, &globs[i])
			expanded = append(expanded, t)
		}
	}
	return expanded
}

// key is the same for all forms that can tie: equally narrow in every field, with the same exact names.
func (t tieRule) key() string {
	var key []byte
	for _, g := range []*glob{t.method, t.service, t.caller, t.upstream} {
		switch {
		case g == nil:
			key = append(key, '-')
		case g.exact:
			key = append(append(key, '='), g.text...)
		default:
			key = strconv.AppendInt(append(key, '*'), int64(g.literal), 10)
		}
		key = append(key, 0)
	}
	return string(append(key, t.peer.String()...))
}

// overlaps tells whether a call can match both; the keys are equal.
func (t tieRule) overlaps(o tieRule) bool {
	for _, pair := range [][2]*glob{{t.method, o.method}, {t.service, o.service}, {t.caller, o.caller}, {t.upstream, o.upstream}} {
		if pair[0] != nil && !pair[0].overlap(pair[1]) {
			return false
		}
	}
	return true
}
