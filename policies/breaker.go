package policies

import (
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
)

// breaker is the circuit breaker of one rule for one target. gobreaker counts, decides when to open, lets trial calls
// through and closes again. How long it stays open is kept here: gobreaker has one fixed time for all openings, without
// jitter, cannot tell what is left of it, and cannot be started open, which an edit of an open breaker needs.
type breaker struct {
	target   string
	upstream string // of client-side rules
	herald   herald
	epoch    time.Time // hold counts from here

	rule  atomic.Pointer[breakerRule] // read by gobreaker's callbacks, so that thresholds change live
	core  atomic.Pointer[breakerCore]
	hold  atomic.Int64 // until when it is open, since epoch; 0 when it is not
	phase atomic.Int32

	mu          sync.Mutex // taken inside gobreaker's lock, never around it
	since       time.Time  // of the phase
	opened      time.Time
	cause       string // of the last opening
	transitions [3]uint64
}

// The phases of a breaker.
const (
	phaseClosed int32 = iota
	phaseHalfOpen
	phaseOpen
)

var phaseNames = [...]string{"closed", "half_open", "open"}

func newBreaker(target string, r *breakerRule, h *hub) *breaker {
	now := time.Now()
	b := &breaker{target: target, herald: herald{hub: h}, epoch: now, since: now}
	b.rule.Store(r)
	b.core.Store(newBreakerCore(b, r))
	return b
}

// allow asks for a call. Without it, left is how long the breaker stays open. Whoever asks has the herald deliver, once
// it holds no lock.
func (b *breaker) allow() (a admission, left time.Duration, ok bool) {
	if h := b.hold.Load(); h != 0 {
		if left := time.Duration(h) - time.Since(b.epoch); left > 0 {
			return admission{}, left, false
		}
		b.halfOpen(h)
	}
	done, err := b.core.Load().gobreaker.Allow()
	if err != nil {
		return admission{}, b.rule.Load().trialRetry(), false
	}
	if h := b.hold.Load(); h != 0 {
		// It opened while we asked, and gobreaker's own open time is over at once.
		done(errExcluded)
		return admission{}, max(time.Duration(h)-time.Since(b.epoch), 0), false
	}
	a = admission{breaker: b, done: done}
	if b.phase.Load() != phaseClosed {
		a.trial = &trial{}
	}
	return a, 0, true
}

// ranSlow counts as slow, too, a call that was counted as a failure before that was known. In other states than closed
// nothing hangs on it.
func (b *breaker) ranSlow() {
	c := b.core.Load()
	if b.phase.Load() != phaseClosed {
		return
	}
	done, err := c.gobreaker.Allow()
	if err != nil {
		return
	}
	outcome := errRanSlow
	if b.phase.Load() != phaseClosed { // what was allowed is a trial
		outcome = errExcluded
	}
	done(outcome)
	b.herald.deliver()
}

// halfOpen ends a hold that is over.
func (b *breaker) halfOpen(hold int64) {
	b.mu.Lock()
	if b.hold.Load() == hold {
		b.hold.Store(0)
		b.record(phaseHalfOpen, "")
	}
	b.mu.Unlock()
}

// shut reports whether the breaker would refuse a call now, and for how long.
func (b *breaker) shut() (left time.Duration, shut bool) {
	if h := b.hold.Load(); h != 0 {
		left = time.Duration(h) - time.Since(b.epoch)
		return left, left > 0
	}
	return b.rule.Load().trialRetry(), b.phase.Load() == phaseHalfOpen && !b.tries()
}

// changed is told by the core, inside gobreaker's lock.
func (b *breaker) changed(c *breakerCore, to int32, cause string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.core.Load() != c {
		return // replaced by an edit; what its last calls make of it is of no interest
	}
	if to == phaseOpen {
		b.opened, b.cause = time.Now(), cause
		b.hold.Store(max(int64(b.opened.Sub(b.epoch)+jitter(b.rule.Load().openTimeout)), 1))
	}
	b.record(to, cause)
}

func (b *breaker) record(to int32, cause string) {
	from, now := b.phase.Swap(to), time.Now()
	b.since = now
	b.transitions[to]++
	r := b.rule.Load()
	b.herald.add(Transition{
		Rule: r.name, Mode: r.mode, Kind: config.KindCircuitBreaker, Target: b.target, Upstream: b.upstream,
		From: phaseNames[from], To: phaseNames[to], Cause: cause, At: now,
	})
}

// adopt changes to another rule. Thresholds alone leave all as it is. What gobreaker fixes at birth needs a new core: a
// closed breaker starts afresh, an open one stays open until its time (or the new one, if sooner) has passed, and a
// half-open one starts its trials again. None of this is a transition.
func (b *breaker) adopt(r *breakerRule) {
	old := b.rule.Load()
	if old.sameCore(r) {
		b.rule.Store(r)
		return
	}
	closed, tripped := newBreakerCore(b, r), newBreakerCore(b, r)
	tripped.trip()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.rule.Store(r)
	if b.phase.Load() == phaseClosed {
		b.core.Store(closed)
		return
	}
	b.core.Store(tripped)
	if h := b.hold.Load(); h != 0 && r.openTimeout != old.openTimeout {
		b.hold.Store(max(min(h, int64(b.opened.Sub(b.epoch)+jitter(r.openTimeout))), 1))
	}
}

// jitter keeps hosts that opened together from trying again together.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

func (b *breaker) stats() BreakerStats {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.rule.Load()
	s := BreakerStats{
		Rule: r.name, Mode: r.mode, Target: b.target, Upstream: b.upstream, State: phaseNames[b.phase.Load()], Since: b.since, Cause: b.cause,
		Transitions: make(map[string]uint64, len(phaseNames)),
	}
	if h := b.hold.Load(); h != 0 {
		s.OpenFor = time.Duration(h) - time.Since(b.epoch)
		if s.OpenFor <= 0 {
			// No call has come since; the next one is a trial.
			s.State, s.OpenFor = phaseNames[phaseHalfOpen], 0
		}
	}
	for i, name := range phaseNames {
		s.Transitions[name] = b.transitions[i]
	}
	return s
}

// state is for people.
func (b *breaker) state() string {
	s := b.stats()
	switch s.State {
	case phaseNames[phaseOpen]:
		return fmt.Sprintf("open since %s, tries again in %s: %s",
			s.Since.UTC().Format(time.RFC3339), roundUp(s.OpenFor), s.Cause)
	case phaseNames[phaseHalfOpen]:
		return "half-open, opened by: " + s.Cause
	}
	n := b.core.Load().gobreaker.Counts()
	return fmt.Sprintf("closed, %d of %d calls failed", n.TotalFailures, n.TotalSuccesses+n.TotalFailures)
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
