package config

import (
	"fmt"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/wire/wildcard"
)

// Target is a method of a service, by its main name.
type Target struct{ Service, Method string }

// String returns Service.Method.
func (t Target) String() string { return t.Service + "." + t.Method }

// universe holds calls that represent all calls to the access rules of two sets: one for each class that their patterns
// distinguish, unless there are too many classes.
type universe struct {
	targets []Target
	callers []string        // of both sets, anonymous first
	known   map[string]bool // the names in callers
	fresh   []string        // callers of the next set that the old one does not know
	peers   []netip.Addr    // the zero Addr first, if it is a peer or peers do not matter
	sharing bool            // rules are enforced for some anonymous callers, by their addresses

	claims   []map[string]string // of identified callers; nil, for none, first
	networks []netip.Prefix      // by which rules distinguish peers
	partial  bool                // some classes have no call
}

// maxRepresentatives bounds the texts that represent patterns.
const maxRepresentatives = 1000

// newUniverse returns the calls for two sets and their access rules. targets are the methods of the host; nil if they are
// not known.
func newUniverse(old, next *Set, rules []*Rule, targets []Target, now time.Time) *universe {
	u := &universe{targets: targets}
	if targets == nil || next.Manifest != nil && next.Manifest.Gateway.Remote != nil {
		u.addTargets(next.Manifest, rules)
	}
	before := identified(old, now)
	u.callers = u.distinct(identified(next, now), before, rules)
	if open(next.Manifest) {
		var patterns []string
		for _, r := range rules {
			callerPatterns(r, func(p Patterns) { patterns = append(patterns, p...) })
		}
		u.callers = append(u.callers, u.representatives(patterns)...)
	}
	if !open(old.Manifest) {
		known := setOf(before)
		u.fresh = slices.DeleteFunc(slices.Clone(u.callers), func(c string) bool { return known[c] })
		u.callers = slices.DeleteFunc(u.callers, func(c string) bool { return !known[c] })
	}
	u.known = setOf(u.callers)
	u.addPeers(old, next, rules)
	u.addClaims(old.Manifest, next.Manifest, rules)
	return u
}

// before returns a call of a caller as the old set sees it.
func (u *universe) before(who person, t Target, peer netip.Addr) *accessCall {
	if u.known[who.name] {
		return &accessCall{t, who.name, peer, who.claims}
	}
	return &accessCall{t, "anonymous", peer, nil}
}

func setOf(list []string) map[string]bool {
	set := make(map[string]bool, len(list))
	for _, text := range list {
		set[text] = true
	}
	return set
}

// open reports whether a set identifies callers by more than a list of tokens, so that a caller may have any name.
func open(m *Manifest) bool {
	return m == nil || slices.ContainsFunc(m.Auth.Identify, func(how string) bool { return how != "token" })
}

// identified returns the callers that a set can identify, anonymous first.
func identified(set *Set, now time.Time) []string {
	list := []string{"anonymous"}
	if set.Manifest == nil || !slices.Contains(set.Manifest.Auth.Identify, "token") {
		return list
	}
	seen := map[string]bool{"anonymous": true}
	for i := range set.Tokens {
		t := &set.Tokens[i]
		if valid := t.Expires.IsZero() || now.Before(t.Expires); valid && !seen[t.Caller] {
			seen[t.Caller] = true
			list = append(list, t.Caller)
		}
	}
	return list
}

// distinct returns the callers without those that neither a rule nor the old set distinguishes from one that it returns.
func (u *universe) distinct(callers, before []string, rules []*Rule) []string {
	const most = 2_000_000 // comparisons
	if slices.ContainsFunc(rules, func(r *Rule) bool { return r.EnforceShare != nil }) {
		return callers
	}
	named, globs := map[string]bool{}, map[string]bool{}
	for _, r := range rules {
		callerPatterns(r, func(patterns Patterns) {
			for _, p := range patterns {
				if isGlob(p) {
					globs[p] = true
				} else {
					named[p] = true
				}
			}
		})
	}
	if len(globs)*len(callers) > most {
		return callers
	}
	known, seen := setOf(before), map[string]bool{}
	return slices.DeleteFunc(slices.Clone(callers), func(c string) bool {
		if named[c] || c == "anonymous" {
			return false
		}
		var like []string
		for g := range globs {
			if wildcard.Match(g, c) {
				like = append(like, g)
			}
		}
		slices.Sort(like)
		key := fmt.Sprintf("%v %q", known[c], like)
		twice := seen[key]
		seen[key] = true
		return twice
	})
}

// addTargets adds a method for each class that the patterns distinguish.
func (u *universe) addTargets(m *Manifest, rules []*Rule) {
	var services, methods []string
	for _, r := range rules {
		services, methods = append(services, r.Match.Service...), append(methods, r.MethodPatterns()...)
		for i := range r.Match.Except {
			services = append(services, r.Match.Except[i].Service...)
		}
	}
	services, methods = u.representatives(services), u.representatives(methods)
	if m != nil && m.Gateway.Remote == nil {
		services = nil
		for i := range m.Services {
			services = append(services, m.Services[i].Name)
		}
	}
	for _, service := range services {
		if m != nil && m.Gateway.Remote != nil && !m.Gateway.Remote.Allows(service) {
			continue
		}
		for _, method := range methods {
			u.targets = append(u.targets, Target{service, method})
		}
	}
}

