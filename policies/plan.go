package policies

import (
	"net/netip"
	"slices"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/policies/outgoing"
	"github.com/easymicro/easymicro/wire/code"
)

// plan lists what is evaluated for the calls of one method by a caller that a rule names exactly, or by all other callers.
type plan struct {
	everyRule[[]*entry]                   // limits in the order of their locks
	winners[[]*entry]                     // of enforced rules
	shadow              winners[[]*entry] // of rules in shadow
	timed               bool              // an entry expires
}

// everyRule has one T for each kind of which every rule that applies is evaluated.
type everyRule[T any] struct {
	access, shed, rateLimit, concurrency T
}

func (k *everyRule[T]) each() []*T { return []*T{&k.access, &k.shed, &k.rateLimit, &k.concurrency} }

// winners has one T for each kind of which only the first rule that applies counts.
type winners[T any] struct {
	priority, breaker, timeout, retry, hedge, outlier T
}

func (k *winners[T]) each() []*T {
	return []*T{&k.priority, &k.breaker, &k.timeout, &k.retry, &k.hedge, &k.outlier}
}

// entry is one kind of a rule in a plan, with the conditions that are checked for each call.
type entry struct {
	rule    *rule
	kind    config.Kind
	health  *limit.Health
	rank    rank
	counts  *limit.Counter
	callers []glob         // empty: all
	claims  claimSet       // empty: any
	peers   []netip.Prefix // empty: all
	except  []*exception   // for the method
	earlier *entry         // of the same rule, with narrower conditions

	access  *accessList
	breaker *limit.Breaker // not of scope endpoint

	// Of client-side rules, for the upstream that is called:
	outgoing *outgoing.Breaker
	outliers *outgoing.Outliers
	retry    *outgoing.Retry
	hedge    *outgoing.Hedge
}

// applies reports whether the entry matches a call, and no narrower entry of its rule does.
func (e *entry) applies(c *Call, now time.Time) bool {
	if !e.matches(c, now) {
		return false
	}
	for o := e.earlier; o != nil; o = o.earlier {
		if o.matches(c, now) {
			return false
		}
	}
	return true
}

// matches compares the time on each call: a rule expires by itself, without an edit. A broken entry matches none.
func (e *entry) matches(c *Call, now time.Time) bool {
	c.asked = e
	return e.health.Works(limit.AtMatch) && (len(e.callers) == 0 || matchesAny(e.callers, c.Caller)) &&
		(len(e.claims) == 0 || e.claims.match(c.Claims)) &&
		(len(e.peers) == 0 || contains(e.peers, c.Peer)) &&
		!slices.ContainsFunc(e.except, func(x *exception) bool { return x.matchesCall(c) }) &&
		!e.rule.expired(now)
}

// closes reports whether a broken access rule refuses a call: one that it matches, or for which it cannot be told.
func (e *entry) closes(c *Call, now time.Time) (refuses bool) {
	defer func() { refuses = refuses || recover() != nil }()
	working := *e
	working.health = new(limit.Health)
	return e.rule.enforcedFor(c) && working.matches(c, now)
}

func (e *entry) refuseBroken() error {
	return e.rule.Refuse(code.Unavailable, code.ReasonRuleBroken, "the "+string(e.kind)+" rule is broken", 0)
}

// winner returns the entry that decides on a call; nil: none. Most lists are empty: that much is inlined.
func winner(list []*entry, c *Call, now time.Time) *entry {
	if len(list) == 0 {
		return nil
	}
	return firstMatch(list, c, now)
}

func firstMatch(list []*entry, c *Call, now time.Time) *entry {
	for _, e := range list {
		if e.matches(c, now) {
			e.health.Meet(limit.AtAsk)
			return e
		}
	}
	return nil
}

// now returns the time if the plan or the call needs it.
func (p *plan) now(c *Call) time.Time {
	if p.timed || len(p.timeout) > 0 || !c.Deadline.IsZero() || c.Arrived.IsZero() {
		return time.Now()
	}
	return time.Time{}
}

// prioritize sets the priority of the call.
func (p *plan) prioritize(c *Call, now time.Time) {
	c.priority = limit.PriorityNormal
	if e := winner(p.priority, c, now); e != nil {
		e.counts.Allow.Add(1)
		if e.rule.enforcedFor(c) {
			c.priority = e.rule.priority
		}
	}
	if e := winner(p.shadow.priority, c, now); e != nil {
		e.counts.Allow.Add(1)
	}
}

