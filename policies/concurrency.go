package policies

import (
	"context"
	"sync"
	"time"
)

// places counts the calls in flight under a rule and lets at most max of them run at a time; the others wait in a
// queue, first in, first out.
type places struct {
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

func newPlaces(maximum, queue int) *places { return &places{max: maximum, queue: queue} }

// taking is how an attempt to take a place went.
type taking int

const (
	placeTaken taking = iota
	placeTakenAfterWait
	placeQueueFull
	placeWaitedTooLong
	placeCallEnded
)

// take takes a place, waiting for it at most maxWait.
func (p *places) take(ctx context.Context, maxWait time.Duration) taking {
	p.mu.Lock()
	if p.inFlight < p.max {
		p.inFlight++
		p.mu.Unlock()
		return placeTaken
	}
	if p.waiting >= p.queue {
		p.mu.Unlock()
		return placeQueueFull
	}
	w := &waiter{granted: make(chan struct{})}
	p.enqueue(w)
	p.mu.Unlock()

	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case <-w.granted:
		return placeTakenAfterWait
	case <-timer.C:
		return p.giveUp(w, placeWaitedTooLong)
	case <-ctx.Done():
		return p.giveUp(w, placeCallEnded)
	}
}

// giveUp leaves the queue. A place that was granted meanwhile goes to the next one.
func (p *places) giveUp(w *waiter, why taking) taking {
	p.mu.Lock()
	defer p.mu.Unlock()
	if w.queued {
		p.dequeue(w)
		return why
	}
	p.inFlight--
	p.grant()
	return why
}

// takeAnyway takes a place even above the bounds, and tells whether the rule would have refused: above max and queue.
func (p *places) takeAnyway() (refused bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
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

func (p *places) enqueue(w *waiter) {
	w.queued, w.previous = true, p.last
	if p.last == nil {
		p.first = w
	} else {
		p.last.next = w
	}
	p.last = w
	p.waiting++
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
