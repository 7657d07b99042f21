package policies

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/code"
)

// Guard is the compiled rules of one method. It is safe for concurrent use; a nil Guard lets every call pass.
type Guard struct {
	activation *activation // of its snapshot
	host       string
	target     Target
	exact      map[string]*plan // for the callers that a rule names
	others     *plan            // for all others; nil: no rules
	matching   []candidate      // all rules for the method, also those that are off or expired
}

// newGuard compiles the rules that match a method.
func newGuard(a *activation, host string, of *subject, matching []candidate) *Guard {
	g := &Guard{activation: a, host: host, target: of.target, matching: matching}
	now := time.Now()
	var live []candidate
	for _, c := range matching {
		if !c.rule.off && !c.rule.expired(now) {
			live = append(live, c)
		}
	}
	if len(live) == 0 {
		return g
	}
	p := newPlanner(of, live)
	g.others = p.others()
	for _, c := range live {
		for name := range c.rule.callers.exact {
			if g.exact[name] != nil {
				continue
			}
			if g.exact == nil {
				g.exact = make(map[string]*plan)
			}
			g.exact[name] = p.exact(name)
		}
	}
	return g
}

// empty reports whether no rule applies to any call of the method.
func (g *Guard) empty() bool { return g == nil || g.others == nil }

// Enter evaluates the rules in order, waits where they queue the call, and fills t. A wait ends at the call's deadline and
// with ctx. A refusal is a *code.Error that names the rule; nothing is held then, and t needs no Done. A call refused before
// it waited has taken no token either. A caller and an arrival that c leaves unset are filled in.
func (g *Guard) Enter(ctx context.Context, c *Call, t *Ticket) (err error) {
	t.holding = holding{guard: g}
	t.deadline.At = c.Deadline
	if g != nil {
		t.host = g.host
	}
	if g.empty() {
		return nil
	}
	g.activation.activate()
	if c.Caller == "" {
		c.Caller = Anonymous
	}
	c.Peer, c.target = c.Peer.Unmap(), g.target
	decided := false
	defer func() {
		if decided {
			return
		}
		if p := recover(); p != nil {
			c.blame(p, t.drop)
			err = g.Enter(ctx, c, t) // without the rule
		}
	}()
	if err = g.ask(ctx, g.plan(c.Caller), c, t); err != nil {
		t.abandon()
	}
	decided = true
	return err
}

// plan returns the plan for a caller.
func (g *Guard) plan(caller string) *plan {
	if named, ok := g.exact[caller]; ok {
		return named
	}
	return g.others
}

// ask decides a call by the rules of a plan: access, shed, the deadline, then limits and breakers. The first that refuses it ends
// the decision.
func (g *Guard) ask(ctx context.Context, p *plan, c *Call, t *Ticket) error {
	now := p.now(c)
	if c.Arrived.IsZero() {
		c.Arrived = now
	}
	t.start(p, c, now)
	if err := g.askAccess(p, c, now); err != nil {
		return err
	}
	p.prioritize(c, now)
	if len(p.shed) > 0 {
		if err := p.askLoad(c, now); err != nil {
			return err
		}
	}
	if !t.deadline.At.IsZero() && !now.Before(t.deadline.At) {
		return t.Late()
	}
	if err := g.admit(ctx, p, c, t, now); err != nil {
		return err
	}
	t.admissions.Start(t.deadline.ProbeTime)
	return nil
}

// admit asks the limits and the breakers together: what a limit has given is given back if a breaker refuses.
func (g *Guard) admit(ctx context.Context, p *plan, c *Call, t *Ticket, now time.Time) error {
	v, breaker := &t.reservation, winner(p.breaker, c, now)
	closed, err := v.reserve(ctx, p, c, &t.clock, now, breaker, true)
	if err != nil {
		return err
	}
	err = g.askBreakers(breaker, winner(p.shadow.breaker, c, now), c, t, closed)
	v.conclude(c, closed, err)
	p.notifyBreakers(c)
	if err != nil {
		return err
	}
	return v.waitInQueues(ctx, c, &t.clock)
}

func (g *Guard) askAccess(p *plan, c *Call, now time.Time) error {
	for _, e := range p.access {
		if e.health.Broken() {
			if e.closes(c, now) {
				e.counts.Reject.Add(1)
				return e.refuseBroken()
			}
			continue
		}
		if !e.applies(c, now) {
			continue
		}
		e.health.Meet(limit.AtAsk)
		if e.access.allows(c.Caller) {
			e.counts.Allow.Add(1)
			continue
		}
		if e.countRefusal(c, e.rule.enforcedFor(c), config.KindAccess, code.PermissionDenied, code.ReasonDenied) {
			return e.rule.Refuse(code.PermissionDenied, code.ReasonDenied, c.Caller+" denied", 0)
		}
	}
	return nil
}

// askBreakers asks the breakers, each of which may be nil. closed is set if the enforced one was closed before, and the call may
// be made.
func (g *Guard) askBreakers(enforced, shadow *entry, c *Call, t *Ticket, closed bool) error {
	for which, e := range [...]*entry{limit.Enforced: enforced, limit.Shadow: shadow} {
		if e == nil || e.health.Broken() { // since it was found to match
			continue
		}
		c.asked = e
		if closed && which == limit.Enforced {
			e.counts.Allow.Add(1)
			if a, counts := e.breaker.Join(); counts {
				t.admissions.Add(which, a, e.health)
			}
			continue
		}
		a, left, ok := e.breaker.Allow()
		switch {
		case ok:
			e.counts.Allow.Add(1)
			t.admissions.Add(which, a, e.health)
		case e.countRefusal(c, e.rule.enforcedFor(c), config.KindCircuitBreaker, code.Unavailable, code.ReasonBreakerOpen):
			return e.rule.RefuseOpen(e.breaker, "", left)
		}
	}
	return nil
}

