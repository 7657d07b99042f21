package policies

import (
	"maps"
	"slices"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// reach is the calls that a rule is about.
type reach struct {
	rule    *config.Rule
	index   int
	match   *exception // what it matches, compiled as an exception is
	except  []*exception
	regions []region // whose union it matches
}

// newReach is nil for a rule whose lists are too long, or that is wrong in another way.
func newReach(r *config.Rule, index int) *reach {
	m := &r.Match
	match, err := compileExceptions(config.Exceptions{
		{Service: m.Service, Method: m.Method, Caller: m.Caller, Peer: m.Peer, Upstream: m.Upstream},
	})
	if err != nil || len(match) == 0 {
		return nil
	}
	s := &reach{rule: r, index: index, match: match[0]}
	if s.except, err = compileExceptions(m.Except); err != nil {
		return nil
	}
	all := forms(tieRule{rule: r})
	if len(all) == mostForms {
		return nil
	}
	for i := range all {
		s.regions = append(s.regions, all[i].region())
	}
	return s
}

func (s *reach) isEmpty() bool {
	return len(s.except) > 0 && !slices.ContainsFunc(s.regions, func(g region) bool { return !leaveOut(s.except, &g) })
}

// within reports whether the rule is about no call that w is not about.
func (s *reach) within(w *reach) bool {
	if s.rule.ClientSide() != w.rule.ClientSide() {
		return false
	}
	for i := range s.regions {
		g := &s.regions[i]
		if leaveOut(s.except, g) {
			continue
		}
		if !w.match.coversNames(g) || len(w.match.peers) > 0 && (!g.peer.IsValid() || !covered(g.peer, w.match.peers)) {
			return false
		}
		for _, x := range w.except {
			if x.overlaps(g) && !slices.ContainsFunc(s.except, func(y *exception) bool { return y.coversException(x, g) }) {
				return false
			}
		}
	}
	return true
}

// overlaps reports whether the exception may leave out some call of a region.
func (x *exception) overlaps(of *region) bool {
	some := func(patterns config.Patterns, text string) bool {
		return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return wildcard.Overlap(p, text) })
	}
	c := x.config
	if !some(c.Service, of.service) || !some(c.Method, of.method) || !some(c.Caller, of.caller) || !some(c.Upstream, of.upstream) {
		return false
	}
	if len(x.peers) == 0 || !of.peer.IsValid() {
		return true
	}
	for _, p := range x.peers {
		if p.Overlaps(of.peer) {
			return true
		}
	}
	return false
}

// coversException reports whether the exception leaves out all calls of a region that o leaves out.
func (x *exception) coversException(o *exception, of *region) bool {
	all := func(wide, narrow config.Patterns, text string) bool {
		if len(wide) == 0 || wildcard.MatchAny(wide, text) {
			return true
		}
		return len(narrow) > 0 && !slices.ContainsFunc(narrow, func(p string) bool { return !wildcard.MatchAny(wide, p) })
	}
	a, b := x.config, o.config
	if !all(a.Service, b.Service, of.service) || !all(a.Method, b.Method, of.method) || !all(a.Caller, b.Caller, of.caller) ||
		!all(a.Upstream, b.Upstream, of.upstream) {
		return false
	}
	if len(x.peers) == 0 || of.peer.IsValid() && covered(of.peer, x.peers) {
		return true
	}
	for _, p := range o.peers {
		if !covered(p, x.peers) {
			return false
		}
	}
	return len(o.peers) > 0
}

// pointlessBeside warns of the kinds of the rule that never refuse what w lets through.
func (s *reach) pointlessBeside(w *reach) (problems config.Problems) {
	a, b := s.rule, w.rule
	outlives := b.Expires.IsZero() || !a.Expires.IsZero() && !b.Expires.Before(a.Expires)
	if s == w || b.EnforceShare != nil || !outlives || !s.within(w) {
		return nil
	}
	same := w.within(s)
	for _, kind := range []config.Kind{config.KindRateLimit, config.KindConcurrency, config.KindAccess} {
		copied := same && isCopy(a, b, kind)
		if copied && s.index < w.index && a.EnforceShare == nil && a.Expires.Equal(b.Expires) {
			continue // it is told of the other one
		}
		if copied || s.isLooser(w, kind) {
			problems = append(problems, pointless(a, b, kind, same, copied))
		}
	}
	return problems
}

