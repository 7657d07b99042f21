package client

import (
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// member is an endpoint in the list of a service. A newer list keeps its load.
type member struct {
	ep     Endpoint
	index  int // in the list
	weight int64
	hash   uint64
	node   *node
	*load
}

// load has measurements of a service's calls to an endpoint.
type load struct {
	inFlight  atomic.Int64
	latency   atomic.Int64 // smoothed; 0: unknown
	updated   atomic.Int64 // see core.now
	penalized atomic.Bool  // the latency includes the penalty of failed calls
}

// permits returns an error if Check refuses l, which may have been made for another service.
func (m *member) permits(l *link) error {
	if m.ep.Check == nil || !l.remote.IsValid() {
		return nil
	}
	return m.ep.Check(l.remote)
}

const (
	smoothTime   = time.Second            // a sample this long after the previous one replaces it
	smoothLeast  = 8                      // a sample has a weight of at least 1/8
	fadeTime     = 2 * time.Second        // without calls, the latency is halved every time this passes
	failureCosts = 500 * time.Millisecond // a failed call counts as at least this slow
)

// begin counts a call in flight.
func (l *load) begin() { l.inFlight.Add(1) }

// end removes a call in flight, and updates the latency if it was answered. Failed calls count as slow, even if they failed
// fast.
func (l *load) end(began, now int64, err error, answered bool) {
	l.inFlight.Add(-1)
	if !answered && err == nil {
		return
	}
	took := now - began
	switch code.Of(err) {
	case code.Unavailable, code.DeadlineExceeded, code.ResourceExhausted, code.Internal:
		took = max(took, int64(failureCosts), 2*l.latency.Load())
		l.penalized.Store(true)
	case code.Cancelled:
		if took < l.latency.Load() {
			return // it might have taken longer
		}
	default:
	}
	old, since := l.latency.Load(), now-l.updated.Load()
	l.updated.Store(now)
	if old == 0 {
		l.latency.Store(max(took, 1))
		return
	}
	part := max(since, int64(smoothTime)/smoothLeast)
	part = min(part, int64(smoothTime))
	smooth := max(old+int64(float64(took-old)*float64(part)/float64(smoothTime)), 1)
	l.latency.Store(smooth)
	if err == nil && smooth <= 2*took && l.penalized.Load() {
		l.penalized.Store(false)
	}
}

// shown returns the latency for display: 0 while it includes a penalty for failed calls.
func (l *load) shown() time.Duration {
	if l.penalized.Load() {
		return 0
	}
	return time.Duration(l.latency.Load())
}

// cost returns the expected latency of a call. It decays with time, so that an endpoint that was slow is tried again.
func (l *load) cost(now int64) int64 {
	age := (now - l.updated.Load()) / int64(fadeTime)
	return l.latency.Load() >> min(max(age, 0), 62)
}