// Ticket keeps the state of a call from Enter to Done. The zero Ticket is ready for Enter; it must not be copied after Enter, and
// may be reused after Done.
type Ticket struct {
	reservation reservation
	holding
}

// holding is the part of a Ticket that Enter resets. Resetting the reservation would cost as much as a limit.
type holding struct {
	guard *Guard
	clock
	admissions limit.Admissions

	phase    atomic.Uint32
	settling bool // from Done

	overtimes [2]*limit.Overtime // of a call that was late; set before late
	late      atomic.Bool
	shadowed  []ShadowRefusal
}

// The phases of a call.
const (
	phaseRunning = iota
	phaseLate    // the outcome is known, from Late
	phaseOver    // likewise, and nothing is held
)

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
	err := t.overdue()
	if !t.phase.CompareAndSwap(phaseRunning, phaseLate) {
		return err
	}
	if e := t.timeout; t.deadline.ByRule {
		e.health.Contain(limit.AtDone, func() { e.counts.Reject.Add(1) })
	}
	t.overtimes = t.admissions.Late(err, t.callerTimedOut(err))
	t.late.Store(true)
	if t.phase.Load() == phaseOver { // the handler returned meanwhile, maybe before they were set
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

// Done reports that the handler has returned err: nil, its own error, or INTERNAL for a panic. It must not be the error that
// code.Edge makes of it: a breaker does not count the refusals of a peer, and that one does not show that a peer refused.
// Done ends the call for concurrency limits, and settles the breaker if Late has not. Further calls do nothing.
func (t *Ticket) Done(err error) {
	if t.guard.empty() {
		return
	}
	if was := t.phase.Swap(phaseOver); was != phaseOver {
		t.end(err, was == phaseLate)
	}
}

// end does what is left to do for Done, and goes on after a panic of a rule.
func (t *Ticket) end(err error, late bool) {
	ended := false
	defer func() {
		if ended {
			return
		}
		if p := recover(); p != nil {
			t.blame(p)
			t.end(err, late)
		}
	}()
	t.reservation.limits.n = 0
	if t.reservation.permits.n > 0 {
		t.reservation.failed = err != nil
		t.reservation.release(&t.ending)
	}
	if t.shadow != [2]*entry{} {
		t.countShadow(&t.shadowed)
	}
	switch {
	case t.settling:
	case late:
		t.returned()
		ended = true
		return
	default:
		t.settling = true
		if t.timeout != nil {
			t.ending = t.timeout
			t.timeout.counts.Allow.Add(1)
			t.timeout.health.Meet(limit.AtDone)
		}
	}
	t.settle(err)
	ended = true
}

// blame marks the rule that the end of the call was being reported to as broken. It panics again if there is none.
func (t *Ticket) blame(value any) {
	health := t.admissions.Settling()
	if health == nil && t.ending != nil {
		health = t.ending.health
	}
	if health == nil {
		panic(value) //nolint:forbidigo // no rule is the cause
	}
	health.Break(value)
}

// abandon returns what is held for a call that a later rule refused.
func (t *Ticket) abandon() {
	was := t.phase.Swap(phaseOver)
	t.reservation.leave()
	if was == phaseRunning {
		t.admissions.Conclude(limit.ErrExcluded, false, false)
	}
}

// drop gives back what a call holds, in whatever state a panic has left it.
func (t *Ticket) drop() {
	t.reservation.drop()
	t.admissions.Conclude(limit.ErrExcluded, false, false)
}

// Probing reports whether a breaker lets the call through as a probe.
func (t *Ticket) Probing() bool { return t.admissions.Probing() }

// Exclude ends the call without an outcome for the breakers.
func (t *Ticket) Exclude() { t.Done(limit.ErrExcluded) }

// Waited is the rule in whose queue a call has waited in vain. The zero Waited is none.
type Waited struct {
	Rule string // name@rN
	Kind config.Kind
}

// Waited returns the rule in whose queue the call's deadline has passed.
func (t *Ticket) Waited() Waited {
	if t.waited == nil {
		return Waited{}
	}
	return Waited{t.waited.rule.Rule, config.KindConcurrency}
}

// Cancel gives back what is held, tokens included, for a call that was not made after all.
func (t *Ticket) Cancel() {
	if t.guard.empty() || t.phase.Load() == phaseOver {
		return
	}
	t.reservation.refund()
	t.abandon()
}

// settle reports the outcome to the breakers.
func (t *Ticket) settle(err error) { t.admissions.Settle(err, t.callerTimedOut(err), false) }

// callerTimedOut reports whether an error may come from the deadline that the caller set.
func (t *Ticket) callerTimedOut(err error) bool {
	return err != nil && !t.deadline.ByRule && t.deadline.Passed()
}

// Shadowed returns the timeouts in shadow that would have ended the call, once Done has returned.
func (t *Ticket) Shadowed() []ShadowRefusal { return t.shadowed }

// activation applies the changes of a snapshot to the state that it shares with those before it, once.
type activation struct {
	once    sync.Once
	changes []func()
}

func (a *activation) activate() { a.once.Do(a.apply) }

func (a *activation) apply() {
	for _, change := range a.changes {
		change()
	}
	a.changes = nil
}
