package policies

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
)

// facts holds what a comparison of the rules of a snapshot with its methods and with one another has found.
type facts struct {
	idle       map[*rule]bool // matches nothing
	overridden map[ruleKind][]override
}

type ruleKind struct {
	rule *rule
	kind config.Kind
}

// override is a rule that wins over another one for calls of a method, or to an upstream.
type override struct {
	by   *rule
	what string
}

// newFacts compares the rules. Large sets are not compared to the end.
func newFacts(s *Snapshot) *facts {
	f := &facts{idle: make(map[*rule]bool), overridden: make(map[ruleKind][]override)}
	for _, r := range s.rules {
		f.idle[r] = s.neighbours.idle(r)
	}
	left := maxComparisons
	for _, t := range slices.SortedFunc(maps.Keys(s.guards), func(a, b Target) int { return cmp.Compare(a.String(), b.String()) }) {
		var rules []*rule
		for _, c := range s.guards[t].matching {
			rules = append(rules, c.rule)
		}
		f.compare(rules, strings.Replace(t.String(), "/", ".", 1), &left, func(r *rule) [2][]glob {
			return [2][]glob{matchingOf(r.methods, t.Method), matchingOf(r.services, t.Service)}
		})
	}
	for _, name := range s.neighbours.upstreams {
		rules := slices.DeleteFunc(slices.Clone(s.rules), func(r *rule) bool { return !r.clientSide() || !matchesAny(r.upstreams, name) })
		f.compare(rules, "upstream "+name, &left, func(r *rule) [2][]glob { return [2][]glob{r.methods, r.services} })
	}
	return f
}

// compare finds the rules that win over others.
func (f *facts) compare(rules []*rule, what string, left *int, names func(*rule) [2][]glob) {
	for _, kind := range config.Kinds() {
		if !kind.OneWins() {
			continue
		}
		var some []*rule
		for _, r := range rules {
			if r.enforced && slices.Contains(r.config.Kinds(), kind) {
				some = append(some, r)
			}
		}
		if *left -= len(some) * len(some); *left < 0 {
			return
		}
		for _, r := range some {
			for _, by := range some {
				if r != by && by.wins(&r.spec, names(by), names(r)) {
					key := ruleKind{r, kind}
					f.overridden[key] = append(f.overridden[key], override{by, what})
				}
			}
		}
	}
}

// matchingOf returns those of the patterns that match a text.
func matchingOf(globs []glob, text string) (list []glob) {
	for _, g := range globs {
		if g.matches(text) {
			list = append(list, g)
		}
	}
	return list
}

// status returns the status of some kinds of a rule, and the reason for it.
func (f *facts) status(r *rule, kinds []config.Kind, now time.Time) (status, detail string) {
	switch {
	case r.off:
		return StatusOff, ""
	case r.expired(now):
		return StatusExpired, ""
	}
	var broken, partly []string
	for _, kind := range kinds {
		if p := r.health[kind].Panic(); p != nil {
			b := r.brokenBy(kind, p)
			broken = append(broken, fmt.Sprintf("%s %s: %s", kind, b.Effect(), b.Panic))
		}
		if kind == config.KindShed && r.meter.cpu == nil {
			partly = append(partly, "shed "+unmeasured)
		}
		partly = append(partly, f.overrides(ruleKind{r, kind}, now)...)
	}
	if r.share < 1 {
		partly = append([]string{"for " + strings.Replace(r.shareText(), "%", " %", 1) + " of the callers"}, partly...)
	}
	switch {
	case len(broken) > 0:
		return StatusBroken, strings.Join(broken, "; ")
	case f.idle[r]:
		return StatusNothing, ""
	case !r.enforced:
		return StatusShadow, ""
	case len(partly) > 0:
		return StatusPartly, strings.Join(slices.Compact(partly), "; ")
	}
	return StatusEnforced, ""
}

// overrides describes the rules that win over a kind of a rule, and for which calls.
func (f *facts) overrides(of ruleKind, now time.Time) (texts []string) {
	var winners []*rule
	calls := make(map[*rule][]string)
	for _, o := range f.overridden[of] {
		if o.by.expired(now) || o.by.isBroken(of.kind) {
			continue
		}
		if calls[o.by] == nil {
			winners = append(winners, o.by)
		}
		calls[o.by] = append(calls[o.by], o.what)
	}
	for i, w := range winners {
		if i == maxListed {
			return append(texts, fmt.Sprintf("%d more", len(winners)-i))
		}
		texts = append(texts, "overridden by "+w.name+" for "+shortList(calls[w]))
	}
	return texts
}

// compareGlobs reports whether a text can match both lists. n is positive if a can be narrower for such a text.
func compareGlobs(a, b []glob) (n int, overlap bool) {
	return comparePatterns(a, b, func(x, y glob) bool { return x.overlap(&y) }, func(g glob) int { return g.narrowness })
}

func compareNetworks(a, b []netip.Prefix) (n int, overlap bool) {
	return comparePatterns(a, b, netip.Prefix.Overlaps, config.NetworkNarrowness)
}

func comparePatterns[T any](a, b []T, overlaps func(x, y T) bool, narrowness func(T) int) (n int, overlap bool) {
	if len(a) == 0 || len(b) == 0 {
		return cmp.Compare(len(a), len(b)), true
	}
	n = -1
	for _, x := range a {
		for _, y := range b {
			if overlaps(x, y) {
				n, overlap = max(n, cmp.Compare(narrowness(x), narrowness(y))), true
			}
		}
	}
	return n, overlap
}
