package policies

import (
	"net/netip"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// exception excludes from a rule the calls that all of its fields match.
type exception struct {
	config                       *config.Exception
	services, methods, upstreams []glob
	callers                      patternSet
	claims                       claimSet
	peers                        []netip.Prefix
}

func compileExceptions(list config.Exceptions) ([]*exception, error) {
	var compiled []*exception
	for i := range list {
		c := &list[i]
		if c.IsZero() { // a mistake that must not disable the rule
			continue
		}
		peers, err := parseNetworks(c.Peer)
		if err != nil {
			return nil, err
		}
		compiled = append(compiled, &exception{
			config: c, services: compileGlobs(c.Service), methods: compileGlobs(c.Method), upstreams: compileGlobs(c.Upstream),
			callers: newPatternSet(c.Caller), claims: newClaimSet(c.Identity), peers: peers,
		})
	}
	return compiled, nil
}

// ofAll reports whether the exception excludes all calls of a method, regardless of the caller.
func (x *exception) ofAll() bool { return x.callers.empty() && len(x.claims)+len(x.peers) == 0 }

// matchesTarget reports whether the exception is about calls of a method, of an upstream for client-side rules.
func (x *exception) matchesTarget(t Target, upstream string) bool {
	return anyOrMatches(x.services, t.Service) && anyOrMatches(x.methods, t.Method) && anyOrMatches(x.upstreams, upstream)
}

func anyOrMatches(globs []glob, s string) bool { return len(globs) == 0 || matchesAny(globs, s) }

// matchesCall reports whether the exception excludes a call of a method that it matches.
func (x *exception) matchesCall(c *Call) bool {
	return (x.callers.empty() || x.callers.match(c.Caller)) && x.claims.match(c.Claims) &&
		(len(x.peers) == 0 || contains(x.peers, c.Peer))
}

// text returns the patterns of the exception that match a call: "except caller ops".
func (x *exception) text(of *subject, c *Call) string {
	var parts []string
	add := func(field string, patterns []string, text string) {
		if i := slices.IndexFunc(patterns, func(p string) bool { return wildcard.Match(p, text) }); i >= 0 {
			parts = append(parts, field+" "+patterns[i])
		}
	}
	add("upstream", x.config.Upstream, of.upstream)
	add("service", x.config.Service, of.target.Service)
	add("method", x.config.Method, of.target.Method)
	add("caller", x.config.Caller, c.Caller)
	for _, name := range x.config.Identity.Names() {
		add(config.KeyIdentity+name, x.config.Identity[name], c.Claims[name])
	}
	if i := slices.IndexFunc(x.peers, func(network netip.Prefix) bool { return network.Contains(c.Peer) }); i >= 0 {
		parts = append(parts, "peer "+x.config.Peer[i])
	}
	return "except " + strings.Join(parts, ", ")
}

// overlaps reports whether the exception may exclude a call of a region.
func (x *exception) overlaps(of *region) bool {
	some := func(patterns config.Patterns, text string) bool {
		return len(patterns) == 0 || slices.ContainsFunc(patterns, func(p string) bool { return wildcard.Overlap(p, text) })
	}
	c := x.config
	if !some(c.Service, of.service) || !some(c.Method, of.method) || !some(c.Caller, of.caller) || !some(c.Upstream, of.upstream) {
		return false
	}
	for name, pattern := range of.claims {
		if !some(c.Identity[name], pattern) {
			return false
		}
	}
	return len(x.peers) == 0 || !of.peer.IsValid() || slices.ContainsFunc(x.peers, of.peer.Overlaps)
}

// coversException reports whether the exception excludes all calls of a region that o excludes.
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
	for name, wide := range a.Identity {
		if known := of.claims[name]; (known == "" || !wildcard.MatchAny(wide, known)) && (len(b.Identity[name]) == 0 || !all(wide, b.Identity[name], "")) {
			return false
		}
	}
	if len(x.peers) == 0 || of.peer.IsValid() && covered(of.peer, x.peers) {
		return true
	}
	return len(o.peers) > 0 && !slices.ContainsFunc(o.peers, func(p netip.Prefix) bool { return !covered(p, x.peers) })
}

// region is a set of calls: those that match one pattern in each field, * for a field that is not given.
type region struct {
	service, method, caller, upstream string
	claims                            map[string]string // those that are not here are any, or none
	peer                              netip.Prefix      // zero: all peers, known or not
}

// leaveOut reports whether exceptions exclude all calls of the region. Names are only excluded by one exception alone, since
// a text in place of a star of the region may be one that no exception contains; networks add up.
func leaveOut(except []*exception, of *region) bool {
	var networks []netip.Prefix
	for _, x := range except {
		if !x.coversNames(of) {
			continue
		}
		if len(x.peers) == 0 {
			return true
		}
		networks = append(networks, x.peers...)
	}
	return of.peer.IsValid() && covered(of.peer, networks)
}

// coversNames reports whether the exception matches all calls of the region, apart from their peers.
func (x *exception) coversNames(of *region) bool {
	return anyOrMatches(x.services, of.service) && anyOrMatches(x.methods, of.method) && anyOrMatches(x.upstreams, of.upstream) &&
		(x.callers.empty() || x.callers.match(of.caller)) && x.claims.match(of.claims)
}

// covered reports whether all addresses of a network are in others.
func covered(network netip.Prefix, others []netip.Prefix) bool {
	inside := slices.DeleteFunc(slices.Clone(others), func(o netip.Prefix) bool { return !o.Overlaps(network) })
	if slices.ContainsFunc(inside, func(o netip.Prefix) bool { return o.Bits() <= network.Bits() }) {
		return true
	}
	if len(inside) == 0 {
		return false
	}
	low := netip.PrefixFrom(network.Addr(), network.Bits()+1)
	return covered(low, inside) && covered(upperHalf(network), inside)
}

func upperHalf(network netip.Prefix) netip.Prefix {
	bytes := network.Addr().AsSlice()
	bytes[network.Bits()/8] |= 0x80 >> (network.Bits() % 8)
	high, _ := netip.AddrFromSlice(bytes)
	return netip.PrefixFrom(high, network.Bits()+1)
}
