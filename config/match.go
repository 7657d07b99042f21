package config

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire/wildcard"
)

// Match selects calls: all of its fields must match; an absent field matches any call.
type Match struct {
	Service  Patterns   `yaml:"service" pattern:"glob" doc:"Name of the service."`
	Method   Patterns   `yaml:"method" pattern:"glob" doc:"Name of the method; needs service or upstream."`
	Caller   Patterns   `yaml:"caller" pattern:"callerGlob" doc:"The verified caller, or anonymous."`
	Peer     Patterns   `yaml:"peer" pattern:"cidr" doc:"Networks of the peer, such as 10.0.0.0/8."`
	Upstream Patterns   `yaml:"upstream" pattern:"glob" doc:"Makes the rule client-side: the upstream that is called."`
	Identity Claims     `yaml:"identity" pattern:"claimGlob" doc:"Claims of the caller's signed token, by the names in auth.jwt.claims: tenant: acme. All of them must match; a caller without the claim matches none of its patterns."`
	Except   Exceptions `yaml:"except" doc:"Calls to exclude: those that match all of its fields. Several exceptions form a list. Exceptions do not make the rule more specific."`
}

// IsZero reports whether no field but Except is set.
func (m Match) IsZero() bool {
	return len(m.Service)+len(m.Method)+len(m.Caller)+len(m.Peer)+len(m.Upstream)+len(m.Identity) == 0
}

// Exceptions is a list of exceptions, each of which excludes calls. One alone may be written without a list.
type Exceptions []Exception

// cover reports whether one of the exceptions excludes all calls that another one does.
func (e Exceptions) cover(one Exception) bool {
	return slices.ContainsFunc(e, func(o Exception) bool {
		return coversPatterns(o.Service, one.Service) && coversPatterns(o.Method, one.Method) && coversPatterns(o.Caller, one.Caller) &&
			o.Identity.cover(one.Identity) && coversPeers(o.Peer, one.Peer) && coversPatterns(o.Upstream, one.Upstream)
	})
}

// coverAll reports whether the exceptions exclude all calls that the others do.
func (e Exceptions) coverAll(others Exceptions) bool {
	return !slices.ContainsFunc(others, func(one Exception) bool { return !e.cover(one) })
}

// Exception excludes calls from a match: all of its fields must match; an absent field matches any call.
type Exception struct {
	Service  Patterns `yaml:"service" pattern:"glob" doc:"Name of the service."`
	Method   Patterns `yaml:"method" pattern:"glob" doc:"Name of the method; needs service or upstream, here or in match."`
	Caller   Patterns `yaml:"caller" pattern:"callerGlob" doc:"The verified caller, or anonymous."`
	Peer     Patterns `yaml:"peer" pattern:"cidr" doc:"Networks of the peer, such as 10.0.0.0/8."`
	Upstream Patterns `yaml:"upstream" pattern:"glob" doc:"The upstream that is called; only beside match.upstream."`
	Identity Claims   `yaml:"identity" pattern:"claimGlob" doc:"Claims of the caller's signed token, as in match."`
}

// field returns a field in which the exception and a match have nothing in common; "" if there is none, or if the lists are too
// long to compare.
func (e Exception) field(m *Match) string {
	const most = 10_000
	for _, f := range []struct {
		name         string
		ours, theirs Patterns
	}{
		{"service", e.Service, m.Service}, {"method", e.Method, m.Method}, {"caller", e.Caller, m.Caller}, {"upstream", e.Upstream, m.Upstream},
	} {
		if n := len(f.ours) * len(f.theirs); n > 0 && n <= most && !slices.ContainsFunc(f.ours, func(p string) bool { return mayOverlap(p, f.theirs) }) {
			return f.name
		}
	}
	if name := e.Identity.apart(m.Identity); name != "" {
		return "identity." + name
	}
	return ""
}

// IsZero reports whether no field is set.
func (e Exception) IsZero() bool {
	return len(e.Service)+len(e.Method)+len(e.Caller)+len(e.Peer)+len(e.Upstream)+len(e.Identity) == 0
}

// Patterns is a value, a glob (* is any text) or a list of them, one of which must match.
type Patterns []string

// ofUpstream reports whether all calls of an upstream are excluded.
func (e Exceptions) ofUpstream(name string) bool {
	return slices.ContainsFunc(e, func(x Exception) bool {
		return x.Upstream.match(name) && len(x.Service)+len(x.Method)+len(x.Caller)+len(x.Identity) == 0
	})
}

// match reports whether one of the globs matches the whole of text.
func (p Patterns) match(text string) bool {
	return wildcard.MatchAny(p, text)
}

