package policies

import (
	"context"
	"sync"
	"time"
)

// places counts the calls in flight under a rule and lets at most max of them run at a time; the others wait in a
// queue, first in, first out.
type places struct {
	order uint64 // in which a call locks the limiters and places that it needs

	mu       sync.Mutex
	max      int
	queue    int
	inFlight int
	waiting  int
	first    *waiter // of the queue
	last     *waiter
}

type waiter struct {
	granted        chan struct{} // closed when the place is taken for the waiter
	next, previous *waiter
	queued         bool
}

func newPlaces(maximum, queue int, order uint64) *places {
	return &places{order: order, max: maximum, queue: queue}
}

// room is what there is for another call.
type room int

const (
	roomFree room = iota
	roomQueue
	roomNone
)

// room is that of now. The places are locked.
func (p *places) room() room {
	switch {
	case p.inFlight < p.max:
		return roomFree
	case p.waiting < p.queue:
		return roomQueue
	}
	return roomNone
}

// taking is how a wait for a place went.
type taking int

const (
	placeTaken taking = iota
	placeWaitedTooLong
	placeCallEnded
)

// wait waits for the place of w, at most maxWait.
func (p *places) wait(ctx context.Context, w *waiter, maxWait time.Duration) taking {
	select {
	case <-w.granted: // while another place was waited for
		return placeTaken
	default:
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case <-w.granted:
		return placeTaken
	case <-timer.C:
		p.leave(w)
		return placeWaitedTooLong
	case <-ctx.Done():
		p.leave(w)
		return placeCallEnded
	}
}

// leave leaves the queue. A place that was granted meanwhile goes to the next one.
func (p *places) leave(w *waiter) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.queued {
		p.dequeue(w)
		return
	}
	p.inFlight--
	p.grant()
}

// takeAnyway takes a place even above the bounds, and tells whether the rule would have refused: above max and queue.
// The places are locked.
func (p *places) takeAnyway() (refused bool) {
	refused = p.inFlight >= p.max+p.queue
	p.inFlight++
	return refused
}

// free gives a place back.
func (p *places) free() {
	p.mu.Lock()
	p.inFlight--
	if p.first != nil {
		p.grant()
	}
	p.mu.Unlock()
}

// adopt changes the bounds; calls in flight and in the queue stay.
func (p *places) adopt(maximum, queue int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.max, p.queue = maximum, queue
	p.grant()
}

// grant lets as many of the queue run as there are places.
func (p *places) grant() {
	for p.first != nil && p.inFlight < p.max {
		w := p.first
		p.dequeue(w)
		p.inFlight++
		close(w.granted)
	}
}

// enqueue joins the queue. The places are locked.
func (p *places) enqueue() *waiter {
	w := &waiter{granted: make(chan struct{}), queued: true, previous: p.last}
	if p.last == nil {
		p.first = w
	} else {
		p.last.next = w
	}
	p.last = w
	p.waiting++
	return w
}

func (p *places) dequeue(w *waiter) {
	w.queued = false
	if w.previous == nil {
		p.first = w.next
	} else {
		w.previous.next = w.next
	}
	if w.next == nil {
		p.last = w.previous
	} else {
		w.next.previous = w.previous
	}
	p.waiting--
}

func (p *places) counts() (inFlight, waiting int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.inFlight, p.waiting
}

// held is the places that a call has taken.
type held struct {
	places [4]*places
	taken  int
	more   []*places
}

func (h *held) occupy(p *places) {
	if h.taken < len(h.places) {
		h.places[h.taken] = p
		h.taken++
		return
	}
	h.more = append(h.more, p)
}

func (h *held) free() {
	for _, p := range h.places[:h.taken] {
		p.free()
	}
	for _, p := range h.more {
		p.free()
	}
}
