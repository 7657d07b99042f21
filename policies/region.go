package policies

import (
	"net/netip"
	"slices"

	"github.com/easymicro/easymicro/wire/wildcard"
)

// region is a set of calls: those that match one pattern in each field, * for a field that is not given.
type region struct {
	service, method, caller, upstream string
	peer                              netip.Prefix // zero: all peers, known or not
}

// region is what the form matches.
func (t *tieRule) region() region {
	text := func(g *glob) string {
		if g == nil {
			return "*"
		}
		return g.text
	}
	return region{service: text(t.service), method: text(t.method), caller: text(t.caller), upstream: text(t.upstream), peer: t.peer}
}

// common is calls that both forms match; their keys are equal, and they overlap.
func (t *tieRule) common(o *tieRule) region {
	a, b := t.region(), o.region()
	both := func(x, y string) string {
		pattern, _ := wildcard.Common(x, y)
		return pattern
	}
	return region{
		service: both(a.service, b.service), method: both(a.method, b.method),
		caller: both(a.caller, b.caller), upstream: both(a.upstream, b.upstream), peer: t.peer,
	}
}

// leaveOut reports whether no call of the region is left. That no exception alone leaves out its names is enough for
// some call to be left: a text with something that no exception spells out where the region has its stars. Networks
// add up.
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

// coversNames reports whether all calls of the region are as the exception says, but for their peers.
func (x *exception) coversNames(of *region) bool {
	return anyOrMatches(x.services, of.service) && anyOrMatches(x.methods, of.method) && anyOrMatches(x.upstreams, of.upstream) &&
		(x.callers.empty() || x.callers.match(of.caller))
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
