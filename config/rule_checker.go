package config

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/wire/code"
)

// ruleChecker checks what all rules have: name, match, mode, side and kinds.
type ruleChecker struct{ *report }

func (c ruleChecker) check() {
	var byName, byWas names
	rules := c.rules
	if len(rules) > MaxRules {
		r := &rules[MaxRules]
		c.rule(lint.TooMany, r, "", "the set has %d rules: at most %d are allowed", len(rules), MaxRules)
	}
	for i := range rules {
		r := &rules[i]
		if first, taken := byName.taken(r.Name, r.Position("name")); taken && r.Name != "" {
			c.rule(lint.NameTaken, r, "name", "the name %s is taken by %s", r.Name, theRuleIn(first))
		}
	}
	if n := len(rules); n <= MaxRules && 100*n >= nearPercent*MaxRules {
		c.rule(lint.NearBound, &rules[n-1], "", "the set has %d rules, %d %% of the %d that are allowed: match several callers or methods with one rule",
			n, 100*n/MaxRules, MaxRules)
	}
	match, claims, kinds := newMatchChecker(c.report), newClaimChecker(c.report), kindChecker(c)
	for i := range rules {
		r := &rules[i]
		c.was(r, &byName, &byWas)
		match.check(r)
		claims.check(r)
		c.modes(r)
		c.side(r)
		kinds.check(r)
	}
}

// theRuleIn names a rule by its position. Rules of programs have none.
func theRuleIn(at Position) string {
	if at.IsZero() {
		return "another rule"
	}
	return "the rule in " + at.String()
}

func (c ruleChecker) was(r *Rule, byName, byWas *names) {
	if r.Was == "" {
		return
	}
	if at, exists := byName.first[r.Was]; exists {
		c.rule(lint.NameTaken, r, "was", "%s still exists, in %s: was is for a former name", r.Was, at)
	}
	if first, taken := byWas.taken(r.Was, r.Position("was")); taken {
		c.rule(lint.NameTaken, r, "was", "two rules have was: %s, this one and the one in %s", r.Was, first)
	}
}

func (c ruleChecker) modes(r *Rule) {
	if r.EnforceShare != nil && r.Mode == Shadow {
		c.rule(lint.Conflicting, r, "enforceShare", "has no effect with mode: shadow, which enforces nothing")
	}
	c.expires(r)
}

func (c ruleChecker) expires(r *Rule) {
	if r.Expires.IsZero() {
		return
	}
	e := r.expiry()
	message, soon := e.soon(c.now)
	switch {
	case soon && r.Mode != Off:
		c.rule(lint.ExpiresSoon, r, "expires", "the rule %s", message)
	case r.Expired(c.now):
		message = "the rule expired on " + r.Expires.Format(time.RFC3339) + " and has no effect"
		if e.Opens() {
			message += ": " + e.Effect()
		}
		c.rule(lint.Expired, r, "expires", "%s", message)
	}
}

// side finds kinds and fields of the wrong side: rules with match.upstream are for outgoing calls, all others for
// incoming ones.
func (c ruleChecker) side(r *Rule) {
	for _, k := range r.Kinds() {
		switch {
		case k.ClientOnly() && !r.ClientSide():
			c.rule(lint.Conflicting, r, string(k), "is for outgoing calls: select them with match: {upstream: …}")
		case k.ServerOnly() && r.ClientSide():
			c.rule(lint.Conflicting, r, string(k), "is for incoming calls: put it into a rule without match.upstream; a rule with it may have %s", kindsOfSide(r))
		}
	}
	if b := r.CircuitBreaker; b != nil && !r.ClientSide() && (b.Scope == ScopeEndpoint || b.Scope == ScopeUpstream) {
		c.rule(lint.Conflicting, r, "circuitBreaker.scope", "%s is for outgoing calls: select them with match: {upstream: …}, or leave scope out", b.Scope)
	}
	if !r.ClientSide() {
		return
	}
	if len(r.Match.Peer) > 0 {
		c.rule(lint.Conflicting, r, "match.peer", "applies to incoming calls only: with upstream the rule would match nothing; remove one of them")
	}
}

