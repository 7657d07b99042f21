package policies

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
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

// admissions are those of one call: of the breaker that is enforced, and of the one that only counts.
type admissions struct {
	list    [2]admission
	timed   bool // a breaker wants to know how long the call took
	started time.Time
}

// admit keeps an admission.
func (s *admissions) admit(slot int, a admission) {
	s.list[slot] = a
	if a.breaker.rule.Load().slowCallRate > 0 {
		s.timed = true
	}
}

// late reports that the call has run into its deadline. Of one that is not slow yet it leaves open whether it will be.
func (s *admissions) late(err error, callers bool) (open [2]*overtime) {
	if !s.timed || s.started.IsZero() {
		s.settle(err, callers, false)
		return open
	}
	for i := range s.list {
		a := &s.list[i]
		if a.done == nil {
			continue
		}
		if r := a.breaker.rule.Load(); r.slowCallRate > 0 && !r.slow(time.Since(s.started)) {
			open[i] = newOvertime(*a, s.started, r, r.verdict(err, callers))
			a.done = nil
		}
	}
	s.settle(err, callers, false)
	return open
}

// start is when the call begins, behind all queues. Of a trial, timing says how long it may take from now on, and what
// comes of one that takes longer.
func (s *admissions) start(timing func() (time.Duration, error)) {
	if s.timed {
		s.started = time.Now()
	}
	for i := range s.list {
		if a := &s.list[i]; a.done != nil && a.trial != nil {
			a.limit(timing())
		}
	}
}

// settle reports the outcome to the breakers, once. callers tells that the deadline that the caller set has passed, and
// sending that this is about sending a call: the trial of one that reached nobody fails, whatever its breaker counts else
// and whoever set its time, since nothing was found to be well.
func (s *admissions) settle(err error, callers, sending bool) {
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
		switch {
		case err == errExcluded: //nolint:errorlint // our own sentinel, never wrapped
		case err != nil && sending && a.trial != nil && code.From(err).Unreached():
		default:
			outcome = a.breaker.rule.Load().outcome(err, took, callers)
		}
		a.settle(outcome)
		a.done = nil
	}
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

// limit ends a trial that takes longer than d, with an outcome. One that would come to nothing, since the caller's time is
// over, runs on until it is slow.
func (a *admission) limit(d time.Duration, outcome error) {
	done, b, t := a.done, a.breaker, a.trial
	if r := b.rule.Load(); r.slowCallRate > 0 && outcome == errExcluded { //nolint:errorlint // our own sentinel, never wrapped
		d, outcome = max(d, r.slowCallDuration), errSlow
	}
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

// overtime is the time of a call behind its deadline, at which it was answered: to a breaker it is slow once it has taken
// so long, be it that its handler has not returned yet.
type overtime struct {
	admission admission
	started   time.Time
	rule      *breakerRule
	verdict   error // if it is not slow; a failure was reported at once
	timer     *time.Timer
	over      atomic.Bool
}

func newOvertime(a admission, started time.Time, r *breakerRule, verdict error) *overtime {
	o := &overtime{admission: a, started: started, rule: r, verdict: verdict}
	if isFailure(verdict) {
		a.settle(verdict)
	}
	o.timer = time.AfterFunc(r.slowCallDuration-time.Since(started), func() { o.end(true) })
	return o
}

// returned ends it when the handler has returned.
func (o *overtime) returned() {
	o.timer.Stop()
	o.end(o.rule.slow(time.Since(o.started)))
}

func (o *overtime) end(slow bool) {
	switch {
	case o.over.Swap(true):
	case !isFailure(o.verdict) && slow:
		o.admission.settle(errSlow)
	case !isFailure(o.verdict):
		o.admission.settle(o.verdict)
	case slow:
		o.admission.breaker.ranSlow()
	}
}
