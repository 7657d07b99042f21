package limit

import (
	"math"
	"sync"
	"time"
)

// AdaptiveBounds bound a limit that adapts.
type AdaptiveBounds struct{ Min, Max int }

// Adaptive adapts a limit of the calls in flight to their durations, with a gradient as in the libraries of Netflix and of
// failsafe-go: it compares the mean duration of the last window with the long-term mean. While the limit is used and the ratio is
// within the tolerance, the limit grows by its square root, which leaves room for a short queue; above the tolerance it shrinks
// gradually, the more the slower calls are.
//
// The long-term mean follows the windows slowly, but not upwards while the limit is used: it would adopt durations that include
// waiting for other calls. If calls stay slow although the limit shrinks, they do not wait for each other, and their duration
// becomes the long-term mean. If on the other hand calls take longer than the long-term mean for a while although the limit is in
// balance, a probe halves it for a moment, to see whether calls that wait less are faster than that mean: it may be of a time in which
// all were slow.
type Adaptive struct {
	semaphore *Semaphore

	mu     sync.Mutex
	bounds AdaptiveBounds
	limit  float64
	short  float64 // seconds, of the last window
	smooth float64 // short, over a few windows
	long   float64 // seconds; 0: no window yet

	began time.Time // of the window; zero: no call yet
	calls int
	took  time.Duration // by the calls of the window together
	peak  int           // of the calls in flight

	descent descent
	probe   lowering
}

// descent is a time in which the limit shrinks.
type descent struct {
	windows int     // 0: it does not
	limit   float64 // at its begin
	slowest float64 // of its windows, in seconds
}

// lowering is a probe that looks for a shorter duration of the calls by a lower limit.
type lowering struct {
	pressed int       // windows since the last one in which calls took longer than the long-term mean
	every   int       // of these before the next one, at least; 0: adaptiveProbe
	began   time.Time // zero: there is none now
	limit   float64   // to return to
	after   float64   // seconds from its begin after which calls do not wait as long as before
	least   float64   // of its windows after that, in seconds
	windows int       // after that
}

const (
	adaptiveWindow    = 100 * time.Millisecond
	adaptiveCalls     = 10   // in a window, at least
	adaptiveTolerance = 1.5  // of the shorter duration, relative to the longer one
	adaptiveShrink    = 0.2  // of what a window says is applied when the limit shrinks
	adaptiveFollow    = 0.02 // of the difference, by which the longer duration follows in a window
	adaptiveSmooth    = 0.2  // likewise for what it follows
	adaptiveUsed      = 0.8  // of the limit is in flight when it is used
	adaptiveProbed    = 0.75 // of the limit at which a descent is judged
	adaptiveDescent   = 10   // windows after which it is, at least
	adaptiveAtFloor   = 50   // windows after which it is at the minimum in any case
	adaptiveResponds  = 0.9  // of the duration: calls that take more have not become faster
	adaptiveFaster    = 2    // times as fast: calls that were slow are not any more
	adaptivePressed   = 1.2  // times the longer duration: calls wait for each other, or it is wrong
	adaptiveProbe     = 20   // windows of that after which a probe begins
	adaptiveProbeMost = 600  // likewise, after probes that found nothing
	adaptiveProbeTo   = 0.5  // of the limit
	adaptiveProbeFor  = 2    // windows
	adaptiveShorter   = 0.95 // of the longer duration: the probe has found something
)

// NewAdaptive returns a limit within bounds that begins at start, for a semaphore. It is in force from SetBounds on.
func NewAdaptive(s *Semaphore, b AdaptiveBounds, start int) *Adaptive {
	return &Adaptive{semaphore: s, bounds: b, limit: float64(min(max(start, b.Min), b.Max))}
}

// Limit returns the limit in force.
func (a *Adaptive) Limit() int {
	a.mu.Lock()
	defer a.mu.Unlock()
	return int(a.limit)
}

// SetBounds changes the bounds, and sets the limit and the length of the queue in the semaphore.
func (a *Adaptive) SetBounds(b AdaptiveBounds, queue int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.bounds = b
	a.limit = min(max(a.limit, float64(b.Min)), float64(b.Max))
	a.semaphore.SetLimits(int(a.limit), queue)
}

// AdaptiveStats is the state of an adaptive limit.
type AdaptiveStats struct {
	Limit       int
	Short, Long time.Duration // 0: not known yet
	Probing     bool          // the limit is lower for a moment, to measure Long
}

