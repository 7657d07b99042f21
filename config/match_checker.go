package config

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// matchChecker checks the match of a rule.
type matchChecker struct {
	*report
	noAddress *Listener // a listener whose callers have no address
	known     *callerNames
}

func newMatchChecker(r *report) *matchChecker {
	c := &matchChecker{report: r}
	c.noAddress = c.withoutAddress()
	c.known = c.knownCallers()
	return c
}

func (c *matchChecker) check(r *Rule) {
	c.match(r)
	if !r.ClientSide() && !c.idle(r) {
		c.peer(r)
		c.unmapped(r)
	}
}

// calledService finds a rule for a service that its upstreams do not call. With gateway.remote any service may be an
// upstream.
func (c *matchChecker) calledService(r *Rule) {
	upstreams, _ := c.called(r)
	if len(upstreams) == 0 || len(r.Match.Service) == 0 || c.m.Gateway.Remote != nil {
		return
	}
	var services []string
	for _, u := range upstreams {
		if u.Service == "" || r.Match.Service.match(u.Service) { // a missing one is reported already
			return
		}
		if !slices.Contains(services, u.Service) {
			services = append(services, u.Service)
		}
	}
	p := c.rule(lint.MatchesNothing, r, "match.service", "upstream %s calls %s: rule %s has no effect here",
		strings.Join(r.Match.Upstream, ", "), strings.Join(services, ", "), r.Name)
	p.Suggestion = SuggestFor(r.Match.Service, services)
}

// exceptions checks the exceptions of a match.
func (c *matchChecker) exceptions(r *Rule) {
	m := &r.Match
	if m.Except != nil && len(m.Except) == 0 {
		c.rule(lint.Empty, r, "match.except", "is an empty list, which excludes nothing: leave the key out")
	}
	anonymous := len(c.m.Auth.Identify) == 0
	for i := range m.Except {
		e, path := &m.Except[i], r.exceptPath(i)
		switch {
		case e.IsZero():
			c.rule(lint.Empty, r, path, "is empty, which excludes nothing: leave the key out")
		case len(e.Upstream) > 0 && !r.ClientSide():
			c.rule(lint.Conflicting, r, path+".upstream", "is for outgoing calls: select them with match: {upstream: …}")
		case len(e.Peer) > 0 && r.ClientSide():
			c.rule(lint.Conflicting, r, path+".peer", "applies to incoming calls only, and match.upstream selects outgoing ones: remove it")
		case len(e.Method) > 0 && len(e.Service)+len(e.Upstream)+len(m.Service)+len(m.Upstream) == 0:
			c.rule(lint.NeedsOther, r, path+".method", "needs service or upstream")
		case anonymous && !anonymousMatches(e.Caller):
			c.rule(lint.NoEffect, r, path+".caller", "excludes no call: without auth.identify every caller is anonymous")
		case e.field(m) != "":
			c.rule(lint.IdleException, r, path+"."+e.field(m),
				"excludes nothing: the rule matches no call with this %s; remove the exception, or widen match.%[1]s", e.field(m))
		case anonymous && len(e.Service)+len(e.Method)+len(e.Peer)+len(e.Upstream) == 0:
			c.rule(lint.RefusesAll, r, path+".caller", "excludes every call: without auth.identify every caller is anonymous")
		}
	}
}

// callers checks all caller patterns of a rule.
func (c *matchChecker) callers(r *Rule) {
	c.callerPatterns(r, "match.caller", r.Match.Caller, "write match: {except: {caller: %s}}")
	for i := range r.Match.Except {
		c.callerPatterns(r, r.exceptPath(i)+".caller", r.Match.Except[i].Caller, "write match: {caller: %s} instead of except")
	}
	if r.Access == nil {
		return
	}
	for i := range r.Access.Allow {
		c.callerPatterns(r, fmt.Sprintf("access.allow[%d].caller", i), r.Access.Allow[i].Caller, "write deny: [{caller: %s}]")
	}
	for i := range r.Access.Deny {
		c.callerPatterns(r, fmt.Sprintf("access.deny[%d].caller", i), r.Access.Deny[i].Caller, "write allow: [{caller: %s}]")
	}
}

// callerPatterns checks a list of callers. instead is how to write what !NAME is meant for.
func (c *matchChecker) callerPatterns(r *Rule, path string, list Patterns, instead string) {
	known := c.known
	for i, p := range list {
		if known.has(p) {
			continue
		}
		at := path
		if element := fmt.Sprintf("%s[%d]", path, i); r.at.written(element) {
			at = element
		}
		switch rest, not := strings.CutPrefix(p, "!"); {
		case not:
			if alternatives := listFor(rest, ","); alternatives != "" {
				rest = alternatives
			} else {
				rest = inQuotes(rest)
			}
			c.rule(lint.BadSetting, r, at, "%q: the only wildcard is *, and no token has that name; to exclude callers "+instead, clip(p), rest)
		case strings.ContainsAny(p, notInPatterns):
			c.rule(lint.BadSetting, r, at, "%q: the only wildcard is *, and no token has that name; write several patterns as a list", clip(p)).
				Suggestion = insideOf(at, listFor(p, ","))
		case known.complete:
			problem := c.rule(lint.NoSuchCaller, r, at, "no token is for a caller %s: it matches no call", clip(p))
			problem.Suggestion = known.suggest(p)
		}
	}
}

// callerNames holds the known callers.
type callerNames struct {
	sorted   []string
	complete bool // no other caller can exist
	asked    int
	looked   int
}

