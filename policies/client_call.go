package policies

import (
	"cmp"
	"context"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/policies/outgoing"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

// clientCall is a call to an upstream, under the rules for it.
type clientCall struct {
	reservation reservation
	deciding
}

// deciding is the part of a clientCall that is reset for each call, as holding is that of a Ticket.
type deciding struct {
	call Call
	clock
	breaker *entry // the one that may be enforced
	flight  outgoing.Flight
}

// run carries out the call; see ClientRules.DoWithin.
func (cc *clientCall) run(ctx context.Context, g *Guard, within time.Time) (slot int, err error) {
	c, now := &cc.call, time.Now()
	c.Caller, c.Metadata, c.Arrived, c.target = cmp.Or(cc.flight.Call.Caller(), Anonymous), cc.flight.Call, now, g.target
	defer cc.reservation.leave()
	if err := cc.decide(ctx, g.plan(c.Caller), now, within); err != nil {
		return 0, err
	}
	if cc.deadline.ByRule {
		within := client.WithDeadline(ctx, cc.deadline.At)
		defer within.Release()
		ctx = within
	}
	before := cc.flight.ShadowRefused()
	slot, sent, err := cc.flight.Run(ctx, now)
	cc.reservation.made, cc.reservation.failed = sent, err != nil
	if !sent {
		cc.reservation.refund()
	}
	cc.shadowBreakers(before)
	for cc.shadow != [2]*entry{} {
		cc.conclude(func() { cc.countShadow(&c.shadowed) }) // once more without a rule that panicked
	}
	return slot, cc.timed(err)
}

// conclude calls report, which reports the end of the call to rules. If one panics, it is broken from then on.
func (cc *clientCall) conclude(report func()) {
	reported := false
	defer func() {
		if reported {
			return
		}
		if p := recover(); p != nil {
			cc.ending.health.Break(p)
		}
	}()
	report()
	reported = true
}

// decide asks the rules whether to send the call, without those that are broken, until none panics.
func (cc *clientCall) decide(ctx context.Context, p *plan, now, within time.Time) (err error) {
	decided := false
	defer func() {
		if decided {
			return
		}
		if panicked := recover(); panicked != nil {
			cc.call.blame(panicked, cc.drop)
			err = cc.decide(ctx, p, now, within)
		}
	}()
	err = cc.ask(ctx, p, now, within)
	decided = true
	return err
}

// drop gives back what the call holds, in whatever state a panic has left it, and begins it anew.
func (cc *clientCall) drop() {
	cc.reservation.drop()
	o := &cc.flight
	o.Cancel()
	cc.clock, cc.breaker = clock{host: cc.host}, nil
	cc.flight = outgoing.Flight{Call: o.Call, Pool: o.Pool, Deadline: &cc.deadline}
}

func (cc *clientCall) ask(ctx context.Context, p *plan, now, within time.Time) error {
	c := &cc.call
	if at, ok := ctx.Deadline(); ok {
		c.Deadline, cc.deadline.At, cc.deadline.Within = at, at, at.Equal(within)
	}
	cc.start(p, c, now)
	if !cc.deadline.At.IsZero() && !now.Before(cc.deadline.At) {
		return cc.overdue()
	}
	p.prioritize(c, now)
	cc.choose(p, now)
	return cc.admit(ctx, p, now)
}

// choose selects the rules that decide on attempts.
func (cc *clientCall) choose(p *plan, now time.Time) {
	c, o := &cc.call, &cc.flight
	for i, lists := range [...]*winners[[]*entry]{limit.Enforced: &p.winners, limit.Shadow: &p.shadow} {
		if e := winner(lists.retry, c, now); e != nil {
			if e.rule.enforcedFor(c) {
				o.Retry = e.retry
			} else {
				o.ShadowRetries[i] = e.retry
			}
		}
		if e := winner(lists.hedge, c, now); e != nil {
			if e.rule.enforcedFor(c) {
				o.Hedge = e.hedge
			} else {
				o.ShadowHedges[i] = e.hedge
			}
		}
		if e := winner(lists.breaker, c, now); e != nil {
			o.Breakers[i] = outgoing.BreakerCheck{Breaker: e.outgoing, Enforced: e.rule.enforcedFor(c)}
			if i == limit.Enforced {
				cc.breaker = e
			}
		}
		if e := winner(lists.outlier, c, now); e != nil {
			o.Outliers[i] = outgoing.OutlierCheck{Outliers: e.outliers, Enforced: e.rule.enforcedFor(c)}
		}
	}
}

// admit asks the limits and the breakers of scope method and upstream together. Closed breakers are asked like others: the flight
// may choose another endpoint.
func (cc *clientCall) admit(ctx context.Context, p *plan, now time.Time) error {
	v, c := &cc.reservation, &cc.call
	if _, err := v.reserve(ctx, p, c, &cc.clock, now, cc.breaker, false); err != nil {
		return err
	}
	c.asked = nil // Admit calls the client: a panic there is not that of a rule
	err := cc.flight.Admit()
	cc.shadowBreakers([2]bool{})
	v.conclude(c, false, err)
	cc.flight.Notify()
	if err == nil {
		err = v.waitInQueues(ctx, c, &cc.clock)
	}
	if err != nil {
		cc.flight.Cancel()
	}
	return err
}

// shadowBreakers records the refusals of breakers in shadow that are not recorded yet.
func (cc *clientCall) shadowBreakers(before [2]bool) {
	for i, refused := range cc.flight.ShadowRefused() {
		if refused && !before[i] {
			cc.call.shadowed = append(cc.call.shadowed, ShadowRefusal{
				Rule: cc.flight.Breakers[i].Rule, Kind: config.KindCircuitBreaker, Code: code.Unavailable, Reason: code.ReasonBreakerOpen,
			})
		}
	}
}

// timed counts the decision of the timeout, and returns its error if it ended the call.
func (cc *clientCall) timed(err error) error {
	if cc.timeout == nil {
		return err
	}
	ended := cc.deadline.ByRule && err != nil && code.Of(err) == code.DeadlineExceeded && limit.Reached(cc.deadline.At)
	cc.conclude(func() { cc.countTimeout(ended) })
	if ended {
		return cc.overdue()
	}
	return err
}
