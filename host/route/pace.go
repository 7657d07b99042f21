package route

import (
	"math/rand/v2"
	"runtime"
	"sync/atomic"
	"time"
)

const (
	paceTimed = 16                     // one call in so many is timed
	paceLong  = 100 * time.Microsecond // calls that take longer on average give way before they begin
	paceShift = 3                      // a timed call changes the mean by an eighth of the difference
)

// pace is how long the handler of a method takes. Before a long call it gives way: goroutines that can run go first, such as those
// that read and refuse calls. Otherwise a queue of calls that compute would hold these up. The zero pace is ready for use.
type pace struct {
	mean atomic.Int64 // nanoseconds; 0: not known
}

// begin is called before the handler. It returns the time if the call is timed.
func (p *pace) begin() time.Time {
	if p.long() {
		runtime.Gosched()
	}
	if p.mean.Load() != 0 && rand.Uint32()%paceTimed != 0 {
		return time.Time{}
	}
	return time.Now()
}

// end is called after the handler with what begin returned.
func (p *pace) end(begin time.Time) {
	if begin.IsZero() {
		return
	}
	took, mean := max(int64(time.Since(begin)), 1), p.mean.Load()
	if mean != 0 {
		took = max(mean+(took-mean)>>paceShift, 1)
	}
	p.mean.Store(took) // one of two at the same time may get lost
}

// long reports whether calls give way.
func (p *pace) long() bool { return time.Duration(p.mean.Load()) >= paceLong }