// representatives returns a text for each class that the patterns distinguish: each exact name, a text for each glob and for the
// overlap of two, and one that nothing matches.
func (u *universe) representatives(patterns []string) []string {
	slices.Sort(patterns)
	patterns = slices.Compact(patterns)
	var globs []string
	seen, list := map[string]bool{}, []string(nil)
	filler := fillerFor(patterns)
	add := func(text string) {
		text = strings.ReplaceAll(text, "*", filler)
		switch {
		case seen[text] || text == "":
		case len(list) == maxRepresentatives:
			u.partial = true
		default:
			seen[text] = true
			list = append(list, text)
		}
	}
	for _, p := range patterns {
		add(p)
		if isGlob(p) {
			globs = append(globs, p)
		}
	}
	if len(globs)*len(globs) > 4*maxRepresentatives {
		globs, u.partial = nil, true
	}
	for i, g := range globs {
		for _, h := range globs[:i] {
			if !wildcard.Overlap(g, h) {
				continue
			}
			common, whole := wildcard.Common(g, h)
			u.partial = u.partial || !whole
			add(common)
		}
	}
	add(filler)
	return list
}

// fillerFor returns a text that is in no pattern, so that a pattern filled with it is matched only by those that cover it.
func fillerFor(patterns []string) string {
	filler := "x"
	for slices.ContainsFunc(patterns, func(p string) bool { return strings.Contains(p, filler) }) {
		filler += "y"
	}
	return filler
}

// addPeers adds the first address of each network of the sets and the first one after it, so that each range that the networks
// distinguish has one.
func (u *universe) addPeers(old, next *Set, rules []*Rule) {
	var networks []netip.Prefix
	for _, r := range rules {
		networks = append(networks, parseNetworks(r.Match.Peer)...)
		for i := range r.Match.Except {
			networks = append(networks, parseNetworks(r.Match.Except[i].Peer)...)
		}
		u.sharing = u.sharing || share(r.EnforceShare) < 1
	}
	if len(networks) == 0 && !u.sharing {
		u.peers = []netip.Addr{{}}
		return
	}
	for _, set := range []*Set{old, next} {
		networks = append(networks, parseNetworks(proxiesOf(set))...)
	}
	if m := next.Manifest; m == nil || slices.ContainsFunc(m.Listeners, func(l Listener) bool {
		network, _, err := l.Address.Split()
		return err == nil && network == "unix"
	}) {
		u.peers = []netip.Addr{{}}
	}
	seen := map[netip.Addr]bool{}
	add := func(a netip.Addr) {
		if a.IsValid() && !seen[a] {
			seen[a] = true
			u.peers = append(u.peers, a)
		}
	}
	if documented := netip.MustParseAddr("192.0.2.1"); !inNetworks(networks, documented) {
		add(documented)
	}
	for _, n := range networks {
		add(n.Addr())
		add(lastOf(n).Next())
	}
	add(netip.IPv4Unspecified())
	add(netip.IPv6Unspecified())
	u.networks = networks
	if u.partial = u.partial || len(u.peers) > maxRepresentatives; len(u.peers) > maxRepresentatives {
		u.peers = u.peers[:maxRepresentatives]
	}
}

// callersOf returns callers with each combination of claims that they may have. Anonymous ones have none.
func (u *universe) callersOf(names []string) iter.Seq[person] {
	return func(yield func(person) bool) {
		for _, name := range names {
			for _, claims := range u.claims {
				if (claims == nil || name != "anonymous") && !yield(person{name, claims}) {
					return
				}
			}
		}
	}
}

// addClaims adds a combination of claims for each class that the patterns distinguish.
func (u *universe) addClaims(old, next *Manifest, rules []*Rule) {
	u.claims = []map[string]string{nil}
	if !open(old) && !open(next) {
		return
	}
	patterns := map[string][]string{}
	for _, r := range rules {
		claimPatterns(r, func(name string, p Patterns) { patterns[name] = append(patterns[name], p...) })
	}
	for _, name := range slices.Sorted(maps.Keys(patterns)) {
		for _, with := range slices.Clone(u.claims) {
			for _, value := range u.representatives(patterns[name]) {
				if len(u.claims) >= maxRepresentatives {
					u.partial = true
					return
				}
				one := map[string]string{name: value}
				maps.Copy(one, with)
				u.claims = append(u.claims, one)
			}
		}
	}
}

// maxAddresses bounds the addresses that are tried in place of one.
const maxAddresses = 1000

// shares reports whether rules with enforceShare distinguish a call from others by its address alone.
func (u *universe) shares(c *accessCall) bool {
	return u.sharing && c.caller == "anonymous" && c.peer.IsValid()
}

// alike returns the first address from a on that ok accepts, among those that no network distinguishes from a.
func (u *universe) alike(a netip.Addr, ok func(netip.Addr) bool) (found netip.Addr, is bool) {
	at := a
	for range maxAddresses {
		if ok(at) {
			return at, true
		}
		at = at.Next()
		if !at.IsValid() || slices.ContainsFunc(u.networks, func(n netip.Prefix) bool { return n.Contains(a) != n.Contains(at) }) {
			break
		}
	}
	return a, false
}

func lastOf(n netip.Prefix) netip.Addr {
	bytes := n.Addr().AsSlice()
	for i := n.Bits(); i < 8*len(bytes); i++ {
		bytes[i/8] |= 0x80 >> (i % 8)
	}
	last, _ := netip.AddrFromSlice(bytes)
	return last
}

func proxiesOf(set *Set) []string {
	if set.Manifest == nil {
		return nil
	}
	return set.Manifest.Auth.TrustedProxies
}

// proxies holds the peers whose X-Forwarded-For counts.
type proxies struct {
	networks []netip.Prefix
	unix     bool
}

func newProxies(list []string) proxies {
	return proxies{parseNetworks(list), slices.Contains(list, UnixPeers)}
}

func (p *proxies) trust(peer netip.Addr) bool {
	if !peer.IsValid() {
		return p.unix
	}
	return inNetworks(p.networks, peer)
}
