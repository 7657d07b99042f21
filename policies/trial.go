package policies

import (
	"errors"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// trial is a call through a half-open breaker. One that never ends would jam the breaker, so it ends by itself.
type trial struct {
	over  atomic.Bool
	timer *time.Timer
}

// end is true for the first that ends it.
func (t *trial) end() bool {
	if t.over.Swap(true) {
		return false
	}
	if t.timer != nil {
		t.timer.Stop()
	}
	return true
}

var errTrialHangs = errors.New("the trial call did not end in time")

// limit ends a trial that takes longer than d, with an outcome. One that would come to nothing, since the caller's time is
// over, runs on until it is slow.
func (a *admission) limit(d time.Duration, outcome error) {
	done, b, t := a.done, a.breaker, a.trial
	if r := b.rule.Load(); r.slowCallRate > 0 && outcome == errExcluded { //nolint:errorlint // our own sentinel, never wrapped
		d, outcome = max(d, r.slowCallDuration), errSlow
	}
	if d <= 0 {
		d = b.rule.Load().openTimeout
	}
	t.timer = time.AfterFunc(d, func() {
		if !t.over.Swap(true) {
			done(outcome)
			b.herald.deliver()
		}
	})
}

// trialGrace is how much longer than its time the trial of an attempt may take: its own end says more about it.
const trialGrace = 20 * time.Millisecond

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
		a.redialled = a.flight.call.Redial(a.slot, func(address string) bool { return j.breakers.of(address).tries() })
	case a.admissions.list[0].trial != nil:
		a.redialled = a.flight.call.Redial(a.slot, nil)
	}
	return a.redialled
}

// tries tells that the next call would be a trial, if there is room for one more.
func (b *breaker) tries() bool {
	if h := b.hold.Load(); h != 0 {
		return time.Duration(h) <= time.Since(b.epoch)
	}
	if b.phase.Load() != phaseHalfOpen {
		return false
	}
	n := b.core.Load().gobreaker.Counts()
	return int(n.Requests)-int(n.TotalExclusions) < b.rule.Load().halfOpenRequests
}
