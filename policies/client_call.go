package policies

import (
	"cmp"
	"context"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/policies/outgoing"
	"github.com/easymicro/easymicro/wire/code"
)

// clientCall is a call to an upstream, under the rules for it.
type clientCall struct {
	host string
	call Call
	clock
	reservation reservation
	held        limit.Permits
	breaker     *entry // the enforced one
	flight      outgoing.Flight
}

// run carries out the call; see ClientRules.DoWithin.
func (f *clientCall) run(ctx context.Context, g *Guard, within time.Time) (slot int, err error) {
	c, now := &f.call, time.Now()
	c.Caller, c.Metadata, c.Arrived, c.target = cmp.Or(f.flight.Call.Caller(), Anonymous), f.flight.Call, now, g.target
	if at, ok := ctx.Deadline(); ok {
		c.Deadline, f.deadline.At, f.deadline.Within = at, at, at.Equal(within)
	}
	p := g.plan(c.Caller)
	f.start(p, c, now)
	if !f.deadline.At.IsZero() && !now.Before(f.deadline.At) {
		return 0, f.overdue(f.host)
	}
	f.choose(p, now)
	defer f.held.Release()
	if err := f.admit(ctx, p, now); err != nil {
		return 0, err
	}
	if f.deadline.ByRule {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadline(ctx, f.deadline.At)
		defer cancel()
	}
	before := f.flight.ShadowRefused()
	slot, sent, err := f.flight.Run(ctx, now)
	if !sent {
		f.reservation.refund()
	}
	f.shadowBreakers(before)
	c.shadowed = append(c.shadowed, f.countShadow()...)
	return slot, f.timed(err)
}

// choose selects the rules that decide on attempts.
func (f *clientCall) choose(p *plan, now time.Time) {
	c, o := &f.call, &f.flight
	for i, d := range deciders(p.retry, p.shadow.retry, c, now) {
		switch {
		case d.enforced:
			o.Retry = d.retry
		case d.entry != nil:
			o.ShadowRetries[i] = d.retry
		}
	}
	for i, d := range deciders(p.hedge, p.shadow.hedge, c, now) {
		switch {
		case d.enforced:
			o.Hedge = d.hedge
		case d.entry != nil:
			o.ShadowHedges[i] = d.hedge
		}
	}
	for i, d := range deciders(p.breaker, p.shadow.breaker, c, now) {
		if d.entry != nil {
			o.Breakers[i] = outgoing.BreakerCheck{Breaker: d.outgoing, Enforced: d.enforced}
		}
		if d.enforced {
			f.breaker = d.entry
		}
	}
	for i, d := range deciders(p.outlier, p.shadow.outlier, c, now) {
		if d.entry != nil {
			o.Outliers[i] = outgoing.OutlierCheck{Outliers: d.outliers, Enforced: d.enforced}
		}
	}
}

// admit asks the limits and the breakers of scope method and upstream together: a call that one refuses takes nothing of
// the others.
func (f *clientCall) admit(ctx context.Context, p *plan, now time.Time) error {
	v := &f.reservation
	v.open(f.host, p, &f.call, &f.clock, now)
	if v.mustWait() {
		if err := v.wait(ctx, &f.call, shutBy(f.breaker)); err != nil {
			return err
		}
	}
	v.line(p, &f.call, now)
	if v.refused() {
		return v.cancel(&f.call, shutBy(f.breaker))
	}
	err := f.flight.Admit()
	f.shadowBreakers([2]bool{})
	if err != nil {
		v.unlock()
	} else {
		v.commit(&f.call, &f.held)
	}
	f.flight.Notify()
	if err == nil {
		err = v.await(ctx, &f.clock, &f.held)
	}
	if err != nil {
		f.flight.Cancel()
	}
	return err
}

// shadowBreakers records the refusals of breakers in shadow that are not recorded yet.
func (f *clientCall) shadowBreakers(before [2]bool) {
	for i, refused := range f.flight.ShadowRefused() {
		if refused && !before[i] {
			f.call.shadowed = append(f.call.shadowed, ShadowRefusal{
				Rule: f.flight.Breakers[i].Rule, Kind: config.KindCircuitBreaker, Code: code.Unavailable, Reason: code.ReasonBreakerOpen,
			})
		}
	}
}

// timed counts the decision of the timeout, and returns its error if it ended the call.
func (f *clientCall) timed(err error) error {
	if f.timeout == nil {
		return err
	}
	if f.deadline.ByRule && err != nil && code.Of(err) == code.DeadlineExceeded && limit.Reached(f.deadline.At) {
		f.timeout.counts.Reject.Add(1)
		return f.overdue(f.host)
	}
	f.timeout.counts.Allow.Add(1)
	return err
}
