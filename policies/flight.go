package policies

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/code"
)

// flight is one call to an upstream, from Do to its end.
type flight struct {
	snapshot *Snapshot
	call     Guarded
	asked    Call
	clock

	retry, hedge         *entry // that are carried out
	softRetry, softHedge [2]*entry
	breakers, outliers   [2]judge // that is enforced, and that is in shadow
	reservation          reservation
	held                 held
	idempotent           bool
	watches              bool // wants to know about endpoints
	sent                 int  // attempts

	mu      sync.Mutex
	tried   []string   // endpoints where an attempt failed
	running []*attempt // of a hedged call

	first attempt
}

// judge is an entry that decides on attempts, and whether that is carried out.
type judge struct {
	*entry
	carriesOut bool
}

// tellBreakers delivers what the breakers have to say that attempts ask before they have an endpoint.
func (f *flight) tellBreakers() {
	for _, j := range f.breakers {
		if j.entry != nil && j.breaker != nil {
			j.breaker.herald.deliver()
		}
	}
}

// shut is the breaker of the judge if it refuses calls now, whatever their endpoint.
func (j *judge) shut() *shutBreaker { return shutBy(j.entry, j.carriesOut) }

// outcome is what came of an attempt.
type outcome struct {
	err    error
	own    bool // our own rules refused it: nothing was sent
	perTry bool // it ran out of perTryTimeout
}

// fly carries out the call; within is as DoWithin has it.
func (f *flight) fly(ctx context.Context, g *Guard, within time.Time) (slot int, err error) {
	c, now := &f.asked, time.Now()
	c.Caller, c.Metadata, c.Arrived, c.target = cmp.Or(f.call.Caller(), Anonymous), f.call, now, g.target
	if deadline, ok := ctx.Deadline(); ok {
		c.Deadline, f.deadline, f.within = deadline, deadline, deadline.Equal(within)
	}
	p := g.plan(c.Caller)
	f.start(p, c, now)
	if !f.deadline.IsZero() && !now.Before(f.deadline) {
		return 0, f.overdue(f.snapshot)
	}
	f.choose(p, now)
	defer f.held.free()
	if err := f.admit(ctx, p, now); err != nil {
		return 0, err
	}
	f.budget(now)
	if f.byRule {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, f.deadline)
		defer cancel()
	}
	slot, err = f.run(ctx)
	f.asked.shadowed = append(f.asked.shadowed, f.countSoft()...)
	return slot, f.timed(err)
}

// admit asks the limits, and the breakers that the first attempt needs before it has an endpoint, together: whichever
// refuses the call, it takes nothing of the others.
func (f *flight) admit(ctx context.Context, p *plan, now time.Time) error {
	v := &f.reservation
	v.open(f.snapshot, p, &f.asked, &f.clock, now)
	if v.mustWait() {
		if err := v.wait(ctx, &f.asked, f.breakers[0].shut()); err != nil {
			return err
		}
	}
	v.line(p, &f.asked, now)
	if v.refused() {
		return v.cancel(&f.asked, f.breakers[0].shut())
	}
	f.first.flight = f
	err := f.first.enter()
	if err != nil {
		v.unlock()
	} else {
		v.commit(&f.asked, &f.held)
	}
	f.tellBreakers()
	if err == nil {
		err = v.await(ctx, &f.clock, &f.held)
	}
	if err != nil {
		f.first.abandon()
	}
	return err
}

// choose finds the rules that decide on attempts.
func (f *flight) choose(p *plan, now time.Time) {
	c := &f.asked
	f.retry, f.softRetry = chosen(p.retry, p.shadow.retry, c, now)
	f.hedge, f.softHedge = chosen(p.hedge, p.shadow.hedge, c, now)
	f.breakers, f.outliers = judges(p.breaker, p.shadow.breaker, c, now), judges(p.outlier, p.shadow.outlier, c, now)
	f.watches = f.retry != nil || f.hedge != nil || f.outliers != [2]judge{}
	for _, j := range f.breakers {
		f.watches = f.watches || j.entry != nil && j.entry.breakers != nil
	}
	if f.retry != nil || f.hedge != nil || f.softRetry != [2]*entry{} || f.softHedge != [2]*entry{} {
		f.idempotent = f.call.Idempotent()
	}
	if !f.idempotent {
		f.hedge = nil
	}
}

