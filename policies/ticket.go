package policies

import (
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/code"
)

// Ticket is what a call holds from Enter to Done. The zero Ticket is ready for Enter; it stands in the caller's frame,
// must not be copied after Enter, and may be used again after Done.
type Ticket struct {
	guard    *Guard
	deadline time.Time
	arrived  time.Time
	timeout  *entry    // the timeout that is carried out
	soft     [2]*entry // timeouts that only count
	byRule   bool      // the deadline is the timeout's, not the caller's own

	admissions [2]admission // of the breaker that is enforced, and of the one in shadow
	timed      bool         // a breaker wants to know how long the call took
	started    time.Time

	places [4]*places
	taken  int
	more   []*places

	settled atomic.Bool // the outcome is known, from Late or Done
	over    atomic.Bool // nothing is held any more
}

// clock sets the deadline and finds the timeouts that count.
func (t *Ticket) clock(p *plan, c *Call, now time.Time) {
	t.arrived = c.Arrived
	if e := winner(p.timeout, c, now); e != nil {
		if e.rule.carriesOut(c) {
			t.timeout = e
			if d := c.Arrived.Add(e.rule.timeout); t.deadline.IsZero() || d.Before(t.deadline) {
				t.deadline, t.byRule = d, true
			}
		} else {
			t.soft[0] = e
		}
	}
	t.soft[1] = winner(p.shadowTimeout, c, now)
}

func (t *Ticket) admit(slot int, a admission) {
	t.admissions[slot] = a
	if a.breaker.rule.Load().slowCallRate > 0 {
		t.timed = true
	}
	if a.trial != nil {
		if t.deadline.IsZero() {
			a.limit(0, false)
		} else {
			a.limit(max(t.left(), 1), !t.byRule)
		}
	}
}

func (t *Ticket) occupy(p *places) {
	if t.taken < len(t.places) {
		t.places[t.taken] = p
		t.taken++
		return
	}
	t.more = append(t.more, p)
}

// Deadline is when the call has to be answered: the earlier of the rules' timeout and the caller's own deadline.
func (t *Ticket) Deadline() (time.Time, bool) { return t.deadline, !t.deadline.IsZero() }

// Late is the answer to give at the deadline. It settles the breaker; places in flight stay taken until Done. It may be
// called while the handler runs and from another goroutine, but not after Done has returned and t is used again.
func (t *Ticket) Late() *code.Error {
	var host string
	if t.guard != nil {
		host = t.guard.snapshot.host
	}
	err := code.Refuse(code.DeadlineExceeded, code.ReasonTimeout, "deadline of the caller passed", "", host, 0)
	if t.byRule {
		r := t.timeout.rule
		err = t.guard.refuse(r, code.DeadlineExceeded, code.ReasonTimeout,
			"timed out after "+config.Duration(r.timeout).String(), 0)
	}
	if t.settled.Swap(true) {
		return err
	}
	if t.byRule {
		t.timeout.counts.reject.Add(1)
	}
	t.settle(err)
	return err
}

// Done tells that the handler has returned, and what: nil, its error before code.Edge takes out of it what a peer of the
// handler said (a breaker does not count a peer's refusals), or INTERNAL for a panic. It frees the places in flight and
// settles the breaker if Late has not. Further calls do nothing.
func (t *Ticket) Done(err error) {
	if t.guard.empty() || t.over.Swap(true) {
		return
	}
	t.free()
	t.countSoft()
	if t.settled.Swap(true) {
		return
	}
	if t.timeout != nil {
		t.timeout.counts.allow.Add(1)
	}
	t.settle(err)
}

// abandon gives back what a call holds that a later rule refused.
func (t *Ticket) abandon() {
	t.over.Store(true)
	t.free()
	if !t.settled.Swap(true) {
		t.settle(errExcluded)
	}
}

func (t *Ticket) free() {
	for _, p := range t.places[:t.taken] {
		p.free()
	}
	for _, p := range t.more {
		p.free()
	}
}

// settle reports the outcome to the breakers.
func (t *Ticket) settle(err error) {
	var took time.Duration
	if t.timed && !t.started.IsZero() {
		took = time.Since(t.started)
	}
	for i := range t.admissions {
		a := &t.admissions[i]
		if a.done == nil {
			continue
		}
		outcome := err
		if err != errExcluded { //nolint:errorlint // our own sentinel, never wrapped
			outcome = a.breaker.rule.Load().outcome(err, took, !t.byRule && t.pastDeadline(err))
		}
		a.settle(outcome)
	}
}

// pastDeadline tells whether an error may come from the deadline.
func (t *Ticket) pastDeadline(err error) bool {
	return err != nil && !t.deadline.IsZero() && !time.Now().Before(t.deadline)
}

// countSoft counts the calls that a timeout would have ended that is not carried out.
func (t *Ticket) countSoft() {
	for _, e := range t.soft {
		if e == nil {
			continue
		}
		if time.Since(t.arrived) > e.rule.timeout {
			e.counts.shadow.Add(1)
		} else {
			e.counts.allow.Add(1)
		}
	}
}
