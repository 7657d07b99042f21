package limit

import (
	"runtime/debug"
	"sync/atomic"
)

// Moment is when a rule runs. Tests have rules panic at one.
type Moment string

// The values of Moment.
const (
	AtCompile Moment = "compile"
	AtMatch   Moment = "match" // a call is compared with the conditions of the rule
	AtAsk     Moment = "ask"
	AtDone    Moment = "done"
	AtTaste   Moment = "taste" // the rule is tried on calls of its own
)

// Health records whether one kind of a rule works. Once it has panicked it is broken, and is not asked again.
type Health struct {
	suspect atomic.Bool // it is broken, or a test has a fault for it
	broken  atomic.Pointer[Panic]
	report  func(*Panic)
	fault   func(Moment) // of tests; else nil
}

// Panic is the panic of a rule.
type Panic struct {
	Value any
	Stack []byte
}

// NewHealth returns the Health of a kind that works. report receives its first panic, on the goroutine of a call or a timer;
// locks may be held. fault is nil except in tests, which have it panic.
func NewHealth(report func(*Panic), fault func(Moment)) *Health {
	h := &Health{report: report, fault: fault}
	h.suspect.Store(fault != nil)
	return h
}

// Broken reports whether the kind has panicked. It must not be asked then.
func (h *Health) Broken() bool { return h.suspect.Load() && h.broken.Load() != nil }

// Works reports whether the kind is not broken. Tests can have it panic.
func (h *Health) Works(at Moment) bool { return !h.suspect.Load() || h.meet(at) }

// Panic returns the first panic; nil: none.
func (h *Health) Panic() *Panic { return h.broken.Load() }

// Meet does nothing, except that tests can have it panic at a moment.
func (h *Health) Meet(at Moment) {
	if h.suspect.Load() {
		h.meet(at)
	}
}

func (h *Health) meet(at Moment) (works bool) {
	if h.Broken() {
		return false
	}
	if h.fault != nil {
		h.fault(at)
	}
	return true
}

// Break marks the kind as broken by a panic. Call it in the deferred function that recovers, for the stack.
func (h *Health) Break(value any) {
	p := &Panic{value, debug.Stack()}
	if h.broken.CompareAndSwap(nil, p) {
		h.suspect.Store(true)
		h.report(p)
	}
}

// Contain calls f, unless the kind is broken, and reports whether f returned. If it panics, the kind is broken from then on.
func (h *Health) Contain(at Moment, f func()) (returned bool) {
	defer func() {
		if !returned {
			h.Recovered(recover())
		}
	}()
	if !h.Works(at) {
		return false
	}
	f()
	return true
}

// Conclude is Contain for what has to be done even if the kind is broken: giving back what a call holds.
func (h *Health) Conclude(f func()) {
	returned := false
	defer func() {
		if !returned {
			h.Recovered(recover())
		}
	}()
	f()
	h.Meet(AtDone)
	returned = true
}

// Recovered is Break for the result of recover, which is nil if the goroutine exits.
func (h *Health) Recovered(value any) {
	if value != nil {
		h.Break(value)
	}
}
