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

// limit ends a trial that takes longer than d: with a failure, or with nothing when the caller set so short a time.
// Other admissions have no limit.
func (a *admission) limit(d time.Duration, callers bool) {
	if a.trial == nil {
		return
	}
	outcome := errTrialHangs
	if callers {
		outcome = errExcluded
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
// would fail although the upstream is back, and tell nothing. It does so once.
func (a *attempt) redials(err error) bool {
	e := code.From(err)
	if a.redialled || e == nil || e.Reason != code.ReasonNoEndpoint || e.RetryAfter == 0 || !a.tries() {
		return false
	}
	a.redialled = true
	a.flight.call.Redial()
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
