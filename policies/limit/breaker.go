package limit

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Breaker is a circuit breaker. gobreaker counts, decides when to open, lets probes through and closes again. The open
// time is kept here: gobreaker has one fixed time for all openings, without jitter, cannot tell what is left of it, and
// cannot be started open, which an edit of an open breaker needs.
type Breaker struct {
	notifier

	name  string
	epoch time.Time // openUntil counts from here

	settings  atomic.Pointer[BreakerSettings] // read by gobreaker's callbacks, so that thresholds change live
	core      atomic.Pointer[breakerCore]
	openUntil atomic.Int64 // since epoch; 0: not open
	phase     atomic.Int32
	held      atomic.Pointer[Hold] // written with mu held

	mu          sync.Mutex // taken inside the locks of the core, never around them
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

// The states of a breaker that events and BreakerStats report.
const (
	StateClosed   = "closed"
	StateHalfOpen = "half_open"
	StateOpen     = "open"
)

var phaseNames = [...]string{StateClosed, StateHalfOpen, StateOpen}

// NewBreaker returns a closed breaker. s is not changed.
func NewBreaker(name string, s *BreakerSettings, notify func(Event)) *Breaker {
	now := time.Now()
	b := &Breaker{notifier: notifier{notify: notify}, name: name, epoch: now, since: now}
	b.settings.Store(s)
	b.core.Store(newBreakerCore(b, s))
	return b
}

// Name returns the name given to NewBreaker.
func (b *Breaker) Name() string { return b.name }

// Allow asks to make a call. If the breaker is open, left is for how long. The caller calls Notify once it holds no lock.
func (b *Breaker) Allow() (a Admission, left time.Duration, ok bool) {
	if h := b.openUntil.Load(); h != 0 {
		if left := time.Duration(h) - time.Since(b.epoch); left > 0 {
			return Admission{}, left, false
		}
		b.halfOpen(h)
	}
	c := b.core.Load()
	done, err := c.allow()
	if err != nil {
		return Admission{}, b.settings.Load().probeRetry(), false
	}
	if h := b.openUntil.Load(); h != 0 {
		// It opened meanwhile, and gobreaker's own open time is over at once.
		c.report(done, ErrExcluded)
		return Admission{}, max(time.Duration(h)-time.Since(b.epoch), 0), false
	}
	a = Admission{breaker: b, core: c, done: done}
	if b.phase.Load() != phaseClosed {
		a.probe = &probe{}
	}
	return a, 0, true
}

// IsClosed reports whether Allow would admit any call now.
func (b *Breaker) IsClosed() bool { return b.phase.Load() == phaseClosed }

// Join is Allow for a call that may be made because IsClosed was true. If the breaker has opened meanwhile, the outcome does not
// count, like that of any call in flight, and Join returns false.
func (b *Breaker) Join() (a Admission, counts bool) {
	a, _, ok := b.Allow()
	if ok && a.probe != nil {
		a.core.report(a.done, ErrExcluded)
		return Admission{}, false
	}
	return a, ok
}

// ranSlow counts a call as slow that was counted as a failure before. It matters only while the breaker is closed.
func (b *Breaker) ranSlow() {
	c := b.core.Load()
	if b.phase.Load() != phaseClosed {
		return
	}
	done, err := c.allow()
	if err != nil {
		return
	}
	outcome := errRanSlow
	if b.phase.Load() != phaseClosed { // the call allowed here is a probe
		outcome = ErrExcluded
	}
	c.report(done, outcome)
	b.Notify()
}

// halfOpen ends an open time that has passed.
func (b *Breaker) halfOpen(until int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.openUntil.Load() == until {
		b.openUntil.Store(0)
		b.record(phaseHalfOpen, "")
	}
}

// IsOpen reports whether Allow would refuse a call now, and for how long.
func (b *Breaker) IsOpen() (left time.Duration, open bool) {
	if h := b.openUntil.Load(); h != 0 {
		left = time.Duration(h) - time.Since(b.epoch)
		return left, left > 0
	}
	return b.settings.Load().probeRetry(), b.phase.Load() == phaseHalfOpen && !b.WouldProbe()
}

// changed follows a transition of the core, inside gobreaker's lock.
func (b *Breaker) changed(c *breakerCore, to int32, cause string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.core.Load() != c {
		return // replaced by an edit
	}
	if to == phaseOpen {
		b.opened, b.cause = time.Now(), cause
		b.openUntil.Store(max(int64(b.opened.Sub(b.epoch)+jitter(b.settings.Load().OpenTimeout)), 1))
	}
	b.record(to, cause)
}

func (b *Breaker) record(to int32, cause string) {
	from, now := b.phase.Swap(to), time.Now()
	b.since = now
	b.transitions[to]++
	b.add(Event{From: phaseNames[from], To: phaseNames[to], Cause: cause, At: now})
}

// SetSettings changes the settings. Thresholds apply at once. What gobreaker fixes at creation needs a new core: a closed
// breaker then starts afresh, an open one stays open until its time (or the new one, if sooner) has passed, and a half-open
// one restarts its probes. None of this is a transition.
func (b *Breaker) SetSettings(r *BreakerSettings) {
	old := b.settings.Load()
	if old.sameCore(r) {
		b.settings.Store(r)
		return
	}
	closed, tripped := newBreakerCore(b, r), newTrippedCore(b, r)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.settings.Store(r)
	if b.phase.Load() == phaseClosed {
		b.core.Store(closed)
		return
	}
	b.core.Store(tripped)
	if h := b.openUntil.Load(); h != 0 && r.OpenTimeout != old.OpenTimeout && b.Held() == nil {
		b.openUntil.Store(max(min(h, int64(b.opened.Sub(b.epoch)+jitter(r.OpenTimeout))), 1))
	}
}

// Reset closes the breaker for a reason, and forgets what it has counted, unless it is held. The caller calls Notify once it holds
// no lock.
func (b *Breaker) Reset(why string) {
	fresh := newBreakerCore(b, b.settings.Load())
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.Held() == nil {
		b.close(fresh, why)
	}
}

// close closes the breaker, with mu held.
func (b *Breaker) close(fresh *breakerCore, why string) {
	b.core.Store(fresh)
	b.openUntil.Store(0)
	if b.phase.Load() != phaseClosed {
		b.record(phaseClosed, why)
	}
}

// Hold keeps a breaker open or closed, whatever the calls return.
type Hold struct {
	Open  bool
	Until time.Time
	Cause string
}

// Held returns the hold in force; nil: none.
func (b *Breaker) Held() *Hold {
	if h := b.held.Load(); h != nil && time.Now().Before(h.Until) {
		return h
	}
	return nil
}

// Hold replaces the hold of the breaker, which also ends in time; nil ends it now. A breaker that was held open until then is half-open.
// The caller calls Notify once it holds no lock.
func (b *Breaker) Hold(h *Hold) {
	was := b.held.Load()
	if was == h || was != nil && h != nil && *was == *h {
		return
	}
	s := b.settings.Load()
	closed, tripped := newBreakerCore(b, s), newTrippedCore(b, s)
	old := b.core.Load()
	closed.remember(old)
	tripped.remember(old)
	b.mu.Lock()
	defer b.mu.Unlock()
	lasts := b.Held() != nil
	b.held.Store(h)
	switch {
	case h == nil:
		if lasts && was.Open && b.openUntil.Load() != 0 {
			b.openUntil.Store(1) // it has passed
		}
	case h.Open:
		now := time.Now()
		b.core.Store(tripped)
		b.opened, b.cause = now, h.Cause
		b.openUntil.Store(max(int64(now.Sub(b.epoch)+h.Until.Sub(now)), 1))
		if b.phase.Load() != phaseOpen {
			b.record(phaseOpen, h.Cause)
		}
	case b.phase.Load() != phaseClosed:
		b.close(closed, h.Cause)
	}
}

// CopyPhase makes b, which is new, open or half-open if o is.
func (b *Breaker) CopyPhase(o *Breaker) {
	o.mu.Lock()
	phase, until, opened := o.phase.Load(), o.openUntil.Load(), o.opened
	o.mu.Unlock()
	if phase == phaseClosed {
		return
	}
	tripped := newTrippedCore(b, b.settings.Load())
	b.mu.Lock()
	defer b.mu.Unlock()
	b.core.Store(tripped)
	b.epoch, b.opened = o.epoch, opened
	b.phase.Store(phase)
	b.openUntil.Store(until)
}

// jitter keeps hosts that opened together from probing together.
func jitter(d time.Duration) time.Duration {
	return time.Duration(float64(d) * (0.9 + 0.2*rand.Float64()))
}

// BreakerStats is the state of a breaker.
type BreakerStats struct {
	State       string // closed, half_open or open
	Since       time.Time
	OpenFor     time.Duration     // remaining time until it half-opens
	Cause       string            // of the last opening
	Transitions map[string]uint64 // by resulting state
	Calls       int               // that ended, in the window or, unless it is closed, as probes
	Failures    int               // of these
	Probing     int               // probes in flight
	Probes      int               // in a row that close it
	Last        []string          // outcomes of the last calls, the oldest first: ok, failed or slow
	LastFailure string
	Held        *Hold
}

// Stats returns the state of the breaker.
func (b *Breaker) Stats() BreakerStats {
	c := b.core.Load()
	n := c.counts() // its locks are never taken inside ours
	s := BreakerStats{Transitions: make(map[string]uint64, len(phaseNames)), Calls: int(n.TotalSuccesses + n.TotalFailures), Failures: int(n.TotalFailures)}
	s.Last, s.LastFailure = c.lastOutcomes()
	b.mu.Lock()
	defer b.mu.Unlock()
	s.State, s.Since, s.Cause, s.Held = phaseNames[b.phase.Load()], b.since, b.cause, b.Held()
	if s.State != StateClosed {
		s.Probing, s.Probes = int(n.Requests)-s.Calls-int(n.TotalExclusions), b.settings.Load().HalfOpenRequests
	}
	if h := b.openUntil.Load(); h != 0 {
		s.OpenFor = time.Duration(h) - time.Since(b.epoch)
		if s.OpenFor <= 0 { // no call since; the next one is a probe
			s.State, s.OpenFor = StateHalfOpen, 0
		}
	}
	for i, name := range phaseNames {
		s.Transitions[name] = b.transitions[i]
	}
	return s
}

// WouldProbe reports whether the next call would be a probe.
func (b *Breaker) WouldProbe() bool {
	if h := b.openUntil.Load(); h != 0 {
		return time.Duration(h) <= time.Since(b.epoch)
	}
	if b.phase.Load() != phaseHalfOpen {
		return false
	}
	n := b.core.Load().counts()
	return int(n.Requests)-int(n.TotalExclusions) < b.settings.Load().HalfOpenRequests
}
