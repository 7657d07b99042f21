package policies

import (
	"errors"
	"sync/atomic"
	"time"
)

// admission is the right to make a call, and the duty to settle it once.
type admission struct {
	breaker *breaker
	done    func(error)
	trial   *trial // of a half-open breaker
}

// settle reports the outcome of an admitted call: nil, errSlow, errExcluded or the failure.
func (a *admission) settle(outcome error) {
	if a.trial != nil && !a.trial.end() {
		return
	}
	a.done(outcome)
	a.breaker.deliver()
}

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
			b.deliver()
		}
	})
}
