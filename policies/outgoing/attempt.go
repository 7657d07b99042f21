package outgoing

import (
	"context"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

// attempt sends a call once. It implements client.EndpointFilter.
type attempt struct {
	flight *Flight
	slot   int

	outcome  outcome // of a hedged call
	panicked error

	admissions limit.Admissions // by breakers of scope method and upstream
	level      level
	redialled  bool
	perTry     time.Time // the end of perTryTimeout, if it ends the attempt

	// Under the lock of the flight, since other attempts read address:
	address string // in use
	uses    []use
	fewUses [1]use

	attempted     []string // endpoints that were tried
	fewAttempted  [2]string
	earlierRounds int // of attempted, those before this round

	excludedTried   bool // endpoints were refused because the call uses them or tried them before
	excludedEjected bool
	open            *Breaker
	openBy          *limit.Breaker // of open, the one that is open for the shortest time
	openFor         time.Duration
}

// run makes the attempt.
func (a *attempt) run(ctx context.Context) outcome {
	f := a.flight
	if a != &f.first { // which Admit has let in
		refusal := a.askShared()
		f.Notify()
		if refusal != nil {
			return outcome{err: refusal, refused: true}
		}
	}
	a.admissions.Start(a.probeTime)
	sending := ctx
	if f.Retry != nil {
		if d := f.Retry.perTry; d > 0 && d < f.Deadline.Left() {
			within := client.WithDeadline(ctx, time.Now().Add(d))
			defer within.Release()
			sending = within
			a.perTry, _ = within.Deadline()
		}
	}
	defer a.abandon()
	o := a.send(sending)
	if o.refused {
		return o
	}
	a.admissions.Conclude(o.err, a.callerTimedOut(o.err), true)
	if !a.perTry.IsZero() && code.Of(o.err) == code.DeadlineExceeded && ctx.Err() == nil && limit.Reached(a.perTry) {
		o.perTry = true
		o.err = f.Retry.Refuse(code.DeadlineExceeded, code.ReasonTimeout,
			"attempt timed out after "+config.Duration(f.Retry.perTry).String(), 0)
	}
	return o
}

// askShared asks the breakers of scope method and upstream. Admit asks those of scope endpoint.
func (a *attempt) askShared() error {
	f := a.flight
	for which := range f.Breakers {
		c := &f.Breakers[which]
		if c.Breaker == nil || c.Shared == nil {
			continue
		}
		var refusal error
		if c.Contain(limit.AtAsk, func() { refusal = a.askSharedBreaker(which) }) && refusal != nil {
			return refusal
		}
	}
	return nil
}

// askSharedBreaker asks one of these breakers.
func (a *attempt) askSharedBreaker(which int) error {
	c := &a.flight.Breakers[which]
	admission, left, ok := c.Shared.Allow()
	switch {
	case ok:
		c.Counts.Allow.Add(1)
		a.admissions.Add(which, admission, c.Health)
	case a.flight.refuses(which):
		return c.RefuseOpen(c.Shared, "", left)
	}
	return nil
}

// send has the client send the call, and selects endpoints less strictly while there is none.
func (a *attempt) send(ctx context.Context) outcome {
	f := a.flight
	if !f.filters {
		err := f.Call.Attempt(ctx, a.slot, nil)
		if ctx.Err() == nil && a.redial(err) {
			err = f.Call.Attempt(ctx, a.slot, nil)
		}
		return outcome{err: err}
	}
	a.attempted, a.uses = a.fewAttempted[:0], a.fewUses[:0]
	for {
		err := f.Call.Attempt(ctx, a.slot, a)
		if err == nil || ctx.Err() != nil || !noEndpoint(err) {
			return outcome{err: err}
		}
		if len(a.attempted) == 0 && a.redial(err) { // it may have asked about others, and been refused
			a.nextRound()
			continue
		}
		if !a.asked() && code.From(err).Reason == code.ReasonNoEndpoint {
			a.unreached(err)
		}
		switch {
		case a.excludedTried && a.level < reuseTried:
			a.level = reuseTried
		case a.excludedEjected && a.level < includeEjected:
			a.level = includeEjected
		case a.open != nil && len(a.attempted) == 0:
			return outcome{refused: true, err: a.open.RefuseOpen(a.openBy, " for all endpoints of "+f.Call.Upstream(), a.openFor)}
		default:
			return outcome{err: err}
		}
		a.nextRound()
	}
}

// nextRound prepares for asking once more about the endpoints that were not tried.
func (a *attempt) nextRound() {
	a.earlierRounds, a.excludedTried, a.excludedEjected, a.open, a.openBy, a.openFor = len(a.attempted), false, false, nil, nil, 0
}

// asked reports whether the client has asked about an endpoint.
func (a *attempt) asked() bool {
	return len(a.attempted) > 0 || a.excludedTried || a.excludedEjected || a.open != nil
}

// noEndpoint reports whether an attempt failed because no endpoint was left, or those that could be reached are draining.
func noEndpoint(err error) bool {
	reason := code.From(err).Reason
	return reason == code.ReasonNoEndpoint || reason == code.ReasonDraining
}

// abandon gives back what the attempt still holds.
func (a *attempt) abandon() {
	a.admissions.Conclude(limit.ErrExcluded, false, true)
	if len(a.uses) == 0 && a.address == "" {
		return // others only read them
	}
	f := a.flight
	f.mu.Lock()
	uses := a.uses
	a.uses, a.address = nil, ""
	f.mu.Unlock()
	for i := range uses {
		a.settle(&uses[i], limit.ErrExcluded)
	}
}

// probeGrace extends the time of a probe, since the outcome of the attempt itself tells more than a timer.
const probeGrace = 20 * time.Millisecond

// probeTime returns how long a probe through a breaker may take, and the outcome of one that takes longer.
func (a *attempt) probeTime() (d time.Duration, outcome error) {
	f := a.flight
	d, outcome = f.Deadline.ProbeTime()
	if f.Retry != nil {
		if perTry := f.Retry.perTry; perTry > 0 && (d == 0 || perTry < d) {
			d, outcome = perTry, limit.ErrProbeTimeout
		}
	}
	if d > 0 {
		d += probeGrace
	}
	return d, outcome
}

// callerTimedOut reports whether an error may come from the caller's own deadline. perTryTimeout ends an attempt only
// where it is sooner.
func (a *attempt) callerTimedOut(err error) bool {
	d := a.flight.Deadline
	return err != nil && d.ByCaller() && a.perTry.IsZero() && limit.Reached(d.At)
}

// runBeside runs an attempt on a goroutine of its own and sends it to ended, however it ends: a panic is for the goroutine of
// the call, which may recover from it.
func (a *attempt) runBeside(ctx context.Context, ended chan<- *attempt) {
	a.outcome = outcome{err: code.Errorf(code.Internal, "an attempt ended without an outcome")} // by runtime.Goexit
	defer func() {
		if r := recover(); r != nil {
			a.panicked = fmt.Errorf("a hedged attempt: %s\n%s", code.PanicText(r), debug.Stack())
		}
		ended <- a
	}()
	a.outcome = a.run(ctx)
}

// redial makes a client in backoff dial now, once, if the attempt is a probe of a breaker: it would otherwise fail without
// testing anything.
func (a *attempt) redial(err error) bool {
	if err == nil || a.redialled || !code.From(err).Unreached() {
		return false
	}
	c := &a.flight.Breakers[limit.Enforced]
	switch {
	case c.Breaker == nil || !c.Enforced:
	case c.Endpoints != nil:
		a.redialled = a.flight.Call.Redial(a.slot, func(address string) (probes bool) {
			c.Contain(limit.AtAsk, func() { probes = c.Endpoints.Of(address).WouldProbe() })
			return probes
		})
	case a.admissions.Probing():
		a.redialled = a.flight.Call.Redial(a.slot, nil)
	}
	return a.redialled
}

// use is the use of an endpoint.
type use struct {
	address    string
	admissions limit.Admissions
	outliers   [2]*limit.Outlier
}

// Admit implements client.EndpointFilter: it asks outlier detection and the breakers of scope endpoint.
func (a *attempt) Admit(address string) bool {
	if !a.take(address) {
		return false
	}
	u := use{address: address}
	if !a.askOutliers(&u) || !a.askBreakers(&u) {
		u.admissions.Conclude(limit.ErrExcluded, false, true)
		a.release(address)
		return false
	}
	u.admissions.Start(a.probeTime)
	a.attempted = append(a.attempted, address)
	f := a.flight
	f.mu.Lock()
	a.uses = append(a.uses, u)
	f.mu.Unlock()
	return true
}

// take reserves an endpoint, unless the attempt must not use it.
func (a *attempt) take(address string) bool {
	f := a.flight
	f.mu.Lock()
	defer f.mu.Unlock()
	if slices.Contains(a.attempted[:a.earlierRounds], address) {
		return false
	}
	if a.level == strict && f.isTaken(a, address) {
		a.excludedTried = true
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

func (a *attempt) askOutliers(u *use) bool {
	for i := range a.flight.Outliers {
		c := &a.flight.Outliers[i]
		if c.Outliers == nil {
			continue
		}
		ejected := false
		if c.Contain(limit.AtAsk, func() { ejected = a.ejected(u, i) }) && ejected {
			a.excludedEjected = true
			return false
		}
	}
	return true
}

// ejected reports whether outlier detection keeps the attempt from using an endpoint.
func (a *attempt) ejected(u *use, which int) bool {
	c := &a.flight.Outliers[which]
	e := c.State.Endpoints.Of(u.address)
	u.outliers[which] = e
	if c.State.Admit(e) || a.level == includeEjected && c.Enforced {
		c.Counts.Allow.Add(1)
		return false
	}
	return c.Counts.CountRefusal(c.Enforced)
}

func (a *attempt) askBreakers(u *use) bool {
	for which := range a.flight.Breakers {
		c := &a.flight.Breakers[which]
		if c.Breaker == nil || c.Endpoints == nil {
			continue
		}
		refused, left := false, time.Duration(0)
		if c.Contain(limit.AtAsk, func() { refused, left = a.refused(u, which) }) && refused {
			if a.open == nil || left < a.openFor {
				a.open, a.openBy, a.openFor = c.Breaker, c.Endpoints.Of(u.address), left
			}
			return false
		}
	}
	return true
}

// refused reports whether a breaker keeps the attempt from using an endpoint, and for how long.
func (a *attempt) refused(u *use, which int) (bool, time.Duration) {
	c := &a.flight.Breakers[which]
	b := c.Endpoints.Of(u.address)
	admission, left, ok := b.Allow()
	if ok {
		c.Counts.Allow.Add(1)
		u.admissions.Add(which, admission, c.Health)
	}
	b.Notify()
	return !ok && c.Counts.CountRefusal(c.Enforced), left
}

// Settle implements client.EndpointFilter: it reports the outcome to those that Admit has asked.
func (a *attempt) Settle(address string, err error) {
	f := a.flight
	f.mu.Lock()
	i := 0
	for i < len(a.uses) && a.uses[i].address != address { // slices.IndexFunc would copy each
		i++
	}
	if i == len(a.uses) {
		f.mu.Unlock()
		return
	}
	u := a.uses[i]
	a.uses = slices.Delete(a.uses, i, i+1)
	if a.address == address {
		a.address = ""
	}
	f.mu.Unlock()
	a.settle(&u, err)
}

func (a *attempt) settle(u *use, err error) {
	callerTimedOut := a.callerTimedOut(err)
	u.admissions.Conclude(err, callerTimedOut, true)
	for i, e := range u.outliers {
		if e == nil {
			continue
		}
		c := &a.flight.Outliers[i]
		c.Contain(limit.AtDone, func() {
			outcome := err
			if err != limit.ErrExcluded { //nolint:errorlint // our own sentinel, never wrapped
				outcome = limit.Verdict(err, limit.DefaultFailOn, callerTimedOut)
			}
			c.State.Report(e, c.Settings, outcome)
		})
	}
}

// unreached charges a call that found no connection to every endpoint: a client in backoff picks none, and so never calls
// Admit.
func (a *attempt) unreached(err error) {
	f := a.flight
	for _, address := range f.Pool.Endpoints(f.Call.Upstream(), f.Call.Service()) {
		u := use{address: address}
		if !a.askOutliers(&u) || !a.askBreakers(&u) {
			u.admissions.Conclude(limit.ErrExcluded, false, true)
			continue
		}
		a.attempted = append(a.attempted, address)
		u.admissions.Start(a.probeTime)
		a.settle(&u, err)
	}
	a.excludedTried, a.excludedEjected = false, false // selecting less strictly would find none either
}
