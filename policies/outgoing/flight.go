package outgoing

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

// Flight is one call to an upstream, with all of its attempts. The fields are set before Admit, and not changed until Run
// has returned.
type Flight struct {
	Call     client.OutgoingCall
	Pool     *client.Pool
	Deadline *limit.Deadline

	Retry         *Retry // the enforced one
	Hedge         *Hedge
	ShadowRetries [2]*Retry // that are not enforced for the call
	ShadowHedges  [2]*Hedge
	Breakers      [2]BreakerCheck // limit.Enforced and limit.Shadow
	Outliers      [2]OutlierCheck

	idempotent bool
	filters    bool // attempts decide on endpoints
	sent       int  // attempts

	mu       sync.Mutex
	shadowed [2]bool    // Breakers in shadow that would have refused an attempt
	failed   []string   // endpoints of attempts that failed
	running  []*attempt // of a hedged call

	first attempt
}

// Admit asks the breakers of scope method and upstream about the first attempt. The caller calls Notify once it holds no
// lock, and then Run, or Cancel.
func (f *Flight) Admit() error {
	f.filters = f.Retry != nil || f.Hedge != nil || f.Outliers != [2]OutlierCheck{}
	for i := range f.Breakers {
		f.filters = f.filters || f.Breakers[i].Breaker != nil && f.Breakers[i].Endpoints != nil
	}
	if f.Retry != nil || f.Hedge != nil || f.ShadowRetries != [2]*Retry{} || f.ShadowHedges != [2]*Hedge{} {
		f.idempotent = f.Call.Idempotent()
	}
	if !f.idempotent {
		f.Hedge = nil
	}
	f.first.flight = f
	return f.first.askShared()
}

// Notify delivers the events of the breakers of scope method and upstream.
func (f *Flight) Notify() {
	for i := range f.Breakers {
		if c := &f.Breakers[i]; c.Breaker != nil && c.Shared != nil {
			c.Contain(limit.AtAsk, c.Shared.Notify)
		}
	}
}

// Cancel gives back what Admit was granted, if it was called.
func (f *Flight) Cancel() {
	if f.first.flight != nil {
		f.first.abandon()
	}
}

// ShadowRefused reports for each of Breakers whether it is in shadow and would have refused an attempt up to now.
func (f *Flight) ShadowRefused() [2]bool { return f.shadowed }

// Run makes attempts until one counts, and waits for all of them. Nothing was sent if the rules refused the only attempt.
func (f *Flight) Run(ctx context.Context, arrived time.Time) (slot int, sent bool, err error) {
	f.countCall(arrived)
	var mayHaveRun error
	for {
		var o outcome
		if f.Hedge != nil {
			slot, o = f.hedged(ctx)
		} else {
			a := f.beginAttempt(0)
			began := f.shadowHedgeClock()
			o = a.run(ctx)
			f.endAttempt(a, o.err)
			f.countShadowHedges(began)
		}
		switch {
		case o.refused && mayHaveRun != nil: // a refusal must not hide it
			return slot, true, mayHaveRun
		case o.err == nil || o.refused || ctx.Err() != nil:
			return slot, !o.refused || f.sent > 1, o.err
		}
		if !code.NotRun(code.From(o.err).Reason) {
			mayHaveRun = o.err
		}
		pause, again := f.again(&o)
		if !again || pause > 0 && limit.Sleep(ctx, pause) != nil {
			return slot, true, o.err
		}
		f.Retry.Counts.Allow.Add(1)
	}
}

// countCall counts the call for the budgets of its retries and hedges.
func (f *Flight) countCall(now time.Time) {
	for _, r := range [...]*Retry{f.Retry, f.ShadowRetries[0], f.ShadowRetries[1]} {
		if r != nil {
			r.Contain(limit.AtAsk, func() { r.Budget.Call(now) })
		}
	}
	if h := f.Hedge; h != nil && f.Retry == nil {
		h.Contain(limit.AtAsk, func() { h.Budget.Call(now) })
	}
}

// beginAttempt begins an attempt. The first one has been admitted already.
func (f *Flight) beginAttempt(slot int) *attempt {
	a := &f.first
	if f.sent > 0 {
		a = &attempt{flight: f}
	}
	a.slot = slot
	f.sent++
	if f.Hedge == nil {
		return a
	}
	f.mu.Lock()
	f.running = append(f.running, a)
	f.mu.Unlock()
	return a
}