// Bounds of a rate limit.
const (
	minPerSecond  = 1.0 / (24 * 60 * 60)
	maxPerSecond  = 1e8
	defaultPer    = time.Second
	rateTolerance = 1e-9 // so that rounding does not reject 1 per 24h
)

// kindChecker checks each kind of a rule by itself.
type kindChecker struct{ *report }

// retriesNothing finds upstreams without idempotent methods. Calls may still be idempotent by their handler, and
// calls that provably never ran are retried in any case.
func (c kindChecker) retriesNothing(r *Rule) {
	upstreams, paths := c.called(r)
	for i, u := range upstreams {
		if len(u.Idempotent) > 0 {
			c.retriesNoneOf(r, u, paths[i])
			continue
		}
		c.rule(lint.NotIdempotent, r, "retry",
			"no method is idempotent at upstream %s: only calls that provably never ran are retried; list methods under idempotent (%s)",
			u.Name, c.m.Position(paths[i]))
	}
}

// retriesNoneOf finds methods that a rule names and that are not idempotent at an upstream.
func (c kindChecker) retriesNoneOf(r *Rule, u *Upstream, path string) {
	for i, m := range r.Match.Method {
		if mayOverlap(m, u.Idempotent) {
			continue
		}
		at := fmt.Sprintf("match.method[%d]", i)
		if !r.at.written(at) {
			at = "match.method"
		}
		c.rule(lint.NotIdempotent, r, at,
			"%s is not idempotent at upstream %s: only calls that provably never ran are retried; if it may run twice, add it to idempotent (%s)",
			m, u.Name, c.m.Position(path))
	}
}

func (c kindChecker) check(r *Rule) {
	if len(r.Kinds()) == 0 {
		c.rule(lint.Empty, r, "", "the rule has no effect: add %s", kindsOfSide(r))
	}
	if r.RateLimit != nil {
		c.rateLimit(r)
	}
	if r.Concurrency != nil {
		c.concurrency(r)
	}
	if r.Shed != nil && r.Shed.CPUAbove >= 1 {
		c.rule(lint.NoEffect, r, "shed.cpuAbove", "has no effect: the utilization is never above 100%%")
	}
	if r.Access != nil {
		c.access(r)
	}
	if r.CircuitBreaker != nil {
		c.breaker(r)
	}
	if r.Retry != nil {
		c.retry(r)
	}
	if r.Hedge != nil {
		c.hedge(r)
	}
	if r.OutlierDetection != nil {
		c.outliers(r)
	}
}

func (c kindChecker) rateLimit(r *Rule) {
	l := r.RateLimit
	if l.Rate != 0 && l.Per > 0 {
		perSecond := float64(l.Rate) / l.Per.Std().Seconds()
		if perSecond >= minPerSecond*(1-rateTolerance) && perSecond <= maxPerSecond*(1+rateTolerance) {
			c.burst(r)
		} else { // or not a number
			c.rule(lint.RateRange, r, "rateLimit.rate", "%s per %s is out of range: from 1 a day to 10^8 a second", l.Rate, l.Per)
		}
	}
	if l.OnExceed != OnExceedWait && r.at.written("rateLimit.maxWait") {
		c.rule(lint.NoEffect, r, "rateLimit.maxWait", "has no effect without onExceed: wait")
	}
	if len(l.Key) == 0 && r.at.written("rateLimit.maxKeys") {
		c.rule(lint.NoEffect, r, "rateLimit.maxKeys", "has no effect without key")
	}
	c.limitKey(r)
}

