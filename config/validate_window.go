package config

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// subjects are the services that a rule is about, or the upstreams of a client-side one, told apart from services.
func subjects(r *Rule) Patterns {
	if !r.ClientSide() {
		return r.Match.Service
	}
	named := make(Patterns, len(r.Match.Upstream))
	for i, name := range r.Match.Upstream {
		named[i] = "upstream " + name
	}
	return named
}

// window warns of breakers that never see a timeout: an outcome counts in the part of the window in which its call, or its
// attempt, began, and is dropped when that part has been forgotten meanwhile. A part is a tenth of the window. Breakers that
// count slow calls go by the end of a call.
func (p *pairs) window(r *Rule, whole, try longest) {
	b := r.CircuitBreaker
	if b.FailureRate == 0 || b.SlowCallRate > 0 || !slices.Contains(b.FailOn, code.DeadlineExceeded.String()) {
		return
	}
	bound, of, one := whole, "timeout of its calls", "a call"
	if try.of != nil && (whole.of == nil || try.Duration < whole.Duration) {
		bound, of, one = try, "perTryTimeout of its attempts", "an attempt"
	}
	if bound.of == nil || b.Window-b.Window/10 >= bound.Duration {
		return
	}
	p.rule(r, "circuitBreaker.window", "%s is too short for the %s (%s in %s): %s that times out is forgotten before it counts; "+
		"make window %s, say", b.Window, of, bound.Duration, where(bound.of, bound.path), one, 2*bound.Duration).Warning = true
}

// idle tells that a rule takes no part.
func (c *checker) idle(r *Rule) bool {
	return r.Mode == Off || !r.Expires.IsZero() && r.Expires.Before(c.now)
}

// narrowestOver is the narrowest of the rules that match every call that r matches; r itself rather than one that ties.
func narrowestOver(r *Rule, list []*Rule) *Rule {
	var best *Rule
	for _, t := range list {
		if t != r && !covers(&t.Match, &r.Match) {
			continue
		}
		if best == nil || t == r && compareNarrowness(&t.Match, &best.Match) == 0 || compareNarrowness(&t.Match, &best.Match) > 0 {
			best = t
		}
	}
	return best
}

// covers tells that whatever narrow matches, wide matches too.
func covers(wide, narrow *Match) bool {
	return len(wide.Except) == 0 && (len(wide.Upstream) > 0) == (len(narrow.Upstream) > 0) && coversPatterns(wide.Upstream, narrow.Upstream) &&
		coversPatterns(wide.Method, narrow.Method) && coversPatterns(wide.Service, narrow.Service) &&
		coversPatterns(wide.Caller, narrow.Caller) && coversPeers(wide.Peer, narrow.Peer)
}

// coversPatterns reports whether wide matches every text that narrow matches; no patterns match all.
func coversPatterns(wide, narrow Patterns) bool {
	if len(narrow) == 0 {
		narrow = Patterns{"*"}
	}
	return len(wide) == 0 || slices.Equal(wide, narrow) || allCovered(wide, narrow, wildcard.Covers)
}

// coversPeers is coversPatterns for networks.
func coversPeers(wide, narrow Patterns) bool {
	return len(wide) == 0 || len(narrow) > 0 && allCovered(wide, narrow, func(w, n string) bool {
		outer, err := netip.ParsePrefix(w)
		inner, err2 := netip.ParsePrefix(n)
		return err == nil && err2 == nil && outer.Bits() <= inner.Bits() && outer.Contains(inner.Addr())
	})
}

// allCovered reports whether each element of narrow is covered by one of wide.
func allCovered(wide, narrow Patterns, covers func(w, n string) bool) bool {
	for _, n := range narrow {
		if !slices.ContainsFunc(wide, func(w string) bool { return covers(w, n) }) {
			return false
		}
	}
	return true
}

// compareNarrowness is positive when a is narrower, in the order in which rules for one call are compared.
func compareNarrowness(a, b *Match) int {
	return cmp.Or(comparePatterns(a.Method, b.Method), comparePatterns(a.Service, b.Service),
		comparePatterns(a.Caller, b.Caller), cmp.Compare(len(a.Peer), len(b.Peer)), comparePatterns(a.Upstream, b.Upstream))
}

func comparePatterns(a, b Patterns) int { return cmp.Compare(narrowness(a), narrowness(b)) }

func narrowness(patterns Patterns) int {
	const exact = 1 << 20
	most := 0
	for _, p := range patterns {
		if !isGlob(p) {
			return exact
		}
		most = max(most, 1+len(strings.ReplaceAll(p, "*", "")))
	}
	return most
}

func isGlob(pattern string) bool { return !wildcard.IsExact(pattern) }