// overlap reports whether two matches may have a call in common.
func overlap(a, b *Match) bool {
	if (len(a.Upstream) > 0) != (len(b.Upstream) > 0) {
		return false
	}
	for _, p := range [][2]Patterns{
		{a.Upstream, b.Upstream}, {a.Service, b.Service}, {a.Method, b.Method}, {a.Caller, b.Caller},
	} {
		if len(p[0]) > 0 && len(p[1]) > 0 && !slices.ContainsFunc(p[0], func(g string) bool { return mayOverlap(g, p[1]) }) {
			return false
		}
	}
	return a.Identity.apart(b.Identity) == ""
}

// mayOverlap reports whether one of globs may match a text that pattern matches.
func mayOverlap(pattern string, globs []string) bool {
	return slices.ContainsFunc(globs, func(g string) bool { return wildcard.Overlap(g, pattern) })
}

// covers reports whether wide matches all calls that narrow matches.
func covers(wide, narrow *Match) bool {
	return len(wide.Except) == 0 && (len(wide.Upstream) > 0) == (len(narrow.Upstream) > 0) && coversPatterns(wide.Upstream, narrow.Upstream) &&
		coversPatterns(wide.Method, narrow.Method) && coversPatterns(wide.Service, narrow.Service) &&
		coversPatterns(wide.Caller, narrow.Caller) && wide.Identity.cover(narrow.Identity) && coversPeers(wide.Peer, narrow.Peer)
}

// coversPatterns reports whether wide matches every text that narrow matches. No patterns match all.
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

// rank is the specificity of a match for a call, field by field in the order in which rules are compared.
type rank [6]int

func (a rank) compare(b rank) int { return slices.Compare(a[:], b[:]) }

// ranks returns the lowest and the highest rank that m may have for a call that other matches too. Of a list, the
// element that matched counts.
func ranks(m, other *Match) (least, most rank) {
	text := ordering{Patterns{"*"}, Narrowness, wildcard.Covers, wildcard.Overlap}
	networks := ordering{
		Patterns{"0.0.0.0/0", "::/0"},
		func(text string) int {
			p, _ := netip.ParsePrefix(text) // an invalid one covers and overlaps nothing
			return NetworkNarrowness(p)
		},
		coversNetwork,
		func(a, b string) bool { return coversNetwork(a, b) || coversNetwork(b, a) },
	}
	const identity = 3
	for i, f := range [len(least)]struct {
		patterns, others Patterns
		ordering
	}{
		{m.Method, other.Method, text},
		{m.Service, other.Service, text},
		{m.Caller, other.Caller, text},
		identity: {},
		{m.Peer, other.Peer, networks},
		{m.Upstream, other.Upstream, text},
	} {
		if i != identity {
			least[i], most[i] = f.span(f.patterns, f.others)
		}
	}
	for name, patterns := range m.Identity {
		lowest, highest := text.span(patterns, other.Identity[name])
		least[identity] += lowest
		most[identity] += highest
	}
	return least, most
}

// ordering compares the patterns of one field.
type ordering struct {
	all             Patterns // what an absent field matches
	narrowness      func(string) int
	covers, overlap func(a, b string) bool
}

// span returns the narrowness of the element of patterns that matches a value which others match too: the lowest and the highest.
func (o *ordering) span(patterns, others Patterns) (least, most int) {
	if len(others) == 0 {
		others = o.all
	}
	least = Exact
	same := slices.Equal(patterns, others)
	for j, other := range others {
		narrowest, patterns := 0, patterns // 0 as for absent ones
		if same {
			// No pattern that covers other is narrower than other itself.
			patterns = patterns[j : j+1]
		}
		for _, p := range patterns {
			if o.covers(p, other) {
				narrowest = max(narrowest, o.narrowness(p))
			}
			if o.overlap(p, other) {
				most = max(most, o.narrowness(p))
			}
		}
		least = min(least, narrowest)
	}
	return least, most
}

// Exact is the narrowness of a pattern without a star, and of a single address.
const Exact = 1 << 20

// Narrowness returns how narrow a pattern is: a glob is narrower the longer its literal part. It is above 0, the narrowness of no
// pattern.
func Narrowness(pattern string) int {
	if !isGlob(pattern) {
		return Exact
	}
	return 1 + len(strings.ReplaceAll(pattern, "*", ""))
}

// NetworkNarrowness is Narrowness for networks, with one scale for IPv4 and IPv6.
func NetworkNarrowness(p netip.Prefix) int {
	switch {
	case p.IsSingleIP():
		return Exact
	case p.Addr().Is4():
		return 1 + 96 + p.Bits()
	default:
		return 1 + p.Bits()
	}
}

func isGlob(pattern string) bool { return !wildcard.IsExact(pattern) }

// anonymousMatches reports whether patterns can match an unknown caller.
func anonymousMatches(patterns Patterns) bool {
	return len(patterns) == 0 || wildcard.MatchAny(patterns, "anonymous")
}