// askLoad returns the refusal of a call because of the CPU utilization. One draw counts for all rules, so that they do not add up.
func (p *plan) askLoad(c *Call, now time.Time) error {
	var load Load
	draw := -1.0
	for _, e := range p.shed {
		if !e.applies(c, now) {
			continue
		}
		e.health.Meet(limit.AtAsk)
		m := e.rule.meter
		if m.cpu == nil {
			continue
		}
		load = m.cpu()
		share := load.RefusedShare(e.rule.cpuAbove, c.priority)
		if share > 0 && draw < 0 {
			draw = m.draws.Next()
		}
		if share == 0 || draw >= share {
			e.counts.Allow.Add(1)
			continue
		}
		if e.countRefusal(c, e.rule.enforcedFor(c), config.KindShed, code.Unavailable, code.ReasonOverloaded) {
			return refusalByLoad(&e.rule.spec, &load, share, c.priority)
		}
	}
	return nil
}

// notifyBreakers delivers the events of the breakers. The caller must hold no lock.
func (p *plan) notifyBreakers(c *Call) {
	for _, list := range [...][]*entry{p.breaker, p.shadow.breaker} {
		for _, e := range list {
			if e.breaker != nil && !e.health.Broken() {
				c.asked = e
				e.breaker.Notify()
			}
		}
	}
}

// countRefusal counts a decision of an entry against a call, records it if it is in shadow, and reports whether it is enforced.
func (e *entry) countRefusal(c *Call, enforced bool, kind config.Kind, refusal code.Code, reason string) bool {
	if e.counts.CountRefusal(enforced) {
		return true
	}
	c.shadowed = append(c.shadowed, e.shadow(kind, refusal, reason))
	return false
}

func (e *entry) shadow(kind config.Kind, refusal code.Code, reason string) ShadowRefusal {
	return ShadowRefusal{Rule: e.rule.Rule, Kind: kind, Code: refusal, Reason: reason}
}

// openBreaker is an enforced breaker that would refuse the call.
type openBreaker struct {
	entry *entry
	left  time.Duration // until it probes
}

// openBreakerOf returns the breaker of an entry, which may be nil, if it refuses the call now, without asking it for an admission.
func openBreakerOf(e *entry, c *Call) *openBreaker {
	if e == nil || e.breaker == nil || e.health.Broken() || !e.rule.enforcedFor(c) {
		return nil
	}
	c.asked = e
	if left, open := e.breaker.IsOpen(); open {
		return &openBreaker{e, left}
	}
	return nil
}

// clock keeps the deadline of a call, and the timeouts that it comes from.
type clock struct {
	host     string // named in refusals
	deadline limit.Deadline
	arrived  time.Time
	timeout  *entry    // the enforced timeout
	shadow   [2]*entry // timeouts in shadow
	waited   *entry    // the concurrency limit in whose queue the deadline passed
	ending   *entry    // what the end of the call is reported to: it is to blame for a panic
}

// start sets the deadline and finds the timeouts that count.
func (k *clock) start(p *plan, c *Call, now time.Time) {
	k.arrived = c.Arrived
	if e := winner(p.timeout, c, now); e != nil {
		if e.rule.enforcedFor(c) {
			k.timeout = e
			if at := c.Arrived.Add(e.rule.timeout); k.deadline.At.IsZero() || at.Before(k.deadline.At) {
				k.deadline.At, k.deadline.ByRule = at, true
			}
		} else {
			k.shadow[0] = e
		}
	}
	k.shadow[1] = winner(p.shadow.timeout, c, now)
}

// overdue returns the error of a call at its deadline.
func (k *clock) overdue() *code.Error {
	if !k.deadline.ByRule {
		return code.Refuse(code.DeadlineExceeded, code.ReasonTimeout, "deadline of the caller passed", "", k.host, 0)
	}
	r := k.timeout.rule
	return r.Refuse(code.DeadlineExceeded, code.ReasonTimeout, "timed out after "+config.Duration(r.timeout).String(), 0)
}

// countShadow counts the decisions of the timeouts in shadow, once, and adds those that would have ended the call to would.
func (k *clock) countShadow(would *[]ShadowRefusal) {
	for i, e := range k.shadow {
		if e == nil {
			continue
		}
		k.ending, k.shadow[i] = e, nil
		if time.Since(k.arrived) > e.rule.timeout {
			e.counts.Shadow.Add(1)
			*would = append(*would, e.shadow(config.KindTimeout, code.DeadlineExceeded, code.ReasonTimeout))
		} else {
			e.counts.Allow.Add(1)
		}
		e.health.Meet(limit.AtDone)
	}
}

// countTimeout counts the decision of the enforced timeout.
func (k *clock) countTimeout(ended bool) {
	if k.timeout == nil {
		return
	}
	k.ending = k.timeout
	if ended {
		k.timeout.counts.Reject.Add(1)
	} else {
		k.timeout.counts.Allow.Add(1)
	}
	k.timeout.health.Meet(limit.AtDone)
}
