package policies

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/code"
)

// attempt is one time that a call is sent. It is the client.EndpointFilter that the client asks.
type attempt struct {
	flight *flight
	slot   int

	outcome  outcome // of a hedged call
	panicked error

	admissions limit.Admissions // to breakers of scope method and upstream
	level      level
	redialled  bool      // it is the trial of a breaker, and had the client connect at once
	perTry     time.Time // the end of perTryTimeout, if that is what ends the attempt

	// Under the lock of the flight, since its other attempts look at address:
	address  string // in use
	holds    []hold
	holdRoom [1]hold

	met     []string // endpoints that were tried
	metRoom [2]string
	before  int // of met, those of earlier levels

	usedUp  bool // endpoints were refused since the call is or was there
	ejected bool // endpoints were refused that are ejected
	open    *entry
	left    time.Duration // until the first of the open breakers tries again
}

// level is how choosy an attempt is: less and less, while there is no endpoint.
type level int

const (
	choosy   level = iota
	anyTried       // endpoints that were tried or are in use will do
	anyone         // ejected ones, too
)

// run makes the attempt.
func (a *attempt) run(ctx context.Context) outcome {
	f := a.flight
	if a != &f.first { // which has been let in with the call
		refusal := a.enter()
		f.tellBreakers()
		if refusal != nil {
			return outcome{err: refusal, own: true}
		}
	}
	a.admissions.Start(a.probeTime)
	sending := ctx
	if f.retry != nil {
		if d := f.retry.rule.retry.perTry; d > 0 && d < f.left() {
			var cancel context.CancelFunc
			sending, cancel = context.WithTimeout(ctx, d)
			defer cancel()
			a.perTry, _ = sending.Deadline()
		}
	}
	defer a.abandon()
	o := a.send(sending)
	if o.own {
		return o
	}
	a.admissions.Settle(o.err, a.callersDeadline(o.err), true)
	if !a.perTry.IsZero() && code.Of(o.err) == code.DeadlineExceeded && ctx.Err() == nil && atEnd(a.perTry) {
		r := f.retry.rule
		o.perTry = true
		o.err = r.refuse(code.DeadlineExceeded, code.ReasonTimeout,
			"attempt timed out after "+config.Duration(r.retry.perTry).String(), 0)
	}
	return o
}

// enter asks the breakers of scope method and upstream.
func (a *attempt) enter() error {
	f := a.flight
	for slot := range f.breakers {
		j := &f.breakers[slot]
		if j.entry == nil || j.breaker == nil {
			continue
		}
		admission, left, ok := j.breaker.Allow()
		switch {
		case ok:
			j.counts.Allow.Add(1)
			a.admissions.Add(slot, admission)
		case f.shadows(j):
			return j.entry.rule.breakerOpen(left)
		}
	}
	return nil
}

// send has the client send the call, and is less choosy about endpoints while there is none.
func (a *attempt) send(ctx context.Context) outcome {
	f := a.flight
	if !f.watches {
		err := f.call.Attempt(ctx, a.slot, nil)
		if ctx.Err() == nil && a.redials(err) {
			err = f.call.Attempt(ctx, a.slot, nil)
		}
		return outcome{err: err}
	}
	a.met, a.holds = a.metRoom[:0], a.holdRoom[:0]
	for {
		err := f.call.Attempt(ctx, a.slot, a)
		if err == nil || ctx.Err() != nil || !a.nobody(err) {
			return outcome{err: err}
		}
		if len(a.met) == 0 && a.redials(err) { // it may have asked about others, and been refused
			a.startOver()
			continue
		}
		if !a.asked() && code.From(err).Reason == code.ReasonNoEndpoint {
			a.unreached(err)
		}
		switch {
		case a.usedUp && a.level < anyTried:
			a.level = anyTried
		case a.ejected && a.level < anyone:
			a.level = anyone
		case a.open != nil && len(a.met) == 0:
			return outcome{own: true, err: a.open.rule.refuse(code.Unavailable, code.ReasonBreakerOpen,
				"circuit breaker open for all endpoints of "+f.call.Upstream(), a.left)}
		default:
			return outcome{err: err}
		}
		a.startOver()
	}
}

