package policies

import (
	"context"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/code"
)

// attempt is one time that a call is sent. It is the Endpoints that the client asks.
type attempt struct {
	flight *flight
	slot   int

	outcome  outcome // of a hedged call
	panicked error

	admissions admissions // to breakers of scope method and upstream
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
	a.admissions.start(a.trialTime)
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
	a.admissions.settle(o.err, a.callersDeadline(o.err), true)
	if !a.perTry.IsZero() && code.Of(o.err) == code.DeadlineExceeded && ctx.Err() == nil && atEnd(a.perTry) {
		r := f.retry.rule
		o.perTry = true
		o.err = f.snapshot.refuse(r, code.DeadlineExceeded, code.ReasonTimeout,
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
		admission, left, ok := j.breaker.allow()
		switch {
		case ok:
			j.counts.allow.Add(1)
			a.admissions.admit(slot, admission)
		case f.shadows(j):
			return f.snapshot.breakerOpen(j.entry, left)
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
			return outcome{own: true, err: f.snapshot.refuse(a.open.rule, code.Unavailable, code.ReasonBreakerOpen,
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
	a.admissions.settle(errExcluded, false, true)
	f := a.flight
	f.mu.Lock()
	holds := a.holds
	a.holds, a.address = nil, ""
	f.mu.Unlock()
	for i := range holds {
		a.settle(&holds[i], errExcluded)
	}
}

// trialTime is how long a trial through a breaker may take, and what comes of one that takes longer.
func (a *attempt) trialTime() (d time.Duration, outcome error) {
	f := a.flight
	d, outcome = f.clock.trialTime()
	if f.retry != nil {
		if perTry := f.retry.rule.retry.perTry; perTry > 0 && (d == 0 || perTry < d) {
			d, outcome = perTry, errTrialHangs
		}
	}
	if d > 0 {
		d += trialGrace
	}
	return d, outcome
}

// callersDeadline tells that an error may come from the deadline that the caller set. perTryTimeout ends an attempt only
// where it is sooner.
func (a *attempt) callersDeadline(err error) bool {
	f := a.flight
	return err != nil && f.byCaller() && a.perTry.IsZero() && atEnd(f.deadline)
}
