package config

import (
	"maps"
	"slices"
	"strings"
)

// peers warns of rules for which callers have no address, or lack the metadata that they key on.
func (c *checker) peers() {
	without := c.withoutAddress()
	for i := range c.set.Rules {
		r := &c.set.Rules[i]
		if r.ClientSide() || c.idle(r) {
			continue
		}
		if path := usesPeer(r); path != "" && without != nil {
			what := "match no network here"
			if path == "rateLimit.key" {
				what = "are one peer here"
			}
			c.rule(r, path, "callers of listener %s (%s) have no address and %s: with unix in auth.trustedProxies X-Forwarded-For says who they are",
				without.Name, without.Address, what).Warning = true
		}
		c.unmapped(r)
	}
}

// withoutAddress is a listener whose callers have no address.
func (c *checker) withoutAddress() *Listener {
	m := c.set.Manifest
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

// usesPeer is the path in a rule that goes by the address of callers; "" if none does.
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

// keyParts are what a rate limit keys on.
func keyParts(r *Rule) Key {
	if r.RateLimit == nil {
		return nil
	}
	return r.RateLimit.Key
}

// unmapped warns of metadata that plain HTTP callers have no way to give.
func (c *checker) unmapped(r *Rule) {
	m := c.set.Manifest
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
			p := c.rule(r, keyPath(keyParts(r), i), "HTTP callers lack %s: they give %s, and names of metadata are compared letter by letter", part, mapped[j])
			p.Warning, p.Suggestion = true, KeyMetadata+mapped[j]
			continue
		}
		c.rule(r, "rateLimit.key", "HTTP callers lack %s unless a header of theirs becomes it: gateway.metadata: {%s: %s}",
			part, name, "X-"+headerCase(strings.TrimPrefix(strings.ToLower(name), "x-"))).Warning = true
	}
}

// alwaysMapped are headers that are metadata without being named.
var alwaysMapped = []string{"traceparent", "tracestate", "baggage"}

// headerCase makes tenant-id Tenant-Id.
func headerCase(name string) string {
	words := strings.Split(name, "-")
	for i, w := range words {
		if w != "" {
			words[i] = strings.ToUpper(w[:1]) + w[1:]
		}
	}
	return strings.Join(words, "-")
}
