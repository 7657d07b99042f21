package client

import (
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// member is an endpoint as one of a service's list. What is learned of it is carried over to the next list.
type member struct {
	ep     Endpoint
	index  int // in the list
	weight int64
	hash   uint64
	node   *node
	*load
}

// load is what the calls of a service to an endpoint have shown.
type load struct {
	inFlight atomic.Int64
	latency  atomic.Int64 // smoothed; 0 when unknown
	updated  atomic.Int64 // when, see Client.now
	blamed   atomic.Bool  // the latency is that of failed calls, which count as slow
}

// permits returns why the endpoint is not called on a connection, which may have been made for another service.
func (m *member) permits(l *link) error {
	if m.ep.Check == nil || !l.remote.IsValid() {
		return nil
	}
	return m.ep.Check(l.remote)
}

const (
	smoothTime   = time.Second            // samples that are so far apart count fully
	smoothLeast  = 8                      // one sample counts for at least the 8th part
	fadeTime     = 2 * time.Second        // what is known of an endpoint counts half after so long without a call
	failureCosts = 500 * time.Millisecond // a failed call counts as one that took so long, at least
)

// begin counts a call in.
func (l *load) begin() { l.inFlight.Add(1) }

// end counts it out, and learns from how long it took, if it was answered. Calls that failed count as slow, however
// quick they were.
func (l *load) end(began, now int64, err error, answered bool) {
	l.inFlight.Add(-1)
	if !answered && err == nil {
		return
	}
	took := now - began
	switch code.Of(err) {
	case code.Unavailable, code.DeadlineExceeded, code.ResourceExhausted, code.Internal:
		took = max(took, int64(failureCosts), 2*l.latency.Load())
		l.blamed.Store(true)
	case code.Cancelled:
		if took < l.latency.Load() {
			return // nothing can be told from it
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
	if err == nil && smooth <= 2*took && l.blamed.Load() {
		l.blamed.Store(false)
	}
}

// shown is the latency for people, who take it for what it says: none while it is that of failures.
func (l *load) shown() time.Duration {
	if l.blamed.Load() {
		return 0
	}
	return time.Duration(l.latency.Load())
}

// cost is the latency that a caller would see now, roughly. What was learned fades, so that an endpoint that was slow is
// tried again.
func (l *load) cost(now int64) int64 {
	age := (now - l.updated.Load()) / int64(fadeTime)
	return l.latency.Load() >> min(max(age, 0), 62)
}