// budget counts the call for those that may be sent again.
func (f *flight) budget(now time.Time) {
	for _, e := range [...]*entry{f.retry, f.softRetry[0], f.softRetry[1]} {
		if e != nil {
			e.budget.call(now)
		}
	}
	if f.hedge != nil && f.retry == nil {
		f.hedge.budget.call(now)
	}
}

// chosen are the entry that wins and is carried out, and those that only count.
func chosen(enforced, shadow []*entry, c *Call, now time.Time) (carried *entry, soft [2]*entry) {
	if len(enforced) > 0 {
		if e := winner(enforced, c, now); e != nil && e.rule.carriesOut(c) {
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
			both[0] = judge{e, e.rule.carriesOut(c)}
		}
	}
	if len(shadow) > 0 {
		both[1] = judge{winner(shadow, c, now), false}
	}
	return both
}

// run makes attempts until one counts. One that our own rules refuse does not hide that another perhaps ran.
func (f *flight) run(ctx context.Context) (slot int, err error) {
	var perhapsRan error
	for {
		var o outcome
		if f.hedge != nil {
			slot, o = f.hedged(ctx)
		} else {
			a := f.depart(0)
			sent := f.softHedgeClock()
			o = a.run(ctx)
			f.land(a, o.err)
			f.countSoftHedge(sent)
		}
		if o.own && perhapsRan != nil {
			return slot, perhapsRan
		}
		if o.own && f.sent == 1 {
			f.reservation.refund()
		}
		if o.err == nil || o.own || ctx.Err() != nil {
			return slot, o.err
		}
		if !code.NotRun(code.From(o.err).Reason) {
			perhapsRan = o.err
		}
		pause, again := f.again(&o)
		if !again || pause > 0 && sleep(ctx, pause) != nil {
			return slot, o.err
		}
		f.retry.counts.allow.Add(1)
	}
}

// depart begins an attempt. The first one has been let in already.
func (f *flight) depart(slot int) *attempt {
	a := &f.first
	if f.sent > 0 {
		a = &attempt{flight: f}
	}
	a.slot = slot
	f.sent++
	if f.hedge == nil {
		return a
	}
	f.mu.Lock()
	f.running = append(f.running, a)
	f.mu.Unlock()
	return a
}

// land notes where an attempt was that has ended.
func (f *flight) land(a *attempt, err error) {
	if f.hedge == nil && (f.retry == nil || err == nil) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.tried = append(f.tried, a.met...)
	for i, r := range f.running {
		if r == a {
			f.running = append(f.running[:i], f.running[i+1:]...)
			break
		}
	}
}

// tick is how long before our deadline an answer counts as one of the deadline: it travels in whole milliseconds, and a
// peer that keeps to it may answer a little sooner than we give up.
const tick = 5 * time.Millisecond

// atEnd tells that a deadline has come, or as good as.
func atEnd(deadline time.Time) bool { return time.Until(deadline) <= tick }

// timed counts what the timeout made of the call, and names its rule when it was that.
func (f *flight) timed(err error) error {
	if f.timeout == nil {
		return err
	}
	if f.byRule && err != nil && code.Of(err) == code.DeadlineExceeded && atEnd(f.deadline) {
		f.timeout.counts.reject.Add(1)
		return f.overdue(f.snapshot)
	}
	f.timeout.counts.allow.Add(1)
	return err
}

// shadows counts a breaker's decision against an attempt, and reports whether it is carried out. A call that would have
// been refused at several attempts, some of them at the same time, was so once.
func (f *flight) shadows(j *judge) bool {
	if j.counts.refused(j.carriesOut) {
		return true
	}
	would := j.shadow(config.KindCircuitBreaker, code.Unavailable, code.ReasonBreakerOpen)
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.asked.shadowed, would) {
		f.asked.shadowed = append(f.asked.shadowed, would)
	}
	return false
}