// endAttempt records the endpoints of an attempt that has ended.
func (f *Flight) endAttempt(a *attempt, err error) {
	if f.Hedge == nil && (f.Retry == nil || err == nil) {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.failed = append(f.failed, a.attempted...)
	if i := slices.Index(f.running, a); i >= 0 {
		f.running = slices.Delete(f.running, i, i+1)
	}
}

// refuses counts a breaker's decision against an attempt, and reports whether it is enforced.
func (f *Flight) refuses(which int) bool {
	c := &f.Breakers[which]
	if c.Counts.CountRefusal(c.Enforced) {
		return true
	}
	f.mu.Lock()
	f.shadowed[which] = true // once, however many attempts it would have refused
	f.mu.Unlock()
	return false
}

// isTaken reports whether another attempt uses an endpoint, or the retry excludes it.
func (f *Flight) isTaken(a *attempt, address string) bool {
	for _, o := range f.running {
		if o != a && o.address == address {
			return true
		}
	}
	if len(f.failed) == 0 {
		return false
	}
	if f.Retry != nil && f.Retry.failMode == config.Failtry {
		return address != f.failed[len(f.failed)-1]
	}
	return slices.Contains(f.failed, address)
}

// hedged makes an attempt, a further one whenever the delay passes without a response or one fails, and returns the first
// response that counts. All attempts have ended when it returns.
func (f *Flight) hedged(ctx context.Context) (slot int, o outcome) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	h := f.Hedge
	ended := make(chan *attempt, h.maxAttempts)
	started, running := 0, 0
	start := func() {
		a := f.beginAttempt(started)
		started, running = started+1, running+1
		go a.runBeside(ctx, ended)
	}
	endOthers := func() {
		cancel()
		for ; running > 0; running-- {
			<-ended
		}
	}
	start()
	timer := time.NewTimer(h.delay)
	defer timer.Stop()
	more := func(failed bool) {
		if ctx.Err() == nil && started < h.maxAttempts && f.sent < f.maxAttempts() && f.hedges(func() bool { return f.spendHedge(failed) }) {
			h.Counts.Allow.Add(1)
			start()
			timer.Reset(h.delay)
		}
	}
	for {
		select {
		case a := <-ended:
			running--
			if a.panicked != nil {
				endOthers()
				panic(a.panicked) //nolint:forbidigo // of the attempt: its caller expects it on this goroutine
			}
			f.endAttempt(a, a.outcome.err)
			last := a.outcome
			if !last.refused || o.err == nil { // a refusal must not hide that another attempt may have run
				slot, o = a.slot, last
			}
			if !f.hedges(func() bool { return f.worthAnother(&last) }) && !last.refused {
				endOthers()
				return slot, o
			}
			if !last.refused {
				more(true)
			}
			if running == 0 {
				return slot, o
			}
		case <-timer.C:
			more(false)
		}
	}
}

// hedges asks the hedge, or the retry that limits it.
func (f *Flight) hedges(ask func() bool) (yes bool) {
	health := f.Hedge.Health
	if f.Retry != nil {
		health = f.Retry.Health
	}
	return health.Contain(limit.AtDone, func() { yes = ask() }) && yes
}

// spendHedge takes a hedge out of the budget of the retry. Without a retry, hedges after a failure are out of the hedge's
// own budget: they are retries, which would double the load of a dead upstream.
func (f *Flight) spendHedge(failed bool) bool {
	switch {
	case f.Retry != nil:
		return f.Retry.spend()
	case !failed || f.Hedge.Budget.Spend(limit.DefaultRetryRate):
		return true
	}
	f.Hedge.Counts.Reject.Add(1)
	return false
}

// worthAnother reports whether an outcome is not a response that counts: a hedged call is idempotent.
func (f *Flight) worthAnother(o *outcome) bool {
	switch {
	case o.err == nil:
		return false
	case f.Retry != nil:
		return f.Retry.wants(o, true)
	}
	return o.perTry || code.Of(o.err) == code.Unavailable
}

// maxAttempts returns the limit of a call with both a hedge and a retry: the larger one.
func (f *Flight) maxAttempts() int {
	if f.Retry != nil {
		return max(f.Hedge.maxAttempts, f.Retry.maxAttempts)
	}
	return f.Hedge.maxAttempts
}

// shadowHedgeClock returns the time if a hedge in shadow needs it.
func (f *Flight) shadowHedgeClock() time.Time {
	if f.ShadowHedges == [2]*Hedge{} {
		return time.Time{}
	}
	return time.Now()
}

// countShadowHedges counts the call for the hedges in shadow that would have sent it again.
func (f *Flight) countShadowHedges(began time.Time) {
	for _, h := range f.ShadowHedges {
		if h != nil && f.idempotent && f.sent == 1 {
			h.Contain(limit.AtDone, func() {
				if time.Since(began) >= h.delay {
					h.Counts.Shadow.Add(1)
				}
			})
		}
	}
}

// again reports whether to retry, and after which pause.
func (f *Flight) again(o *outcome) (pause time.Duration, ok bool) {
	for _, r := range f.ShadowRetries {
		if r != nil && f.sent == 1 {
			r.Contain(limit.AtDone, func() {
				if r.wants(o, f.idempotent) && r.Budget.Spend(r.share) {
					r.Counts.Shadow.Add(1)
				}
			})
		}
	}
	r := f.Retry
	if r == nil || f.sent >= r.maxAttempts {
		return 0, false
	}
	returned := r.Contain(limit.AtDone, func() { pause, ok = f.retry(r, o) })
	return pause, returned && ok
}

// retry is again for the enforced retry.
func (f *Flight) retry(r *Retry, o *outcome) (pause time.Duration, ok bool) {
	if !r.wants(o, f.idempotent) {
		return 0, false
	}
	pause = r.pause(f.sent, o.err)
	if pause >= f.Deadline.Left() || f.Deadline.At.IsZero() && pause > max(maxPeerPause, r.maxPause) {
		return 0, false
	}
	if !r.spend() {
		o.err = &SpentError{Rule: r.Rule, err: o.err}
		return 0, false
	}
	return pause, true
}
