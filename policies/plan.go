package policies

import (
	"net/netip"
	"slices"
	"time"
)

// plan is what is asked for the calls of one method: those of a caller that a rule names exactly, or those of all others.
type plan struct {
	access, rateLimit, concurrency []*entry // every one that applies is asked; limits in the order of their locks
	winners                                 // of what is enforced
	shadow                         winners  // of what only counts
	timed                          bool     // an entry expires
}

// winners are the kinds of which the first entry that applies wins.
type winners struct {
	breaker, timeout, retry, hedge, outlier []*entry
}

// entry is one kind of a rule in a plan, with what of its match is left to be decided for each call.
type entry struct {
	rule    *rule
	rank    rank
	counts  *counts
	callers []glob         // empty: all
	peers   []netip.Prefix // empty: all
	except  []*exception   // that are about the method
	earlier *entry         // of the same rule, with narrower conditions

	access  *accessList
	breaker *breaker // not of scope endpoint

	// Of client-side rules, for the upstream that is called:
	breakers *byAddress[*breaker] // of scope endpoint
	outliers *outliers
	budget   *budget
}

// applies tells whether the entry is about a call, and no narrower entry of its rule is.
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

// now is the time if anything in the plan or the call asks for it.
func (p *plan) now(c *Call) time.Time {
	if p.timed || len(p.timeout) > 0 || !c.Deadline.IsZero() || c.Arrived.IsZero() {
		return time.Now()
	}
	return time.Time{}
}

// shut is the enforced breaker that would refuse a call now.
func (p *plan) shut(c *Call, now time.Time) *shutBreaker {
	if len(p.breaker) == 0 {
		return nil
	}
	e := winner(p.breaker, c, now)
	return shutBy(e, e != nil && e.rule.carriesOut(c))
}

// tellBreakers delivers what the breakers have to say, once no lock is held.
func (p *plan) tellBreakers() {
	for _, list := range [...][]*entry{p.breaker, p.shadow.breaker} {
		for _, e := range list {
			if e.breaker != nil {
				e.breaker.herald.deliver()
			}
		}
	}
}
