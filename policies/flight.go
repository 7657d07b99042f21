package policies

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

// flight is one call to an upstream, from Do to its end.
type flight struct {
	snapshot *Snapshot
	call     client.OutgoingCall
	asked    Call
	clock

	retry, hedge         *entry // that are carried out
	softRetry, softHedge [2]*entry
	breakers, outliers   [2]judge // that is enforced, and that is in shadow
	reservation          reservation
	held                 limit.Permits
	idempotent           bool
	watches              bool // wants to know about endpoints
	sent                 int  // attempts

	mu      sync.Mutex
	tried   []string   // endpoints where an attempt failed
	running []*attempt // of a hedged call

	first attempt
}

// tellBreakers delivers what the breakers have to say that attempts ask before they have an endpoint.
func (f *flight) tellBreakers() {
	for _, j := range f.breakers {
		if j.entry != nil && j.breaker != nil {
			j.breaker.Notify()
		}
	}
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
		return 0, f.overdue(f.snapshot.host)
	}
	f.choose(p, now)
	defer f.held.Release()
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
	v.open(f.snapshot.host, p, &f.asked, &f.clock, now)
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
			e.budget.Call(now)
		}
	}
	if f.hedge != nil && f.retry == nil {
		f.hedge.budget.Call(now)
	}
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
		f.retry.counts.Allow.Add(1)
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
		f.timeout.counts.Reject.Add(1)
		return f.overdue(f.snapshot.host)
	}
	f.timeout.counts.Allow.Add(1)
	return err
}

// shadows counts a breaker's decision against an attempt, and reports whether it is carried out. A call that would have
// been refused at several attempts, some of them at the same time, was so once.
func (f *flight) shadows(j *judge) bool {
	if j.counts.Refuse(j.carriesOut) {
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

// isTaken tells that the call is at an endpoint with another attempt, or was where it shall not go again.
func (f *flight) isTaken(a *attempt, address string) bool {
	for _, o := range f.running {
		if o != a && o.address == address {
			return true
		}
	}
	if len(f.tried) == 0 {
		return false
	}
	if f.retry != nil && f.retry.rule.retry.failMode == config.Failtry {
		return address != f.tried[len(f.tried)-1]
	}
	return slices.Contains(f.tried, address)
}

// hedged makes an attempt, another one whenever the rule's delay passes without an answer or one fails, and takes what
// answers first. All of them have ended when it returns.
func (f *flight) hedged(ctx context.Context) (slot int, o outcome) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	r := f.hedge.rule.hedge
	landed := make(chan *attempt, r.maxAttempts)
	started, running := 0, 0
	start := func() {
		a := f.depart(started)
		started, running = started+1, running+1
		go a.land(ctx, landed)
	}
	more := func(failed bool) bool {
		return ctx.Err() == nil && started < r.maxAttempts && f.sent < f.most() && f.spendHedge(failed)
	}
	end := func() {
		cancel()
		for ; running > 0; running-- {
			<-landed
		}
	}
	start()
	timer := time.NewTimer(r.delay)
	defer timer.Stop()
	for {
		select {
		case a := <-landed:
			running--
			if a.panicked != nil {
				end()
				panic(a.panicked) //nolint:forbidigo // of the attempt: whoever called expects it here
			}
			f.land(a, a.outcome.err)
			last := a.outcome
			if !last.own || o.err == nil { // a refusal of our own does not hide that another attempt perhaps ran
				slot, o = a.slot, last
			}
			if !f.worthAnother(&last) && !last.own {
				end()
				return slot, o
			}
			if !last.own && more(true) {
				f.hedge.counts.Allow.Add(1)
				start()
				timer.Reset(r.delay)
			}
			if running == 0 {
				return slot, o
			}
		case <-timer.C:
			if more(false) {
				f.hedge.counts.Allow.Add(1)
				start()
				timer.Reset(r.delay)
			}
		}
	}
}

// spendHedge takes an attempt out of the budget of the retry rule. Without one, those that are made since another has
// failed are out of a budget of the hedge's own: they are retries, which would double the load of a dead upstream.
func (f *flight) spendHedge(failed bool) bool {
	if f.retry != nil || !failed || f.hedge.budget.Spend(limit.DefaultRetryRate) {
		return f.retry == nil || f.spend()
	}
	f.hedge.counts.Reject.Add(1)
	return false
}

// worthAnother tells whether an outcome is no answer that counts: a hedged call is idempotent.
func (f *flight) worthAnother(o *outcome) bool {
	switch {
	case o.err == nil:
		return false
	case f.retry != nil:
		return f.retry.rule.retry.wants(o, true)
	}
	return o.perTry || code.Of(o.err) == code.Unavailable
}

// most is the number of attempts of a call with both a hedge and a retry rule: the larger one.
func (f *flight) most() int {
	most := f.hedge.rule.hedge.maxAttempts
	if f.retry != nil {
		most = max(most, f.retry.rule.retry.maxAttempts)
	}
	return most
}

// softHedgeClock is the time, if a hedge that is not carried out asks for it.
func (f *flight) softHedgeClock() time.Time {
	if f.softHedge == [2]*entry{} {
		return time.Time{}
	}
	return time.Now()
}

// countSoftHedge counts a call that a hedge would have sent again that is not carried out.
func (f *flight) countSoftHedge(sent time.Time) {
	for _, e := range f.softHedge {
		if e != nil && f.idempotent && f.sent == 1 && time.Since(sent) >= e.rule.hedge.delay {
			e.counts.Shadow.Add(1)
		}
	}
}

// again decides about another attempt, and how long to rest before it.
func (f *flight) again(o *outcome) (pause time.Duration, ok bool) {
	for _, e := range f.softRetry {
		if e != nil && f.sent == 1 && e.rule.retry.wants(o, f.idempotent) && e.budget.Spend(e.rule.retry.share) {
			e.counts.Shadow.Add(1)
		}
	}
	if f.retry == nil {
		return 0, false
	}
	r := f.retry.rule.retry
	if f.sent >= r.maxAttempts || !r.wants(o, f.idempotent) {
		return 0, false
	}
	pause = r.pause(f.sent, o.err)
	if pause >= f.left() || f.deadline.IsZero() && pause > max(longestPause, r.longest) {
		return 0, false
	}
	if !f.spend() {
		o.err = &SpentError{Rule: f.retry.rule.label, err: o.err}
		return 0, false
	}
	return pause, true
}

// spend takes an attempt beyond the first out of the budget of the retry rule, if there is one.
func (f *flight) spend() bool {
	if f.retry == nil || f.retry.budget.Spend(f.retry.rule.retry.share) {
		return true
	}
	f.retry.counts.Reject.Add(1)
	return false
}
