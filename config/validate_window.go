package config

import (
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

// idle reports whether a rule takes no part.
func (c *checker) idle(r *Rule) bool { return r.Mode == Off || r.Expired(c.now) }

// narrowestOver is the narrowest of the rules that match every call that r matches; r itself rather than one that ties.
func narrowestOver(r *Rule, list []*Rule) *Rule {
	var best *Rule
	var narrowest rank
	for _, t := range list {
		if t != r && !covers(&t.Match, &r.Match) {
			continue
		}
		least, _ := ranks(&t.Match, &r.Match)
		if c := least.compare(narrowest); best == nil || c > 0 || c == 0 && t == r {
			best, narrowest = t, least
		}
	}
	return best
}

// covers reports whether wide matches all calls that narrow matches.
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
	return len(wide) == 0 || len(narrow) > 0 && allCovered(wide, narrow, coversNetwork)
}

func coversNetwork(wide, narrow string) bool {
	w, err := netip.ParsePrefix(wide)
	n, err2 := netip.ParsePrefix(narrow)
	return err == nil && err2 == nil && w.Bits() <= n.Bits() && w.Contains(n.Addr())
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

// rank is how narrow a match is for a call, field by field, in the order in which rules for one call are compared.
type rank [5]int

func (a rank) compare(b rank) int { return slices.Compare(a[:], b[:]) }

// ranks are the least and the greatest rank that m may have for a call that another match has too: of a list that element
// counts which matched.
func ranks(m, other *Match) (least, most rank) {
	overlap := func(a, b string) bool { return coversNetwork(a, b) || coversNetwork(b, a) }
	for i, f := range [len(least)]struct {
		patterns, others, all Patterns
		narrowness            func(string) int
		covers, overlap       func(a, b string) bool
	}{
		{m.Method, other.Method, Patterns{"*"}, narrowness, wildcard.Covers, wildcard.Overlap},
		{m.Service, other.Service, Patterns{"*"}, narrowness, wildcard.Covers, wildcard.Overlap},
		{m.Caller, other.Caller, Patterns{"*"}, narrowness, wildcard.Covers, wildcard.Overlap},
		{m.Peer, other.Peer, Patterns{"0.0.0.0/0", "::/0"}, networkNarrowness, coversNetwork, overlap},
		{m.Upstream, other.Upstream, Patterns{"*"}, narrowness, wildcard.Covers, wildcard.Overlap},
	} {
		if len(f.others) == 0 {
			f.others = f.all
		}
		least[i] = exact
		same := slices.Equal(f.patterns, f.others)
		for j, o := range f.others {
			narrowest, patterns := 0, f.patterns // as absent ones are
			if same {
				// Nothing that covers o is narrower than o.
				patterns = patterns[j : j+1]
			}
			for _, p := range patterns {
				if f.covers(p, o) {
					narrowest = max(narrowest, f.narrowness(p))
				}
				if f.overlap(p, o) {
					most[i] = max(most[i], f.narrowness(p))
				}
			}
			least[i] = min(least[i], narrowest)
		}
	}
	return least, most
}

const exact = 1 << 20

func narrowness(pattern string) int {
	if !isGlob(pattern) {
		return exact
	}
	return 1 + len(strings.ReplaceAll(pattern, "*", ""))
}

func networkNarrowness(network string) int {
	switch p, err := netip.ParsePrefix(network); {
	case err != nil:
		return 0
	case p.IsSingleIP():
		return exact
	case p.Addr().Is4():
		return 1 + 96 + p.Bits()
	default:
		return 1 + p.Bits()
	}
}

func isGlob(pattern string) bool { return !wildcard.IsExact(pattern) }
