package wire

import (
	"fmt"

	"github.com/easymicro/easymicro/wire/code"
)

const (
	maxParked      = 1000 // calls of a connection queued beyond MaxInFlight
	maxParkedBytes = 1 << 20
)

// flight holds the calls of a connection that have been read and have not ended, in order of arrival: the running ones, then
// the queued ones. The mu of its serverCalls guards it.
type flight struct {
	max         int // calls that may run at a time
	first, last *task
	waiting     *task            // the first queued call
	bySeq       map[uint64]*task // two-way calls; made by the first find
	n           int
	oneWay      int
	running     int

	parked      int // read although max calls were in flight
	parkedBytes int64
}

// fits reports whether t may be added.
func (f *flight) fits(t *task) bool {
	return f.n < f.max || f.parked < maxParked && f.parkedBytes+parkedSize(t) <= maxParkedBytes
}

// parkedSize returns the bytes of t that count towards maxParkedBytes.
func parkedSize(t *task) int64 { return int64(len(t.req.Payload) + t.req.Metadata.size()) }

// refusal returns the error for a call that does not fit.
func (f *flight) refusal(host string) *code.Error {
	what := fmt.Sprintf("the connection has %d calls in flight, and may not queue more", f.n)
	e := code.Refuse(code.Unavailable, code.ReasonOverloaded, what, "", host, budgetRetryAfter)
	return e.WithAdvice("raise listeners[].limits.maxInFlightPerConnection")
}

// add queues t.
func (f *flight) add(t *task) {
	if t.prev = f.last; t.prev != nil {
		t.prev.next = t
	} else {
		f.first = t
	}
	f.last = t
	if f.waiting == nil {
		f.waiting = t
	}
	if f.n >= f.max {
		t.parked = true
		f.parked++
		f.parkedBytes += parkedSize(t)
	}
	f.n++
	if t.oneWay {
		f.oneWay++
	} else if f.bySeq != nil {
		f.bySeq[t.seq] = t
	}
}

// canRun reports whether a queued call may begin.
func (f *flight) canRun() bool { return f.waiting != nil && f.running < f.max }

// next starts the next queued call and returns it; nil if none may begin.
func (f *flight) next() *task {
	if !f.canRun() {
		return nil
	}
	t := f.waiting
	f.waiting = t.next
	f.running++
	f.unpark(t)
	return t
}

func (f *flight) unpark(t *task) {
	if t.parked {
		t.parked = false
		f.parked--
		f.parkedBytes -= parkedSize(t)
	}
}

// done removes a call that has run.
func (f *flight) done(t *task) {
	f.running--
	f.remove(t)
}

func (f *flight) remove(t *task) {
	if t.prev != nil {
		t.prev.next = t.next
	} else {
		f.first = t.next
	}
	if t.next != nil {
		t.next.prev = t.prev
	} else {
		f.last = t.prev
	}
	t.prev, t.next = nil, nil
	f.n--
	switch {
	case t.oneWay:
		f.oneWay--
	case f.n == 0:
		f.bySeq = nil
	case f.bySeq[t.seq] == t:
		delete(f.bySeq, t.seq)
	}
}

// drop removes and returns the queued calls, one-way calls only if all is set.
func (f *flight) drop(all bool) (dropped []*task) {
	t := f.waiting
	f.waiting = nil
	for t != nil {
		next := t.next
		switch {
		case all || !t.oneWay:
			f.unpark(t)
			f.remove(t)
			dropped = append(dropped, t)
		case f.waiting == nil:
			f.waiting = t
		}
		t = next
	}
	return dropped
}

// find returns the two-way call with a sequence, or nil. It uses an index, since a peer may send any number of
// cancellations.
func (f *flight) find(seq uint64) *task {
	if f.bySeq == nil && f.n > f.oneWay {
		f.bySeq = make(map[uint64]*task, f.n-f.oneWay)
		for t := f.first; t != nil; t = t.next {
			if !t.oneWay {
				f.bySeq[t.seq] = t
			}
		}
	}
	return f.bySeq[seq]
}
