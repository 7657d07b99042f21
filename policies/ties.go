package policies

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// maxTies bounds the problems that ValidateTies returns.
const maxTies = 100

// ValidateTies finds pairs of enforced rules of which neither is more specific, though only one of them can win for a
// call that both match: two timeouts, or two breakers, for the same calls. Rules for outgoing and for incoming calls never
// tie. It returns the first hundred.
func ValidateTies(rules []config.Rule) config.Problems {
	groups := grouped(rules)
	type pair struct{ a, b int }
	var problems config.Problems
	found := make(map[pair]bool)
	for _, key := range slices.Sorted(maps.Keys(groups)) {
		for a, b := range overlapping(groups[key]) {
			if a.index > b.index {
				a, b = b, a
			}
			kind, ok := common(a.kinds, b.kinds)
			if !ok || a.index == b.index || found[pair{a.index, b.index}] || a.apart(b) {
				continue
			}
			found[pair{a.index, b.index}] = true
			problems = append(problems, tie(a.rule, b.rule, kind))
			if len(problems) == maxTies {
				return problems.Sort()
			}
		}
	}
	return problems.Sort()
}

// grouped returns the forms of the rules with a kind of which only one rule wins, by key.
func grouped(rules []config.Rule) map[string][]tieRule {
	groups := make(map[string][]tieRule)
	now := time.Now()
	for i := range rules {
		r := &rules[i]
		if r.Mode == config.Off || r.Mode == config.Shadow || r.Expired(now) {
			continue
		}
		if kinds := kindsWithOneWinner(r); len(kinds) > 0 {
			except, err := compileExceptions(r.Match.Except)
			if err != nil {
				continue // a bad network has its own problem
			}
			for _, form := range forms(tieRule{rule: r, index: i, kinds: kinds, except: except}) {
				key := form.key()
				groups[key] = append(groups[key], form)
			}
		}
	}
	return groups
}

func tie(a, b *config.Rule, kind config.Kind) config.Problem {
	return b.Position(string(kind)).Problem(b.Path()+"."+string(kind), fmt.Sprintf("%s of rule %s and of rule %s are equally specific "+
		"and match the same calls: narrow one, exclude calls from one with match.except, or set one to mode: shadow", kind, b.Name, named(a, kind))).Coded(lint.Tie)
}

func kindsWithOneWinner(r *config.Rule) []config.Kind {
	return slices.DeleteFunc(r.Kinds(), func(k config.Kind) bool { return !k.OneWins() })
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
	index                             int
	kinds                             []config.Kind
	method, service, caller, upstream *glob // nil: absent
	claims                            claimGlobs
	peer                              netip.Prefix
	except                            []*exception
}

// apart reports whether exceptions exclude all calls that both match; they overlap.
func (t *tieRule) apart(o *tieRule) bool {
	if len(t.except)+len(o.except) == 0 {
		return false
	}
	both := t.common(o)
	return leaveOut(slices.Concat(t.except, o.except), &both)
}

// maxForms bounds the cost of a rule with long lists: ties of further forms are not found, and decided by name.
const maxForms = 4096

// forms returns all combinations of the elements of a rule's lists.
func forms(whole tieRule) []tieRule {
	r, list := whole.rule, []tieRule{whole}
	list = expand(list, compileGlobs(r.Match.Method), func(t *tieRule, g *glob) { t.method = g })
	list = expand(list, compileGlobs(r.Match.Service), func(t *tieRule, g *glob) { t.service = g })
	list = expand(list, compileGlobs(r.Match.Caller), func(t *tieRule, g *glob) { t.caller = g })
	list = expand(list, compileGlobs(r.Match.Upstream), func(t *tieRule, g *glob) { t.upstream = g })
	for _, name := range r.Match.Identity.Names() {
		list = expand(list, compileGlobs(r.Match.Identity[name]), func(t *tieRule, g *glob) { t.claims = t.claims.with(name, g) })
	}
	networks, _ := parseNetworks(r.Match.Peer) // a bad network has its own problem
	return expand(list, networks, func(t *tieRule, n *netip.Prefix) { t.peer = *n })
}

