package limit

import (
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// Admission is the permission of a breaker to make a call, which is settled once. A fifth field would keep it out of registers.
type Admission struct {
	breaker *Breaker
	core    *breakerCore
	done    func(error)
	probe   *probe // through a half-open breaker
}

// settle reports the outcome of the call: nil, errSlow, ErrExcluded or the failure.
func (a *Admission) settle(done func(error), outcome error) {
	if a.probe == nil || a.probe.end() {
		a.core.report(done, outcome)
		a.breaker.Notify()
	}
}

// A call has at most two deciding rules of a kind, and so at most two breakers.
const (
	Enforced = iota // of the rules that are enforced, if only for some callers
	Shadow          // of the rules in shadow
)

// Admissions holds the admissions of one call by the breakers Enforced and Shadow. The zero Admissions is empty.
type Admissions struct {
	list    [2]Admission
	health  [2]*Health // of their rules
	timed   bool       // a breaker counts slow calls
	started time.Time
	at      *Health // of the breaker that Settle reports to
}

// Add keeps the admission by the breaker Enforced or Shadow of a rule.
func (s *Admissions) Add(which int, a Admission, of *Health) {
	s.list[which], s.health[which] = a, of
	if a.breaker.settings.Load().SlowCallRate > 0 {
		s.timed = true
	}
}

// Probing reports whether the enforced breaker lets the call through as a probe.
func (s *Admissions) Probing() bool { return s.list[Enforced].probe != nil }

// Late reports that the call passed its deadline with err. For a breaker that counts slow calls, a call that is not slow
// yet stays open: its Overtime ends once it is slow or returns.
func (s *Admissions) Late(err error, callerTimedOut bool) (open [2]*Overtime) {
	if !s.timed || s.started.IsZero() {
		s.Conclude(err, callerTimedOut, false)
		return open
	}
	for i := range s.list {
		a := &s.list[i]
		if a.done == nil {
			continue
		}
		s.health[i].Conclude(func() {
			if r := a.breaker.settings.Load(); r.SlowCallRate > 0 && !r.slow(time.Since(s.started)) {
				open[i] = newOvertime(*a, s.health[i], s.started, r, Verdict(err, r.FailOn, callerTimedOut))
				a.done = nil
			}
		})
	}
	s.Conclude(err, callerTimedOut, false)
	return open
}

// Start marks the beginning of the call, after all queues. For a probe, timing returns how long it may take from now on (0:
// OpenTimeout) and the outcome of one that takes longer.
func (s *Admissions) Start(timing func() (time.Duration, error)) {
	if s.timed {
		s.started = time.Now()
	}
	for i := range s.list {
		if a := &s.list[i]; a.done != nil && a.probe != nil {
			d, outcome := timing()
			a.limit(d, outcome, s.health[i])
		}
	}
}

// Settle reports the outcome to the breakers, once. callerTimedOut reports that the caller's own deadline passed; outgoing
// that this is an upstream call: a probe that never got a connection counts as a failure, whatever the breaker counts and
// whatever deadline passed, since it found nothing healthy.
func (s *Admissions) Settle(err error, callerTimedOut, outgoing bool) {
	var took time.Duration
	if s.timed && !s.started.IsZero() {
		took = time.Since(s.started)
	}
	for i := range s.list {
		a := &s.list[i]
		if a.done == nil {
			continue
		}
		done, outcome := a.done, err
		s.at, a.done = s.health[i], nil
		switch {
		case err == ErrExcluded: //nolint:errorlint // our own sentinel, never wrapped
		case err != nil && outgoing && a.probe != nil && code.From(err).Unreached():
		default:
			outcome = a.breaker.settings.Load().outcome(err, took, callerTimedOut)
		}
		a.settle(done, outcome)
		s.at.Meet(AtDone)
	}
}

// Settling returns the health of the rule whose breaker Settle reports to: after a panic, the cause.
func (s *Admissions) Settling() *Health { return s.at }

// Conclude is Settle, but contains panics.
func (s *Admissions) Conclude(err error, callerTimedOut, outgoing bool) {
	if s.list[Enforced].done == nil && s.list[Shadow].done == nil {
		return
	}
	settled := false
	defer func() {
		if settled {
			return
		}
		if p := recover(); p != nil {
			s.at.Break(p)
			s.Conclude(err, callerTimedOut, outgoing)
		}
	}()
	s.Settle(err, callerTimedOut, outgoing)
	settled = true
}

// probe is a call through a half-open breaker. One that never ends would block the breaker, so it has a time limit.
type probe struct {
	over  atomic.Bool
	timer *time.Timer
}

// end reports true to the first caller.
func (t *probe) end() bool {
	if t.over.Swap(true) {
		return false
	}
	if t.timer != nil {
		t.timer.Stop()
	}
	return true
}

// limit ends a probe that takes longer than d, with an outcome. Where slow calls count, one that would be excluded runs on
// until it is slow.
func (a *Admission) limit(d time.Duration, outcome error, of *Health) {
	b, t := a.breaker, a.probe
	if r := b.settings.Load(); r.SlowCallRate > 0 && outcome == ErrExcluded { //nolint:errorlint // our own sentinel, never wrapped
		d, outcome = max(d, r.SlowCallDuration), errSlow
	}
	if d <= 0 {
		d = b.settings.Load().OpenTimeout
	}
	timed := *a
	t.timer = time.AfterFunc(d, func() {
		if !t.over.Swap(true) {
			of.Conclude(func() {
				timed.core.report(timed.done, outcome)
				timed.breaker.Notify()
			})
		}
	})
}

// Overtime is the time that a handler runs after its call was answered at the deadline: to the breaker the call is slow
// once it has taken that long, whether or not the handler has returned.
type Overtime struct {
	admission Admission
	health    *Health
	started   time.Time
	settings  *BreakerSettings
	verdict   error // unless it is slow; a failure was reported at once
	timer     *time.Timer
	over      atomic.Bool
}

func newOvertime(a Admission, of *Health, started time.Time, r *BreakerSettings, verdict error) *Overtime {
	o := &Overtime{admission: a, health: of, started: started, settings: r, verdict: verdict}
	if isFailure(verdict) {
		a.settle(a.done, verdict)
	}
	o.timer = time.AfterFunc(r.SlowCallDuration-time.Since(started), func() { o.end(true) })
	return o
}

// Returned ends the overtime when the handler returns.
func (o *Overtime) Returned() {
	o.timer.Stop()
	o.end(o.settings.slow(time.Since(o.started)))
}

func (o *Overtime) end(slow bool) {
	if o.over.Swap(true) {
		return
	}
	a := &o.admission
	o.health.Conclude(func() {
		switch {
		case !isFailure(o.verdict) && slow:
			a.settle(a.done, errSlow)
		case !isFailure(o.verdict):
			a.settle(a.done, o.verdict)
		case slow:
			a.breaker.ranSlow()
		}
	})
}
