package host

import (
	"sync"
	"time"

	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// comparison compares one call with the baseline.
type comparison struct {
	window  *window
	tally   *tally
	call    policies.Call
	ticket  policies.Ticket
	through bool // the baseline lets the call through
}

var comparisons = sync.Pool{New: func() any { return new(comparison) }}

// begin asks the baseline, and reports whether it lets the call through. as is the call as the rules see it.
func (c *comparison) begin(w *window, call *wire.Call, m *route.Method, req *wire.Frame, as policies.Call) bool {
	c.window, c.tally, c.call, c.through = w, w.tallyOf(m.FullName()), as, false
	if w.turnedAway {
		caller, err := w.baseline.identity.caller(req.Metadata)
		if err != nil {
			return false
		}
		deadline, _ := wire.CallerDeadline(call.Arrived(), req.Metadata)
		c.call = policies.Call{Caller: caller, Peer: call.Peer(), Metadata: metadataOf(call, req), Arrived: call.Arrived(), Deadline: deadline}
	}
	c.through = w.rules.Guard(m.Target).Enter(call, &c.call, &c.ticket) == nil
	return c.through
}

// decided compares the decision of the rules in force.
func (c *comparison) decided(e *code.Error) {
	if !c.through {
		return
	}
	if e == nil {
		c.tally.through.Add(1)
		return
	}
	if !c.counts(e) {
		c.through = false
		c.ticket.Cancel()
		return
	}
	c.tally.through.Add(1)
	c.ticket.Done(e)
}

// counts records a refusal, unless the baseline refuses the call too or it is intended.
func (c *comparison) counts(e *code.Error) bool {
	w := c.window
	by := cause{method: c.tally.method, reason: e.Reason}
	if e.Rule != "" {
		rule, kind := ruleBehind(w.next.set, e.Rule, e.Reason)
		switch {
		case rule == nil || !w.rules.Differs(e.Rule, kind):
			return false
		case w.rules.Intended(e.Rule, kind, &c.call):
			w.intended.Add(1)
			return false
		}
		by.rule, by.kind = rule.Name, kind
	} else if e.Code != code.Unauthenticated {
		return false
	}
	w.refused(c.tally, by)
	return true
}

// expired compares a call that the rules in force have ended at a deadline.
func (c *comparison) expired(e *code.Error, deadline time.Time) {
	if !c.through || e.Rule == "" {
		return
	}
	if at, ok := c.ticket.Deadline(); ok && !at.After(deadline) {
		return
	}
	c.counts(e)
}

// recycle returns c to its pool. The ticket is reset by its next use.
func (c *comparison) recycle() {
	c.window, c.tally, c.call = nil, nil, policies.Call{}
	comparisons.Put(c)
}

// decidedOut compares the outcome of a call to an upstream, and recycles c.
func (c *comparison) decidedOut(err error) {
	if c == nil {
		return
	}
	e := code.From(err)
	switch {
	case !c.through:
	case e == nil || !e.Own() || e.Rule == "":
		c.tally.through.Add(1)
		c.ticket.Done(err)
	case e.Code == code.DeadlineExceeded:
		c.tally.through.Add(1)
		c.expired(e, time.Now())
		c.ticket.Done(e)
	default:
		c.decided(e)
	}
	c.recycle()
}
