package config

import (
	"fmt"
	"slices"

	"github.com/easymicro/easymicro/wire/wildcard"
)

func kindsOfSide(r *Rule) string {
	if r.ClientSide() {
		return "rateLimit, concurrency, timeout, retry, hedge, circuitBreaker or outlierDetection"
	}
	return "rateLimit, concurrency, access, timeout or circuitBreaker"
}

// side finds what belongs on the other side: a rule with match.upstream is about calls that go out, any other about calls
// that come in.
func (c *checker) side(r *Rule) {
	wrong, hint := Kind.ClientOnly, "is for calls that go out: say which ones by match: {upstream: …}"
	if r.ClientSide() {
		wrong, hint = Kind.ServerOnly, "is for calls that come in: put it into a rule without match.upstream; a rule with it may have "+kindsOfSide(r)
	}
	for _, k := range r.Kinds() {
		if wrong(k) {
			c.rule(r, string(k), "%s", hint)
		}
	}
	if b := r.CircuitBreaker; b != nil && !r.ClientSide() && (b.Scope == ScopeEndpoint || b.Scope == ScopeUpstream) {
		c.rule(r, "circuitBreaker.scope", "%s is for calls that go out: say which ones by match: {upstream: …}, or leave scope out", b.Scope)
	}
	if !r.ClientSide() {
		return
	}
	if len(r.Match.Peer) > 0 {
		c.rule(r, "match.peer", "is for calls that come in: with upstream there is no peer, and the rule would match nothing")
	}
}

func (c *checker) retry(r *Rule) {
	p := r.Retry
	if p.InitialBackoff > p.MaxBackoff {
		path := "retry.maxBackoff"
		if !r.at.written(path) {
			path = "retry.initialBackoff"
		}
		c.rule(r, path, "initialBackoff (%s) is longer than maxBackoff (%s)", p.InitialBackoff, p.MaxBackoff)
	}
	if len(p.RetryOn) == 0 {
		c.rule(r, "retry.retryOn", "is empty: nothing would be sent again; leave the key out for the default")
	}
	if i := slices.Index(p.RetryOn, "CANCELLED"); i >= 0 {
		c.rule(r, fmt.Sprintf("retry.retryOn[%d]", i), "has no effect: a call that its caller cancelled is never sent again").Warning = true
	}
	if p.FailMode != Failfast && r.Mode != Off {
		c.retriesNothing(r)
	}
	if p.FailMode == Failfast && (r.at.written("retry.maxAttempts") || r.at.written("retry.retryOn")) {
		c.rule(r, "retry.failMode", "failfast sends nothing again: the other fields have no effect").Warning = true
	}
}

func (c *checker) hedge(r *Rule) {
	h := r.Hedge
	upstreams, places := c.called(r)
	for i, u := range upstreams {
		for j, m := range h.Methods {
			if !mayOverlap(m, u.Idempotent) {
				c.rule(r, fmt.Sprintf("hedge.methods[%d]", j), "%s is not idempotent at upstream %s, and is never sent twice: add it to idempotent (%s)",
					m, u.Name, c.set.Manifest.Position(places[i])).Warning = true
			}
		}
	}
}

// mayOverlap tells whether one of globs may match something that pattern matches.
func mayOverlap(pattern string, globs []string) bool {
	return slices.ContainsFunc(globs, func(g string) bool { return wildcard.Overlap(g, pattern) })
}

func (c *checker) outliers(r *Rule) {
	o := r.OutlierDetection
	if o.BaseEjectionTime > o.MaxEjectionTime {
		path := "outlierDetection.maxEjectionTime"
		if !r.at.written(path) {
			path = "outlierDetection.baseEjectionTime"
		}
		c.rule(r, path, "baseEjectionTime (%s) is longer than maxEjectionTime (%s)", o.BaseEjectionTime, o.MaxEjectionTime)
	}
}
