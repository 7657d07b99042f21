package policies

import (
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/code"
)

// Ticket is what a call holds from Enter to Done. The zero Ticket is ready for Enter; it must not be copied after Enter, and
// may be reused after Done.
type Ticket struct {
	reservation reservation
	holding
}

// holding is the part of a Ticket that Enter resets. Resetting the reservation would cost as much as a limit.
type holding struct {
	clock
	host       string
	ruled      bool // Enter has met rules
	admissions limit.Admissions
	held       limit.Permits

	settled atomic.Bool // the outcome is known, from Late or Done
	over    atomic.Bool // nothing is held

	overtimes [2]*limit.Overtime // of a call that was late; set before late
	late      atomic.Bool
	shadowed  []ShadowRefusal
}

// Deadline returns when the call must be answered: the earlier of the rules' timeout and the caller's own deadline.
func (t *Ticket) Deadline() (time.Time, bool) { return t.deadline.At, !t.deadline.At.IsZero() }

// RuleDeadline returns Deadline if a rule of this host set it, and zero if the caller did.
func (t *Ticket) RuleDeadline() time.Time {
	if !t.deadline.ByRule {
		return time.Time{}
	}
	return t.deadline.At
}

// Late returns the error to answer with at the deadline. It settles the breaker, except for whether the call is slow, which
// is known once it has run that long, or at Done; the call stays in flight until Done. Late may be called while the handler
// runs and from another goroutine, but not once t is reused.
func (t *Ticket) Late() *code.Error {
	err := t.overdue(t.host)
	if t.settled.Swap(true) {
		return err
	}
	if t.deadline.ByRule {
		t.timeout.counts.Reject.Add(1)
	}
	t.overtimes = t.admissions.Late(err, t.callers(err))
	t.late.Store(true)
	if t.over.Load() { // the handler returned meanwhile, maybe before they were set
		t.returned()
	}
	return err
}

// returned ends the overtime of a call.
func (t *Ticket) returned() {
	if !t.late.Load() {
		return // Late calls it
	}
	for _, o := range t.overtimes {
		if o != nil {
			o.Returned()
		}
	}
}

// Done reports that the handler has returned err: nil, its error before code.Edge removes the part of a remote peer (a
// breaker does not count a peer's refusals), or INTERNAL for a panic. It ends the call for concurrency limits, and settles
// the breaker if Late has not. Further calls do nothing.
func (t *Ticket) Done(err error) {
	if !t.ruled || t.over.Swap(true) {
		return
	}
	t.held.Release()
	t.shadowed = t.countShadow()
	if t.settled.Swap(true) {
		t.returned()
		return
	}
	if t.timeout != nil {
		t.timeout.counts.Allow.Add(1)
	}
	t.settle(err)
}

// abandon returns what is held for a call that a later rule refused.
func (t *Ticket) abandon() {
	t.over.Store(true)
	t.held.Release()
	if !t.settled.Swap(true) {
		t.settle(limit.ErrExcluded)
	}
}

// settle reports the outcome to the breakers.
func (t *Ticket) settle(err error) { t.admissions.Settle(err, t.callers(err), false) }

// callers reports whether an error may come from the deadline that the caller set.
func (t *Ticket) callers(err error) bool {
	return err != nil && !t.deadline.ByRule && t.deadline.Passed()
}

// Shadowed returns the timeouts in shadow that would have ended the call, once Done has returned.
func (t *Ticket) Shadowed() []ShadowRefusal { return t.shadowed }
