package policies

import (
	"net/netip"
	"slices"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/code"
)

// plan lists what is evaluated for the calls of one method by a caller that a rule names exactly, or by all other callers.
type plan struct {
	access, rateLimit, concurrency []*entry // every one that applies is evaluated; limits in the order of their locks
	winners                                 // of enforced rules
	shadow                         winners  // of rules in shadow
	timed                          bool     // an entry expires
}

// winners are the kinds of which only the first entry that applies counts.
type winners struct {
	breaker, timeout, retry, hedge, outlier []*entry
}

// entry is one kind of a rule in a plan, with the conditions that are checked for each call.
type entry struct {
	rule    *rule
	rank    rank
	counts  *limit.Counter
	callers []glob         // empty: all
	peers   []netip.Prefix // empty: all
	except  []*exception   // for the method
	earlier *entry         // of the same rule, with narrower conditions

	access  *accessList
	breaker *limit.Breaker // not of scope endpoint

	// Of client-side rules, for the upstream that is called:
	breakers *limit.PerEndpoint[*limit.Breaker] // of scope endpoint
	outliers *limit.Outliers
	budget   *limit.Budget
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

// matches compares the time on each call: a rule expires by itself, without an edit.
func (e *entry) matches(c *Call, now time.Time) bool {
	return (len(e.callers) == 0 || matchesAny(e.callers, c.Caller)) &&
		(len(e.peers) == 0 || contains(e.peers, c.Peer)) &&
		!slices.ContainsFunc(e.except, func(x *exception) bool { return x.matchesCall(c) }) &&
		!e.rule.expired(now)
}

func winner(list []*entry, c *Call, now time.Time) *entry {
	for _, e := range list {
		if e.matches(c, now) {
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

// shut returns the enforced breaker that would refuse a call now, or nil.
func (p *plan) shut(c *Call, now time.Time) *shutBreaker {
	if len(p.breaker) == 0 {
		return nil
	}
	e := winner(p.breaker, c, now)
	return shutBy(e, e != nil && e.rule.enforcedFor(c))
}

// tellBreakers delivers the events of the breakers, once no lock is held.
func (p *plan) tellBreakers() {
	for _, list := range [...][]*entry{p.breaker, p.shadow.breaker} {
		for _, e := range list {
			if e.breaker != nil {
				e.breaker.Notify()
			}
		}
	}
}

// refused counts a decision of an entry against a call, and reports whether it is enforced.
func (e *entry) refused(c *Call, carriedOut bool, kind config.Kind, refusal code.Code, reason string) bool {
	if e.counts.Refuse(carriedOut) {
		return true
	}
	c.shadowed = append(c.shadowed, e.shadow(kind, refusal, reason))
	return false
}

func (e *entry) shadow(kind config.Kind, refusal code.Code, reason string) ShadowRefusal {
	return ShadowRefusal{Rule: e.rule.label, Kind: kind, Code: refusal, Reason: reason}
}

// judge is an entry that decides on attempts, and whether it is enforced.
type judge struct {
	*entry
	carriesOut bool
}

// shut returns the breaker of the judge if it refuses calls now, whatever their endpoint.
func (j *judge) shut() *shutBreaker { return shutBy(j.entry, j.carriesOut) }

// chosen returns the entry that is enforced, and those in shadow.
func chosen(enforced, shadow []*entry, c *Call, now time.Time) (carried *entry, soft [2]*entry) {
	if len(enforced) > 0 {
		if e := winner(enforced, c, now); e != nil && e.rule.enforcedFor(c) {
			carried = e
		} else {
			soft[0] = e
		}
	}
	if len(shadow) > 0 {
		soft[1] = winner(shadow, c, now)
	}
	return carried, soft
}

func judges(enforced, shadow []*entry, c *Call, now time.Time) (both [2]judge) {
	if len(enforced) > 0 {
		if e := winner(enforced, c, now); e != nil {
			both[0] = judge{e, e.rule.enforcedFor(c)}
		}
	}
	if len(shadow) > 0 {
		both[1] = judge{winner(shadow, c, now), false}
	}
	return both
}