func expand[E any](list []tieRule, elements []E, set func(*tieRule, *E)) []tieRule {
	if len(elements) == 0 {
		return list
	}
	expanded := make([]tieRule, 0, min(len(list)*len(elements), maxForms))
	for _, t := range list {
		for i := range elements {
			if len(expanded) == maxForms {
				return expanded
			}
			set(&t, &elements[i])
			expanded = append(expanded, t)
		}
	}
	return expanded
}

// region returns what the form matches.
func (t *tieRule) region() region {
	text := func(g *glob) string {
		if g == nil {
			return "*"
		}
		return g.text
	}
	return region{
		service: text(t.service), method: text(t.method), caller: text(t.caller), upstream: text(t.upstream), claims: t.claims.texts(), peer: t.peer,
	}
}

// common returns calls that both forms match; their keys are equal, and they overlap.
func (t *tieRule) common(o *tieRule) region {
	a, b := t.region(), o.region()
	both := func(x, y string) string {
		pattern, _ := wildcard.Common(x, y)
		return pattern
	}
	claims := maps.Clone(a.claims)
	for name, pattern := range b.claims {
		if ours, ok := claims[name]; ok {
			pattern = both(ours, pattern)
		}
		claims[name] = pattern
	}
	return region{
		service: both(a.service, b.service), method: both(a.method, b.method),
		caller: both(a.caller, b.caller), upstream: both(a.upstream, b.upstream), claims: claims, peer: t.peer,
	}
}

// key returns the same for all forms that can tie: equally narrow in every field, with the same exact names.
func (t *tieRule) key() string {
	var key []byte
	for _, g := range t.fields() {
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
	key = append(strconv.AppendInt(key, int64(t.claims.narrowness()), 10), 0)
	return string(append(key, t.peer.String()...))
}

func (t *tieRule) fields() [4]*glob { return [...]*glob{t.method, t.service, t.caller, t.upstream} }

// overlapping yields the pairs of a group that a common call can match; the forms of a group have one key.
func overlapping(group []tieRule) iter.Seq2[*tieRule, *tieRule] {
	return func(yield func(a, b *tieRule) bool) {
		for a, b := range candidatePairs(group) {
			if a.overlaps(b) && !yield(a, b) {
				return
			}
		}
	}
}

// candidatePairs yields the pairs of a group that can overlap: comparing all would be quadratic in large sets with globs of
// one length.
func candidatePairs(group []tieRule) iter.Seq2[*tieRule, *tieRule] {
	return func(yield func(a, b *tieRule) bool) {
		end := mostSelective(group)
		ordered := make([]ended, len(group))
		for i := range group {
			ordered[i] = ended{end: end(&group[i]), tieRule: &group[i]}
		}
		slices.SortStableFunc(ordered, func(a, b ended) int { return cmp.Compare(a.end, b.end) })
		// In this order, all texts with a prefix directly follow it. open holds the prefixes of the current text.
		var open []ended
		for _, o := range ordered {
			for len(open) > 0 && !strings.HasPrefix(o.end, open[len(open)-1].end) {
				open = open[:len(open)-1]
			}
			for _, earlier := range open {
				if !yield(earlier.tieRule, o.tieRule) {
					return
				}
			}
			open = append(open, o)
		}
	}
}

// ended is a form with the fixed end of one of its globs, as a prefix.
type ended struct {
	end string
	*tieRule
}

// mostSelective returns the end of the glob that has the most different values in the group. Of two globs that overlap, the
// prefix of one begins with the prefix of the other, and likewise at the end.
func mostSelective(group []tieRule) func(*tieRule) string {
	best, most := func(*tieRule) string { return "" }, 1
	for i, g := range group[0].fields() {
		if g == nil || g.exact {
			continue
		}
		for _, end := range []func(*tieRule) string{
			func(t *tieRule) string { return t.fields()[i].prefix },
			func(t *tieRule) string { return reversed(t.fields()[i].suffix) },
		} {
			different := make(map[string]bool)
			for j := range group {
				different[end(&group[j])] = true
			}
			if len(different) > most {
				best, most = end, len(different)
			}
		}
	}
	return best
}

func reversed(s string) string {
	b := []byte(s)
	slices.Reverse(b)
	return string(b)
}

// overlaps reports whether a call can match both; the keys are equal.
func (t *tieRule) overlaps(o *tieRule) bool {
	others := o.fields()
	for i, g := range t.fields() {
		if g != nil && !g.overlap(others[i]) {
			return false
		}
	}
	return t.claims.overlap(o.claims)
}
