package policies

import (
	"context"
	"strconv"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// Guard is the compiled rules of one method. It may be shared; a nil Guard lets every call pass.
type Guard struct {
	snapshot *Snapshot
	exact    map[string]*plan // for the callers that a rule names
	others   *plan            // for all others; nil: no rules
	matching []candidate      // all rules about the method, with those that are off or expired
}

// empty tells that no rule asks anything about the method's calls.
func (g *Guard) empty() bool { return g == nil || g.others == nil }

// Enter asks the rules in order, waiting where they say so, and fills t. A wait ends at the call's deadline and when
// ctx does. A refusal is a *code.Error that names the rule; then nothing is held, and t needs no Done. Tokens taken
// before it are not given back. What c leaves open (caller, arrival) is filled in.
func (g *Guard) Enter(ctx context.Context, c *Call, t *Ticket) error {
	*t = Ticket{guard: g, clock: clock{deadline: c.Deadline}}
	if g.empty() {
		return nil
	}
	if !g.snapshot.active.Load() {
		g.snapshot.Activate()
	}
	if c.Caller == "" {
		c.Caller = Anonymous
	}
	c.Peer = c.Peer.Unmap()
	if err := g.ask(ctx, g.plan(c.Caller), c, t); err != nil {
		t.abandon()
		return err
	}
	return nil
}

// plan is the one for a caller.
func (g *Guard) plan(caller string) *plan {
	if named, ok := g.exact[caller]; ok {
		return named
	}
	return g.others
}

func (g *Guard) ask(ctx context.Context, p *plan, c *Call, t *Ticket) error {
	now := p.now(c)
	if c.Arrived.IsZero() {
		c.Arrived = now
	}
	t.start(p, c, now)
	if err := g.askAccess(p, c, now); err != nil {
		return err
	}
	if !t.deadline.IsZero() && !now.Before(t.deadline) {
		return t.Late()
	}
	if err := g.snapshot.askRateLimit(ctx, p, c, &t.clock, now); err != nil {
		return err
	}
	if err := g.askBreaker(p, c, t, now); err != nil {
		return err
	}
	if err := g.askConcurrency(ctx, p, c, t, now); err != nil {
		return err
	}
	t.admissions.start()
	return nil
}

func (g *Guard) askAccess(p *plan, c *Call, now time.Time) error {
	for _, e := range p.access {
		if !e.applies(c, now) {
			continue
		}
		if e.access.allows(c.Caller) {
			e.counts.allow.Add(1)
			continue
		}
		if e.counts.refused(e.rule.carriesOut(c)) {
			return g.snapshot.refuse(e.rule, code.PermissionDenied, code.ReasonDenied, c.Caller+" denied", 0)
		}
	}
	return nil
}

func (s *Snapshot) askRateLimit(ctx context.Context, p *plan, c *Call, k *clock, now time.Time) error {
	for _, e := range p.rateLimit {
		if !e.applies(c, now) {
			continue
		}
		carriesOut, maxWait := e.rule.carriesOut(c), time.Duration(0)
		if carriesOut && e.rule.maxWait > 0 {
			maxWait = min(e.rule.maxWait, k.left())
		}
		wait, ok := e.rule.limiter.take(e.rule.key.key(c), maxWait)
		switch {
		case !ok && e.counts.refused(carriesOut):
			return s.refuse(e.rule, code.ResourceExhausted, code.ReasonRateLimited, "rate limited", wait)
		case !ok:
		case wait == 0:
			e.counts.allow.Add(1)
		default:
			e.counts.wait.Add(1)
			if err := sleep(ctx, wait); err != nil {
				return s.ended(ctx, e.rule, "waiting for a token")
			}
		}
	}
	return nil
}

func (g *Guard) askBreaker(p *plan, c *Call, t *Ticket, now time.Time) error {
	for slot, list := range [...][]*entry{p.breaker, p.shadow.breaker} {
		e := winner(list, c, now)
		if e == nil {
			continue
		}
		a, left, ok := e.breaker.allow()
		switch {
		case ok:
			e.counts.allow.Add(1)
			t.admissions.admit(slot, a, t.trialTime)
		case e.counts.refused(e.rule.carriesOut(c)):
			return g.snapshot.refuse(e.rule, code.Unavailable, code.ReasonBreakerOpen, "circuit breaker open", left)
		}
	}
	return nil
}

func (g *Guard) askConcurrency(ctx context.Context, p *plan, c *Call, t *Ticket, now time.Time) error {
	for _, e := range p.concurrency {
		if !e.applies(c, now) {
			continue
		}
		r := e.rule
		if !r.carriesOut(c) {
			if r.places.takeAnyway() {
				e.counts.shadow.Add(1)
			} else {
				e.counts.allow.Add(1)
			}
			t.occupy(r.places)
			continue
		}
		maxWait := r.queueTimeout
		if r.queue > 0 {
			maxWait = min(maxWait, t.left())
		}
		taken := r.places.take(ctx, maxWait)
		switch taken {
		case placeTaken:
			e.counts.allow.Add(1)
			t.occupy(r.places)
		case placeTakenAfterWait:
			e.counts.wait.Add(1)
			t.occupy(r.places)
		default:
			e.counts.reject.Add(1)
			return g.noPlace(ctx, r, taken)
		}
	}
	return nil
}

// noPlace makes the refusal of a concurrency limit. When to come again is a guess: once the queue has moved.
func (g *Guard) noPlace(ctx context.Context, r *rule, how taking) error {
	bound, after := "concurrency limit of "+strconv.Itoa(r.maximum)+" reached", 100*time.Millisecond
	switch {
	case how == placeCallEnded:
		return g.snapshot.ended(ctx, r, "queued behind a concurrency limit of "+strconv.Itoa(r.maximum))
	case how == placeWaitedTooLong:
		return g.snapshot.refuse(r, code.Unavailable, code.ReasonOverloaded, bound+" (waited too long in the queue)", after)
	case r.queue > 0:
		return g.snapshot.refuse(r, code.Unavailable, code.ReasonOverloaded, bound+" (queue full)", after)
	}
	return g.snapshot.refuse(r, code.Unavailable, code.ReasonOverloaded, bound, after)
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