// Stats returns the state.
func (a *Adaptive) Stats() AdaptiveStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return AdaptiveStats{int(a.limit), seconds(a.short), seconds(a.long), !a.probe.began.IsZero()}
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// Observe records a call that has ended, and adapts the limit at the end of a window. inFlight are the calls in flight, that one
// included. A call that failed counts only if it took longer than the others: calls are not made faster by failing. The caller
// holds no lock of the semaphore.
func (a *Adaptive) Observe(now time.Time, took time.Duration, inFlight int, failed bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if failed && took.Seconds() < a.smooth {
		return
	}
	if a.began.IsZero() {
		a.began = now.Add(-took)
	}
	a.calls++
	a.took += took
	a.peak = max(a.peak, inFlight)
	if a.calls < adaptiveCalls || now.Sub(a.began) < adaptiveWindow {
		return
	}
	a.short = (a.took / time.Duration(a.calls)).Seconds()
	mean := a.took.Seconds() / now.Sub(a.began).Seconds() // in flight, by Little's law
	before := int(a.limit)
	if a.probe.began.IsZero() {
		a.adapt(mean)
		a.mayProbe(now, mean)
	} else {
		a.probed()
	}
	a.began, a.calls, a.took, a.peak = now, 0, 0, 0
	if int(a.limit) != before {
		a.semaphore.SetMax(int(a.limit))
	}
}

// adapt changes the limit after a window with a mean number of calls in flight.
func (a *Adaptive) adapt(mean float64) {
	if a.long == 0 {
		a.long, a.smooth = a.short, a.short
	}
	a.smooth += adaptiveSmooth * (a.short - a.smooth)
	used := float64(a.peak) >= adaptiveUsed*a.limit
	a.follow(used)
	gradient := adaptiveTolerance * a.long / max(a.short, 1e-9)
	switch {
	case !used:
		a.descent = descent{}
		return
	case gradient >= 1:
		a.descent = descent{}
		a.limit += math.Sqrt(a.limit)
	default:
		target := max(max(a.limit, mean)*gradient, a.limit/2) + math.Sqrt(a.limit)
		a.limit += adaptiveShrink * min(target-a.limit, 0)
		if a.enforced(mean) {
			a.judge()
		}
	}
	a.limit = min(max(a.limit, float64(a.bounds.Min)), float64(a.bounds.Max))
}

// enforced reports whether the limit has an effect. In shadow more calls are in flight.
func (a *Adaptive) enforced(mean float64) bool { return mean <= 1.25*a.limit+1 }

// mayProbe begins a probe after enough windows with pressure.
func (a *Adaptive) mayProbe(now time.Time, mean float64) {
	p := &a.probe
	p.every = max(p.every, adaptiveProbe)
	if float64(a.peak) < adaptiveUsed*a.limit || !a.enforced(mean) || a.smooth < adaptivePressed*a.long {
		return
	}
	p.pressed++
	lower := max(a.limit*adaptiveProbeTo, float64(a.bounds.Min))
	if p.pressed < p.every || a.descent.windows > 0 && a.descent.windows < adaptiveDescent || lower >= a.limit {
		return
	}
	*p = lowering{every: p.every, began: now, limit: a.limit, after: max(a.smooth, adaptiveWindow.Seconds())}
	a.limit = lower
}

// probed is called for each window of a probe. At its end the limit returns to what it was.
func (a *Adaptive) probed() {
	p := &a.probe
	if a.began.Sub(p.began).Seconds() < p.after {
		return // these calls have begun before
	}
	if p.windows == 0 || a.short < p.least {
		p.least = a.short
	}
	p.windows++
	if p.windows < adaptiveProbeFor {
		return
	}
	every := min(2*p.every, adaptiveProbeMost)
	if p.least < adaptiveShorter*a.long {
		a.long, every = p.least, adaptiveProbe
	}
	a.limit = min(max(p.limit, float64(a.bounds.Min)), float64(a.bounds.Max))
	a.probe, a.descent = lowering{every: every}, descent{}
}

// follow has the longer duration follow the shorter one.
func (a *Adaptive) follow(used bool) {
	switch {
	case a.smooth*adaptiveFaster < a.long:
		a.long = a.smooth
	case !used || a.smooth < a.long:
		a.long += adaptiveFollow * (a.smooth - a.long)
	}
}

// judge adopts the duration of the calls if it does not fall with the limit.
func (a *Adaptive) judge() {
	d := &a.descent
	if d.windows == 0 {
		d.limit, d.slowest = a.limit, 0
	}
	d.windows++
	d.slowest = max(d.slowest, a.short)
	floor := a.limit <= float64(a.bounds.Min)
	switch {
	case d.windows < adaptiveDescent || a.limit > adaptiveProbed*d.limit && !floor:
	case a.smooth >= adaptiveResponds*d.slowest, floor && d.windows >= adaptiveAtFloor:
		a.long, *d = a.smooth, descent{}
	case !floor:
		*d = descent{}
	}
}