func (c *matchChecker) knownCallers() *callerNames {
	k := &callerNames{complete: c.tokens != nil && slices.Equal(c.m.Auth.Identify, []string{"token"})}
	k.sorted = append(k.sorted, "anonymous")
	for _, t := range c.tokens {
		k.sorted = append(k.sorted, t.Caller)
	}
	slices.Sort(k.sorted)
	k.sorted = slices.Compact(k.sorted)
	return k
}

// has reports whether the pattern matches a known caller. The work for a large set is bounded; beyond the bound
// every pattern passes.
func (k *callerNames) has(pattern string) bool {
	const limit = 5_000_000
	prefix, _, glob := strings.Cut(pattern, "*")
	i, exact := slices.BinarySearch(k.sorted, prefix)
	if !glob {
		return exact
	}
	for ; i < len(k.sorted) && strings.HasPrefix(k.sorted[i], prefix); i++ {
		k.looked++
		if k.looked > limit || wildcard.Match(pattern, k.sorted[i]) {
			return true
		}
	}
	return false
}

// suggest returns the caller that was probably meant. The work for a large set is bounded.
func (k *callerNames) suggest(pattern string) string {
	const limit = 200_000 // names
	if k.asked += len(k.sorted); k.asked > limit {
		return ""
	}
	return Suggest(pattern, k.sorted)
}

// peer warns of a rule that needs the address of callers where they have none.
func (c *matchChecker) peer(r *Rule) {
	path := usesPeer(r)
	if path == "" || c.noAddress == nil {
		return
	}
	what := "match no network here"
	if path == "rateLimit.key" {
		what = "are one peer here"
	}
	c.rule(lint.NoAddress, r, path, "callers of listener %s (%s) have no address and %s: with unix in auth.trustedProxies X-Forwarded-For identifies them",
		c.noAddress.Name, c.noAddress.Address, what)
}

// withoutAddress returns a listener whose callers have no address, or nil.
func (c *matchChecker) withoutAddress() *Listener {
	m := c.m
	if slices.Contains(m.Auth.TrustedProxies, UnixPeers) {
		return nil
	}
	for i := range m.Listeners {
		l := &m.Listeners[i]
		network, _, _ := l.Address.Split()
		if network == "unix" && (l.ProxyProtocol == nil || !slices.Contains(l.ProxyProtocol.From, UnixPeers)) {
			return l
		}
	}
	return nil
}

// usesPeer returns the path in a rule that uses the address of callers, or "".
func usesPeer(r *Rule) string {
	if len(r.Match.Peer) > 0 {
		return "match.peer"
	}
	if i := slices.IndexFunc(r.Match.Except, func(e Exception) bool { return len(e.Peer) > 0 }); i >= 0 {
		return r.exceptPath(i) + ".peer"
	}
	if slices.ContainsFunc(keyParts(r), func(part string) bool { return keyKind(part) == KeyPeer }) {
		return "rateLimit.key"
	}
	return ""
}

// keyParts returns the key of a rate limit.
func keyParts(r *Rule) Key {
	if r.RateLimit == nil {
		return nil
	}
	return r.RateLimit.Key
}

// unmapped warns of metadata that plain HTTP callers cannot send.
func (c *matchChecker) unmapped(r *Rule) {
	m := c.m
	if !slices.ContainsFunc(m.Listeners, func(l Listener) bool { return slices.Contains(l.Protocols, "http") }) {
		return
	}
	mapped := append(slices.Sorted(maps.Keys(m.Gateway.Metadata)), alwaysMapped...)
	for i, part := range keyParts(r) {
		name, ok := strings.CutPrefix(part, KeyMetadata)
		if !ok || slices.Contains(mapped, name) {
			continue
		}
		if j := slices.IndexFunc(mapped, func(other string) bool { return fold(other) == fold(name) }); j >= 0 {
			p := c.rule(lint.Unmapped, r, keyPath(keyParts(r), i),
				"HTTP callers cannot send %s: they send %s, and names of metadata are case-sensitive", part, mapped[j])
			p.Suggestion = KeyMetadata + mapped[j]
			continue
		}
		c.rule(lint.Unmapped, r, "rateLimit.key", "HTTP callers cannot send %s unless a header maps to it: gateway.metadata: {%s: %s}",
			part, name, "X-"+headerCase(strings.TrimPrefix(strings.ToLower(name), "x-")))
	}
}

// alwaysMapped are the headers that become metadata by default.
var alwaysMapped = []string{"traceparent", "tracestate", "baggage"}

// headerCase turns tenant-id into Tenant-Id.
func headerCase(name string) string {
	words := strings.Split(name, "-")
	for i, w := range words {
		if w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, "-")
}

func (c *matchChecker) match(r *Rule) {
	c.exceptions(r)
	c.callers(r)
	if r.Match.IsZero() {
		if len(r.Match.Except) > 0 {
			c.rule(lint.Empty, r, "match", "has only exceptions: to match every service write service: \"*\"")
		} else if r.at.written("match") {
			c.rule(lint.Empty, r, "match", "is empty: to match every service write service: \"*\"")
		}
		return
	}
	if len(r.Match.Method) > 0 && len(r.Match.Service)+len(r.Match.Upstream) == 0 {
		c.rule(lint.NeedsOther, r, "match.method", "needs service or upstream")
	}
	c.calledService(r)
	if len(c.m.Auth.Identify) == 0 && !anonymousMatches(r.Match.Caller) {
		c.rule(lint.RefusesAll, r, "match.caller", "matches no call: without auth.identify every caller is anonymous")
	}
}