// startOver is for asking about the endpoints once more, but for those that were tried.
func (a *attempt) startOver() {
	a.before, a.usedUp, a.ejected, a.open, a.left = len(a.met), false, false, nil, 0
}

// asked tells that the client has asked about an endpoint.
func (a *attempt) asked() bool { return len(a.met) > 0 || a.usedUp || a.ejected || a.open != nil }

// nobody tells that no endpoint was left, or none could be reached, or those that could are about to go.
func (a *attempt) nobody(err error) bool {
	reason := code.From(err).Reason
	return reason == code.ReasonNoEndpoint || reason == code.ReasonDraining
}

// abandon gives back what is held still.
func (a *attempt) abandon() {
	a.admissions.Settle(limit.ErrExcluded, false, true)
	f := a.flight
	f.mu.Lock()
	holds := a.holds
	a.holds, a.address = nil, ""
	f.mu.Unlock()
	for i := range holds {
		a.settle(&holds[i], limit.ErrExcluded)
	}
}

// trialTime is how long a trial through a breaker may take, and what comes of one that takes longer.
func (a *attempt) probeTime() (d time.Duration, outcome error) {
	f := a.flight
	d, outcome = f.clock.probeTime()
	if f.retry != nil {
		if perTry := f.retry.rule.retry.perTry; perTry > 0 && (d == 0 || perTry < d) {
			d, outcome = perTry, limit.ErrProbeTimeout
		}
	}
	if d > 0 {
		d += probeGrace
	}
	return d, outcome
}

// callersDeadline tells that an error may come from the deadline that the caller set. perTryTimeout ends an attempt only
// where it is sooner.
func (a *attempt) callersDeadline(err error) bool {
	f := a.flight
	return err != nil && f.byCaller() && a.perTry.IsZero() && atEnd(f.deadline)
}

// land runs an attempt on a goroutine of its own, and tells of its end, however it ends: a panic is for the goroutine of
// the call, where somebody expects it.
func (a *attempt) land(ctx context.Context, landed chan<- *attempt) {
	a.outcome = outcome{err: code.Errorf(code.Internal, "an attempt has ended without an outcome")} // by runtime.Goexit
	defer func() {
		if r := recover(); r != nil {
			a.panicked = fmt.Errorf("a hedged attempt: %s\n%s", code.PanicText(r), debug.Stack())
		}
		landed <- a
	}()
	a.outcome = a.run(ctx)
}

// probeGrace is how much longer than its time the trial of an attempt may take: its own end says more about it.
const probeGrace = 20 * time.Millisecond

// redials has a client that waits for its time to connect do so at once, if the attempt is the trial of a breaker: it
// would fail although the upstream is back, and tell nothing. It does so once.
func (a *attempt) redials(err error) bool {
	if err == nil || a.redialled || !code.From(err).Unreached() {
		return false
	}
	j := &a.flight.breakers[0]
	switch {
	case j.entry == nil || !j.carriesOut:
	case j.breakers != nil:
		a.redialled = a.flight.call.Redial(a.slot, func(address string) bool { return j.breakers.Of(address).WouldProbe() })
	case a.admissions.Probing():
		a.redialled = a.flight.call.Redial(a.slot, nil)
	}
	return a.redialled
}

// hold is an endpoint in use.
type hold struct {
	address    string
	admissions limit.Admissions
	outliers   [2]*limit.Outlier
}

