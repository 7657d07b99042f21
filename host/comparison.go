package host

import (
	"context"
	"sync"
	"sync/atomic"
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
	target  policies.Target
	call    policies.Call
	ticket  policies.Ticket
	through bool        // the baseline lets the call through
	limited cause       // the successor of the limit by which the baseline refuses it; without a rule: none
	ended   atomic.Bool // the rules in force have ended it early
}

var comparisons = sync.Pool{New: func() any { return new(comparison) }}

// begin asks the baseline. as is the call as the rules in force see it.
func (c *comparison) begin(w *window, call *wire.Call, m *route.Method, req *wire.Frame, as policies.Call) {
	c.window, c.tally, c.target, c.call = w, w.tallyOf(m.FullName()), m.Target, as
	if _, served := w.baseline.routes.Lookup(req.Service, req.Method); !served {
		return
	}
	if w.turnedAway {
		caller, claims, err := w.baseline.identity.caller(call, call.Certificate(), call.Peer(), req.Metadata)
		if err != nil {
			return
		}
		deadline, _ := wire.CallerDeadline(call.Arrived(), req.Metadata)
		c.call = policies.Call{
			Caller: caller, Claims: claims, Peer: call.Peer(), Metadata: metadataOf(call, req), Arrived: call.Arrived(), Deadline: deadline,
		}
	}
	c.ask(call, w.rules.Guard(m.Target))
}

func (c *comparison) ask(ctx context.Context, guard *policies.Guard) {
	e := code.From(guard.Enter(ctx, &c.call, &c.ticket))
	if c.through = e == nil; c.through && c.ticket.Probing() { // which call is a probe is a matter of chance
		c.through = false
		c.ticket.Cancel()
	}
	if e != nil && kindBehind(e, e.Reason).ByNumber() {
		c.limited = cause{method: c.tally.method, rule: c.window.rules.Heir(e.Rule), kind: kindBehind(e, e.Reason), reason: e.Reason}
	}
}

// decided compares the decision of the rules in force. waited is the rule for which the call has waited in vain.
func (c *comparison) decided(e *code.Error, waited policies.Waited) {
	switch {
	case e == nil && c.through:
		c.tally.through.Add(1)
	case e == nil && c.limited.rule != "":
		c.window.count(c.limited, balance{instead: 1})
	case !c.through:
	default:
		by, ok := c.cause(e, waited)
		if !ok {
			c.through = false
			c.ticket.Cancel()
			return
		}
		c.tally.through.Add(1)
		c.window.count(by, balance{refused: 1})
		c.ticket.Exclude()
	}
}

// cause returns what refuses the call. ok is false if that is not the edit, or if it is intended.
func (c *comparison) cause(e *code.Error, waited policies.Waited) (by cause, ok bool) {
	w := c.window
	label, by := e.Rule, cause{method: c.tally.method, reason: e.Reason}
	rule, kind := ruleBehind(w.next.set, label, kindBehind(e, e.Reason))
	if waited.Rule != "" {
		label = waited.Rule
		rule, kind = ruleNamed(w.next.set, label), waited.Kind
	}
	switch {
	case label == "":
		return by, e.Code == code.Unauthenticated
	case rule == nil || !w.rules.Differs(label, kind):
		return by, false
	case w.operated[rule.Name], w.rules.Intended(label, kind, c.target, &c.call):
		w.intended.Add(1)
		return by, false
	}
	by.rule, by.kind = rule.Name, kind
	return by, true
}

// expired compares a call that the rules in force have ended at a deadline.
func (c *comparison) expired(e *code.Error, deadline time.Time) {
	if !c.through || e.Rule == "" {
		return
	}
	if at, ok := c.ticket.Deadline(); ok && !at.After(deadline) {
		return
	}
	if by, ok := c.cause(e, policies.Waited{}); ok && !c.ended.Swap(true) {
		c.window.count(by, balance{refused: 1})
	}
}

// end reports the outcome of the handler to the rules of the baseline, unless the call was ended early.
func (c *comparison) end(err error) {
	switch {
	case !c.through:
	case c.ended.Load():
		c.ticket.Exclude()
	default:
		c.ticket.Done(err)
	}
}

// recycle returns c to its pool. The ticket is reset by its next use.
func (c *comparison) recycle() {
	c.window, c.tally, c.call, c.through, c.limited = nil, nil, policies.Call{}, false, cause{}
	c.ended.Store(false)
	comparisons.Put(c)
}

// decidedOut compares the outcome of a call to an upstream, and recycles c.
func (c *comparison) decidedOut(err error) {
	if c == nil {
		return
	}
	if e := code.From(err); e != nil && e.Own() && e.Rule != "" && e.Code != code.DeadlineExceeded {
		c.decided(e, policies.Waited{})
	} else {
		c.decided(nil, policies.Waited{})
		if e != nil && e.Own() {
			c.expired(e, time.Now())
		}
		c.end(err)
	}
	c.recycle()
}