// isLooser reports whether a kind of the rule, all of whose calls w is about, refuses none that w lets through.
func (s *reach) isLooser(w *reach, kind config.Kind) bool {
	a, b := s.rule, w.rule
	switch kind {
	case config.KindRateLimit:
		return a.RateLimit != nil && b.RateLimit != nil && looserRate(a, b)
	case config.KindConcurrency:
		// A call that waits in the queue of w may hold a place of the rule.
		return a.Concurrency != nil && b.Concurrency != nil && a.Concurrency.Adaptive == nil && b.Concurrency.Adaptive == nil &&
			b.Concurrency.Max > 0 && a.Concurrency.Max >= b.Concurrency.Max+b.Concurrency.Queue
	default:
		return a.Access != nil && b.Access != nil && s.allowsAllOf(w)
	}
}

// allowsAllOf reports whether the access list of the rule allows all that w allows of its calls.
func (s *reach) allowsAllOf(w *reach) bool {
	ours, theirs := s.rule.Access, w.rule.Access
	allowed := theirs.Allow
	if len(allowed) == 0 {
		allowed = []config.AccessEntry{{}}
	}
	for i := range s.regions {
		for _, e := range allowed {
			for _, caller := range anyOf(e.Caller) {
				for _, method := range anyOf(e.Methods) {
					if !s.allowsRegion(ours, theirs, &s.regions[i], caller, method) {
						return false
					}
				}
			}
		}
	}
	return true
}

func anyOf(patterns config.Patterns) config.Patterns {
	if len(patterns) == 0 {
		return config.Patterns{"*"}
	}
	return patterns
}

// allowsRegion is allowsAllOf for the calls of a region that an entry of theirs allows.
func (s *reach) allowsRegion(ours, theirs *config.Access, of *region, caller, method string) bool {
	if !wildcard.Overlap(of.caller, caller) || !wildcard.Overlap(of.method, method) {
		return true
	}
	caller, wholeCaller := wildcard.Common(of.caller, caller)
	method, wholeMethod := wildcard.Common(of.method, method)
	switch {
	case entriesCover(theirs.Deny, caller, method):
		return true
	case !wholeCaller || !wholeMethod || len(ours.Allow) > 0 && !entriesCover(ours.Allow, caller, method):
		return false
	}
	for _, e := range ours.Deny {
		for _, c := range anyOf(e.Caller) {
			for _, m := range anyOf(e.Methods) {
				if !wildcard.Overlap(c, caller) || !wildcard.Overlap(m, method) {
					continue
				}
				deniedCaller, whole := wildcard.Common(c, caller)
				deniedMethod, wholeToo := wildcard.Common(m, method)
				if !whole || !wholeToo || !entriesCover(theirs.Deny, deniedCaller, deniedMethod) {
					return false
				}
			}
		}
	}
	return true
}

func entriesCover(entries []config.AccessEntry, caller, method string) bool {
	return slices.ContainsFunc(entries, func(e config.AccessEntry) bool {
		return wildcard.MatchAny(e.Caller, caller) && wildcard.MatchAny(anyOf(e.Methods), method)
	})
}

// wideRules finds the rules that may be about all calls of another one, by the service and the caller that they name
// exactly; "" is for those that name none.
type wideRules map[[2]string][]*reach

const mostPlacesOfOneRule = 64

func (x wideRules) add(w *reach) {
	places := func(globs []glob, exact map[string]bool) []string {
		list := slices.Collect(maps.Keys(exact))
		for i := range globs {
			if !globs[i].exact {
				return []string{""}
			}
			list = append(list, globs[i].text)
		}
		if len(list) == 0 || len(list) > mostPlacesOfOneRule {
			return []string{""}
		}
		return list
	}
	for _, service := range places(w.match.services, nil) {
		for _, caller := range places(w.match.callers.globs, w.match.callers.exact) {
			key := [2]string{service, caller}
			x[key] = append(x[key], w)
		}
	}
}

func (x wideRules) near(s *reach) (list []*reach) {
	places := func(text string) []string {
		if wildcard.IsExact(text) {
			return []string{"", text}
		}
		return []string{""}
	}
	for _, service := range places(s.regions[0].service) {
		for _, caller := range places(s.regions[0].caller) {
			list = append(list, x[[2]string{service, caller}]...)
		}
	}
	return list
}