// Admit is part of client.EndpointFilter.
func (a *attempt) Admit(address string) bool {
	if !a.take(address) {
		return false
	}
	h := hold{address: address}
	if !a.askOutliers(&h) || !a.askBreakers(&h) {
		h.admissions.Settle(limit.ErrExcluded, false, true)
		a.release(address)
		return false
	}
	h.admissions.Start(a.probeTime)
	a.met = append(a.met, address)
	f := a.flight
	f.mu.Lock()
	a.holds = append(a.holds, h)
	f.mu.Unlock()
	return true
}

// take reserves an endpoint, unless the call has no business there.
func (a *attempt) take(address string) bool {
	f := a.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Contains(a.met[:a.before], address) {
		return false // in vain already
	}
	if a.level == choosy && f.isTaken(a, address) {
		a.usedUp = true
		return false
	}
	a.address = address
	return true
}

func (a *attempt) release(address string) {
	f := a.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	if a.address == address {
		a.address = ""
	}
}

func (a *attempt) askOutliers(h *hold) bool {
	for i := range a.flight.outliers {
		j := &a.flight.outliers[i]
		if j.entry == nil {
			continue
		}
		e := j.outliers.Endpoints.Of(h.address)
		h.outliers[i] = e
		switch {
		case j.outliers.Admit(e):
			j.counts.Allow.Add(1)
		case a.level == anyone && j.carriesOut:
			j.counts.Allow.Add(1) // nothing else is left
		case j.counts.Refuse(j.carriesOut):
			a.ejected = true
			return false
		}
	}
	return true
}

func (a *attempt) askBreakers(h *hold) bool {
	for slot := range a.flight.breakers {
		j := &a.flight.breakers[slot]
		if j.entry == nil || j.breakers == nil {
			continue
		}
		b := j.breakers.Of(h.address)
		admission, left, ok := b.Allow()
		b.Notify()
		switch {
		case ok:
			j.counts.Allow.Add(1)
			h.admissions.Add(slot, admission)
		case j.counts.Refuse(j.carriesOut):
			if a.open == nil || left < a.left {
				a.open, a.left = j.entry, left
			}
			return false
		}
	}
	return true
}

// Settle is part of client.EndpointFilter.
func (a *attempt) Settle(address string, err error) {
	f := a.flight
	f.mu.Lock()
	i := slices.IndexFunc(a.holds, func(h hold) bool { return h.address == address })
	if i < 0 {
		f.mu.Unlock()
		return
	}
	h := a.holds[i]
	a.holds = slices.Delete(a.holds, i, i+1)
	if a.address == address {
		a.address = ""
	}
	f.mu.Unlock()
	a.settle(&h, err)
}

func (a *attempt) settle(h *hold, err error) {
	callers := a.callersDeadline(err)
	h.admissions.Settle(err, callers, true)
	for i, e := range h.outliers {
		if e == nil {
			continue
		}
		outcome := err
		if err != limit.ErrExcluded { //nolint:errorlint // our own sentinel, never wrapped
			outcome = limit.Verdict(err, limit.DefaultFailOn, callers)
		}
		j := a.flight.outliers[i]
		j.outliers.Report(e, j.rule.outlier, outcome)
	}
}

// unreached counts a call that failed since nobody can be reached against all who serve it: a client that waits for its
// next attempt to connect uses none of them, and so asks about none.
func (a *attempt) unreached(err error) {
	f := a.flight
	for _, address := range f.snapshot.pool.Endpoints(f.call.Upstream(), f.call.Service()) {
		h := hold{address: address}
		if !a.askOutliers(&h) || !a.askBreakers(&h) {
			h.admissions.Settle(limit.ErrExcluded, false, true)
			continue
		}
		a.met = append(a.met, address)
		h.admissions.Start(a.probeTime)
		a.settle(&h, err)
	}
	a.usedUp, a.ejected = false, false // nobody is left to be less choosy about
}

// outcome is what came of an attempt.
type outcome struct {
	err    error
	own    bool // our own rules refused it: nothing was sent
	perTry bool // it ran out of perTryTimeout
}