// limitKey checks the key of a rate limit.
func (c kindChecker) limitKey(r *Rule) {
	key := r.RateLimit.Key
	for i, part := range key {
		path, kind := keyPath(key, i), keyKind(part)
		switch {
		case slices.ContainsFunc(key[:i], func(other string) bool { return keyKind(other) == kind }):
			c.rule(lint.NameTaken, r, path, "%s is listed twice", kind)
		case kind == KeyPeer && r.ClientSide():
			c.rule(lint.Conflicting, r, path, "peer applies to incoming calls only, and match.upstream selects outgoing ones; use caller, method or metadata.NAME")
		case strings.HasPrefix(part, KeyIdentity):
			newClaimChecker(c.report).known(r, path, strings.TrimPrefix(part, KeyIdentity), func(meant string) string { return KeyIdentity + meant })
		}
	}
	if r.at.written("rateLimit.onMissingKey") && !slices.ContainsFunc(key, func(part string) bool {
		return strings.HasPrefix(part, KeyMetadata) || strings.HasPrefix(part, KeyIdentity)
	}) {
		c.rule(lint.NoEffect, r, "rateLimit.onMissingKey", "has no effect: no part of the key is metadata.NAME or identity.NAME")
	}
}

// quotaTime is the time to fill a bucket from which on a limit is a quota: restarts then add a noticeable part to
// it.
const quotaTime = time.Hour

// burst warns of large bursts: the tokens of a long period when no burst is set, and the full bucket of a quota
// after each restart.
func (c kindChecker) burst(r *Rule) {
	l := r.RateLimit
	lumps := l.Per.Std() > defaultPer && r.at.written("rateLimit.per") && !r.at.written("rateLimit.burst") && l.Burst > 1
	fills := float64(l.Burst) / float64(l.Rate) * l.Per.Std().Seconds()
	quota := (l.Per.Std() >= quotaTime || fills >= quotaTime.Seconds()) && !c.idle(r)
	if !quota {
		if lumps {
			c.rule(lint.LumpyBurst, r, "rateLimit.per", "without burst all calls of one %s may arrive at once: set burst", l.Per)
		}
		return
	}
	each := ""
	if r.at.written("rateLimit.key") {
		each = " for each key"
	}
	calls := "1 call"
	if l.Burst > 1 {
		calls = fmt.Sprintf("%d calls", l.Burst)
	}
	more := fmt.Sprintf("each restart of the host fills the bucket and allows %s more than %s per %s%s", calls, l.Rate, l.Per, each)
	path := "rateLimit.per"
	switch {
	case lumps:
		more += "; without burst all calls of one " + l.Per.String() + " may arrive at once: set a smaller burst"
	case l.Burst > 1:
		path = "rateLimit.burst"
		more += "; a smaller burst reduces that"
	}
	c.rule(lint.RefillsAtRestart, r, path, "%s", more)
}

func (c kindChecker) concurrency(r *Rule) {
	limit := r.Concurrency
	if limit.Max == 0 && limit.Adaptive == nil && !r.at.written("concurrency.max") {
		c.rule(lint.NeedsOther, r, "concurrency", "max or adaptive is required")
	}
	if a := limit.Adaptive; a != nil {
		if limit.Max != 0 || r.at.written("concurrency.max") {
			c.rule(lint.Conflicting, r, "concurrency.adaptive", "takes the place of max: remove one of them; the bounds of the limit are adaptive: {min: 10, max: 2000}")
		}
		if a.Min > a.Max {
			path := "concurrency.adaptive.min"
			if !r.at.written(path) {
				path = "concurrency.adaptive.max"
			}
			c.rule(lint.Contradiction, r, path, "min (%d) is more than max (%d)", a.Min, a.Max)
		}
	}
	if limit.Queue == 0 && r.at.written("concurrency.queueTimeout") {
		c.rule(lint.NoEffect, r, "concurrency.queueTimeout", "has no effect without queue")
	}
}

func (c kindChecker) access(r *Rule) {
	a := r.Access
	if a.Allow == nil && a.Deny == nil {
		c.rule(lint.Empty, r, "access", "has no effect: add allow or deny")
	}
	if a.Allow != nil && len(a.Allow) == 0 {
		c.rule(lint.Empty, r, "access.allow", "is empty: to refuse everyone write deny: [{caller: \"*\"}]")
	}
	if a.Deny != nil && len(a.Deny) == 0 {
		c.rule(lint.Empty, r, "access.deny", "is empty: leave the key out")
	}
	if len(a.Allow) == 0 || len(c.m.Auth.Identify) > 0 || r.Mode == Off {
		return
	}
	if !slices.ContainsFunc(a.Allow, func(e AccessEntry) bool { return anonymousMatches(e.Caller) }) {
		c.rule(lint.RefusesAll, r, "access.allow", "refuses every call: without auth.identify every caller is anonymous")
	}
}

