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
// becomes the long-term mean.
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
}

// descent is a time in which the limit shrinks.
type descent struct {
	windows int     // 0: it does not
	limit   float64 // at its begin
	slowest float64 // of its windows, in seconds
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
}

// Stats returns the state.
func (a *Adaptive) Stats() AdaptiveStats {
	a.mu.Lock()
	defer a.mu.Unlock()
	return AdaptiveStats{int(a.limit), seconds(a.short), seconds(a.long)}
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
	a.adapt(mean)
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
		enforced := mean <= 1.25*a.limit+1 // more are in flight in shadow, where the limit changes nothing
		target := max(max(a.limit, mean)*gradient, a.limit/2) + math.Sqrt(a.limit)
		a.limit += adaptiveShrink * min(target-a.limit, 0)
		if enforced {
			a.judge()
		}
	}
	a.limit = min(max(a.limit, float64(a.bounds.Min)), float64(a.bounds.Max))
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
