package policies

import (
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// trial is a call through a half-open breaker. One that never ends would jam the breaker, so it ends by itself.
type trial struct {
	over  atomic.Bool
	timer *time.Timer
}

// end is true for the first that ends it.
func (t *trial) end() bool {
	if t.over.Swap(true) {
		return false
	}
	if t.timer != nil {
		t.timer.Stop()
	}
	return true
}

var errTrialHangs = errors.New("the trial call did not end in time")

// limit ends a trial that takes longer than d, with an outcome. Other admissions have no limit.
func (a *admission) limit(d time.Duration, outcome error) {
	if a.trial == nil {
		return
	}
	done, b, t := a.done, a.breaker, a.trial
	if d <= 0 {
		d = b.rule.Load().openTimeout
	}
	t.timer = time.AfterFunc(d, func() {
		if !t.over.Swap(true) {
			done(outcome)
			b.herald.deliver()
		}
	})
}

// redials has a client that waits for its time to connect do so at once, if the attempt is the trial of a breaker: it
// would fail although the upstream is back, and tell nothing. It does so once. When the time is over before there is a
// connection, the trial ends with err.
func (a *attempt) redials(err error) bool {
	if err == nil || code.From(err).Reason != code.ReasonNoEndpoint {
		return false
	}
	if a.unreachable != nil || !a.tries() || !a.flight.call.Redial() {
		return false
	}
	a.unreachable = err
	if trial := &a.admissions.list[0]; trial.trial != nil {
		trial.trial.timer.Stop()
		trial.limit(a.trialTime())
	}
	return true
}

// tries tells that the attempt is the trial of a breaker, or would be that of an endpoint's.
func (a *attempt) tries() bool {
	f := a.flight
	j := &f.breakers[0]
	switch {
	case j.entry == nil || !j.carriesOut:
		return false
	case j.breaker != nil:
		return a.admissions.list[0].trial != nil
	}
	return slices.ContainsFunc(f.snapshot.directory.of(f.call.Upstream(), f.call.Service()), func(address string) bool {
		return j.breakers.of(address).tries()
	})
}

// tries tells that the next call would be a trial.
func (b *breaker) tries() bool {
	if h := b.hold.Load(); h != 0 {
		return time.Duration(h) <= time.Since(b.epoch)
	}
	return b.phase.Load() == phaseHalfOpen
}