func (c kindChecker) breaker(r *Rule) {
	b := r.CircuitBreaker
	if b.FailureRate == 0 && b.ConsecutiveFailures == 0 && b.SlowCallRate == 0 &&
		!r.at.written("circuitBreaker.failureRate") && !r.at.written("circuitBreaker.slowCallRate") && !r.at.written("circuitBreaker.consecutiveFailures") {
		c.rule(lint.Empty, r, "circuitBreaker", "never opens: it needs failureRate, consecutiveFailures or slowCallRate")
	}
	if b.SlowCallRate > 0 && b.SlowCallDuration == 0 {
		c.rule(lint.NeedsOther, r, "circuitBreaker.slowCallRate", "needs slowCallDuration")
	}
	if b.SlowCallDuration > 0 && b.SlowCallRate == 0 {
		c.rule(lint.NoEffect, r, "circuitBreaker.slowCallDuration", "has no effect without slowCallRate")
	}
	if i := slices.Index(b.FailOn, code.Cancelled.String()); i >= 0 {
		c.rule(lint.NoEffect, r, fmt.Sprintf("circuitBreaker.failOn[%d]", i), "has no effect: a call that its caller cancelled is never a failure")
	}
	if len(b.FailOn) == 0 {
		c.rule(lint.Empty, r, "circuitBreaker.failOn", "is empty: nothing would be a failure; leave the key out for the default")
	}
}

func (c kindChecker) retry(r *Rule) {
	p := r.Retry
	if p.InitialBackoff > p.MaxBackoff {
		path := "retry.maxBackoff"
		if !r.at.written(path) {
			path = "retry.initialBackoff"
		}
		c.rule(lint.Contradiction, r, path, "initialBackoff (%s) is longer than maxBackoff (%s)", p.InitialBackoff, p.MaxBackoff)
	}
	if len(p.RetryOn) == 0 {
		c.rule(lint.Empty, r, "retry.retryOn", "is empty: nothing would be retried; leave the key out for the default")
	}
	if i := slices.Index(p.RetryOn, "CANCELLED"); i >= 0 {
		c.rule(lint.NoEffect, r, fmt.Sprintf("retry.retryOn[%d]", i), "has no effect: a call that its caller cancelled is never retried")
	}
	if p.FailMode != Failfast && r.Mode != Off {
		c.retriesNothing(r)
	}
	if p.FailMode == Failfast && (r.at.written("retry.maxAttempts") || r.at.written("retry.retryOn")) {
		c.rule(lint.NoEffect, r, "retry.failMode", "failfast never retries: the other fields have no effect")
	}
}

func (c kindChecker) hedge(r *Rule) {
	h := r.Hedge
	upstreams, paths := c.called(r)
	for i, u := range upstreams {
		for j, m := range h.Methods {
			if !mayOverlap(m, u.Idempotent) {
				c.rule(lint.NotIdempotent, r, fmt.Sprintf("hedge.methods[%d]", j),
					"%s is not idempotent at upstream %s, and is never sent twice: add it to idempotent (%s)",
					m, u.Name, c.m.Position(paths[i]))
			}
		}
	}
}

func (c kindChecker) outliers(r *Rule) {
	o := r.OutlierDetection
	if o.BaseEjectionTime > o.MaxEjectionTime {
		path := "outlierDetection.maxEjectionTime"
		if !r.at.written(path) {
			path = "outlierDetection.baseEjectionTime"
		}
		c.rule(lint.Contradiction, r, path, "baseEjectionTime (%s) is longer than maxEjectionTime (%s)", o.BaseEjectionTime, o.MaxEjectionTime)
	}
}

// nearPercent is the part of a bound from which on sets are warned.
const nearPercent = 80

// MaxRules is the maximum number of rules in a set.
const MaxRules = 20_000
