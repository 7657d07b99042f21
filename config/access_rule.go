package config

import (
	"maps"
	"math"
	"net/netip"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/easymicro/easymicro/wire/wildcard"
)

// accessCall is a call as access rules see it.
type accessCall struct {
	Target
	caller string
	peer   netip.Addr        // the zero Addr is in no network
	claims map[string]string // of the caller
}

// accessRule is an enforced access rule, indexed to be evaluated fast.
type accessRule struct {
	*Rule
	callers     callerIndex
	peers       []netip.Prefix
	except      []accessException
	allow, deny accessIndex
}

// accessException is an exception of an accessRule.
type accessException struct {
	*Exception
	peers []netip.Prefix
}

// accessRules returns the access rules for incoming calls that are enforced now.
func accessRules(rules []Rule, now time.Time) []*Rule {
	var list []*Rule
	for i := range rules {
		if r := &rules[i]; r.Access != nil && !r.ClientSide() && r.disarmed(now) == "" && share(r.EnforceShare) > 0 {
			list = append(list, r)
		}
	}
	return list
}

func newAccessRule(r *Rule) *accessRule {
	a := &accessRule{
		Rule: r, callers: newCallerIndex(r.Match.Caller), peers: parseNetworks(r.Match.Peer),
		allow: indexAccess(r.Access.Allow), deny: indexAccess(r.Access.Deny),
	}
	for i := range r.Match.Except {
		if x := &r.Match.Except[i]; !x.IsZero() {
			a.except = append(a.except, accessException{x, parseNetworks(x.Peer)})
		}
	}
	return a
}

// matchesTarget reports whether a rule matches some calls of a method.
func matchesTarget(r *Rule, t Target) bool {
	return anyOr(r.Match.Service, t.Service) && anyOr(r.Match.Method, t.Method)
}

// mayRefuse returns those of all callers that the rule may refuse.
func (a *accessRule) mayRefuse(all []string, isCaller map[string]bool) []string {
	var names []string
	switch {
	case !a.callers.any && len(a.callers.globs) == 0:
		names = slices.Sorted(maps.Keys(a.callers.exact))
	case len(a.Access.Allow) == 0 && len(a.deny.globs) == 0:
		names = slices.Sorted(maps.Keys(a.deny.entries))
	default:
		return all
	}
	return slices.DeleteFunc(names, func(name string) bool { return !isCaller[name] })
}

// refuses reports whether the rule refuses a call of a method that it matches. It must agree with package policies.
func (a *accessRule) refuses(c *accessCall) bool {
	s := share(a.EnforceShare)
	return (s == 1 || ShareOf(a.Name, c.caller, c.peer) < s) && a.wouldRefuse(c)
}

// wouldRefuse reports whether the rule would refuse a call if it were enforced for all callers.
func (a *accessRule) wouldRefuse(c *accessCall) bool {
	if !a.callers.matches(c.caller) || !a.Match.Identity.Match(c.claims) || len(a.peers) > 0 && !inNetworks(a.peers, c.peer) ||
		slices.ContainsFunc(a.except, func(x accessException) bool { return x.excludes(c) }) {
		return false
	}
	return a.deny.has(c.caller, c.Method) || len(a.Access.Allow) > 0 && !a.allow.has(c.caller, c.Method)
}

func (x *accessException) excludes(c *accessCall) bool {
	return anyOr(x.Service, c.Service) && anyOr(x.Method, c.Method) && anyOr(x.Caller, c.caller) && x.Identity.Match(c.claims) &&
		(len(x.Peer) == 0 || inNetworks(x.peers, c.peer))
}

// sameAccess reports whether two enforced access rules are written alike, so that they refuse the same calls. It may return false
// for others that do.
func sameAccess(a, b *Rule) bool {
	samePatterns := slices.Equal[Patterns]
	sameEntries := func(p, q []AccessEntry) bool {
		return slices.EqualFunc(p, q, func(x, y AccessEntry) bool {
			return samePatterns(x.Caller, y.Caller) && samePatterns(x.Methods, y.Methods)
		})
	}
	m, n := &a.Match, &b.Match
	return share(a.EnforceShare) == share(b.EnforceShare) && (a.Name == b.Name || share(a.EnforceShare) == 1) &&
		samePatterns(m.Service, n.Service) && samePatterns(m.Method, n.Method) && samePatterns(m.Caller, n.Caller) && samePatterns(m.Peer, n.Peer) &&
		m.Identity.equal(n.Identity) &&
		slices.EqualFunc(m.Except, n.Except, func(x, y Exception) bool {
			return samePatterns(x.Service, y.Service) && samePatterns(x.Method, y.Method) && samePatterns(x.Caller, y.Caller) && samePatterns(x.Peer, y.Peer) &&
				x.Identity.equal(y.Identity)
		}) &&
		sameEntries(a.Access.Allow, b.Access.Allow) && sameEntries(a.Access.Deny, b.Access.Deny)
}

// callerPatterns calls yield with the patterns by which a rule distinguishes callers.
func callerPatterns(r *Rule, yield func(Patterns)) {
	yield(r.Match.Caller)
	for i := range r.Match.Except {
		yield(r.Match.Except[i].Caller)
	}
	for _, list := range [][]AccessEntry{r.Access.Allow, r.Access.Deny} {
		for i := range list {
			yield(list[i].Caller)
		}
	}
}

// callerIndex is an index of patterns for callers, of which there may be many.
type callerIndex struct {
	exact map[string]bool
	globs []string
	any   bool
}

func newCallerIndex(patterns Patterns) callerIndex {
	x := callerIndex{exact: map[string]bool{}, any: len(patterns) == 0}
	for _, p := range patterns {
		if isGlob(p) {
			x.globs = append(x.globs, p)
		} else {
			x.exact[p] = true
		}
	}
	return x
}

func (x *callerIndex) matches(caller string) bool {
	return x.any || x.exact[caller] || wildcard.MatchAny(x.globs, caller)
}

// anyOr reports whether one of the patterns matches, or there are none.
func anyOr(patterns Patterns, text string) bool { return len(patterns) == 0 || patterns.match(text) }

// parseNetworks returns networks and addresses as networks. Invalid ones, which validation finds, are left out.
func parseNetworks(texts []string) []netip.Prefix {
	var list []netip.Prefix
	for _, text := range texts {
		p, err := netip.ParsePrefix(text)
		if addr, wrong := netip.ParseAddr(text); wrong == nil {
			addr = addr.Unmap().WithZone("")
			p, err = netip.PrefixFrom(addr, addr.BitLen()), nil
		}
		if err != nil {
			continue
		}
		if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
			p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
		}
		list = append(list, p.Masked())
	}
	return list
}

func inNetworks(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a) })
}

// ShareOf maps a caller, or the peer of anonymous callers, to a number from 0 to 1. A rule with enforceShare is enforced for
// the callers whose number is below that share. The hash includes the name of the rule, so that rules affect different callers.
func ShareOf(rule, caller string, peer netip.Addr) float64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(rule)
	_, _ = d.WriteString("\x00")
	if caller != "anonymous" || !peer.IsValid() {
		_, _ = d.WriteString(caller)
	} else {
		addr := peer.As16()
		_, _ = d.Write(addr[:])
	}
	return float64(d.Sum64()>>11) / (math.MaxUint64 >> 11)
}
