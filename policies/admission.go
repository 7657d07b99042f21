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
	a.breaker.herald.deliver()
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
			b.herald.deliver()
		}
	})
}

// admissions are those of one call: of the breaker that is enforced, and of the one that only counts.
type admissions struct {
	list    [2]admission
	timed   bool // a breaker wants to know how long the call took
	started time.Time
}

// admit keeps an admission. left is the time until the call's deadline, 0 when there is none; callers tells that the
// caller set it.
func (s *admissions) admit(slot int, a admission, left time.Duration, callers bool) {
	s.list[slot] = a
	if a.breaker.rule.Load().slowCallRate > 0 {
		s.timed = true
	}
	if a.trial != nil {
		a.limit(left, callers)
	}
}

// start is when the call begins.
func (s *admissions) start() {
	if s.timed {
		s.started = time.Now()
	}
}

// settle reports the outcome to the breakers, once. callers tells that the deadline that the caller set has passed, and
// untried that nobody was asked, which is no trial.
func (s *admissions) settle(err error, callers, untried bool) {
	var took time.Duration
	if s.timed && !s.started.IsZero() {
		took = time.Since(s.started)
	}
	for i := range s.list {
		a := &s.list[i]
		if a.done == nil {
			continue
		}
		outcome := err
		if err != errExcluded { //nolint:errorlint // our own sentinel, never wrapped
			outcome = a.breaker.rule.Load().outcome(err, took, callers)
		}
		if untried && a.trial != nil {
			outcome = errExcluded
		}
		a.settle(outcome)
		a.done = nil
	}
}
