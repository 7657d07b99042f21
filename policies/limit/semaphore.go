package limit

import (
	"context"
	"sync"
	"time"
)

// Semaphore bounds the calls in flight; further calls wait in a bounded queue, first in, first out.
//
// A call that needs several semaphores locks all of them, in one order, before it decides.
type Semaphore struct { //nolint:gocritic // callers lock several before they decide
	sync.Mutex

	max      int
	queue    int
	inFlight int
	waiting  int
	first    *Waiter // of the queue
	last     *Waiter
}

// Waiter is a call in the queue of a semaphore.
type Waiter struct {
	granted        chan struct{} // closed once a permit was acquired for the waiter
	next, previous *Waiter
	queued         bool
}

// NewSemaphore returns a semaphore with maximum permits and a queue of that length.
func NewSemaphore(maximum, queue int) *Semaphore { return &Semaphore{max: maximum, queue: queue} }

// Room is the room in a semaphore for another call.
type Room int

// The values of Room.
const (
	RoomFree  Room = iota // a permit
	RoomQueue             // room in the queue
	RoomNone
)

// Room returns the room for another call. The caller holds the lock.
func (s *Semaphore) Room() Room {
	switch {
	case s.inFlight < s.max:
		return RoomFree
	case s.waiting < s.queue:
		return RoomQueue
	}
	return RoomNone
}

// Acquire takes a permit, which Room has found free. The caller holds the lock.
func (s *Semaphore) Acquire() { s.inFlight++ }

// Force takes a permit even beyond the bounds, and reports whether it was beyond them. The caller holds the lock.
func (s *Semaphore) Force() (beyond bool) {
	beyond = s.inFlight >= s.max+s.queue
	s.inFlight++
	return beyond
}

// Release returns a permit.
func (s *Semaphore) Release() {
	s.Lock()
	s.inFlight--
	if s.first != nil {
		s.grant()
	}
	s.Unlock()
}

// WaitResult is the result of a wait for a permit.
type WaitResult int

// The values of WaitResult.
const (
	Acquired WaitResult = iota
	WaitTimedOut
	CallEnded
)

// Wait waits for the permit of w, at most maxWait. Unless it is acquired, w leaves the queue.
func (s *Semaphore) Wait(ctx context.Context, w *Waiter, maxWait time.Duration) WaitResult {
	select {
	case <-w.granted: // during the wait for another semaphore
		return Acquired
	default:
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case <-w.granted:
		return Acquired
	case <-timer.C:
		s.Leave(w)
		return WaitTimedOut
	case <-ctx.Done():
		s.Leave(w)
		return CallEnded
	}
}

// Leave removes w from the queue. A permit granted meanwhile passes on to the next waiter.
func (s *Semaphore) Leave(w *Waiter) {
	s.Lock()
	defer s.Unlock()
	if w.queued {
		s.dequeue(w)
		return
	}
	s.inFlight--
	s.grant()
}

// SetLimits changes the bounds; calls in flight and in the queue stay.
func (s *Semaphore) SetLimits(maximum, queue int) {
	s.Lock()
	defer s.Unlock()
	s.max, s.queue = maximum, queue
	s.grant()
}

// Counts returns the calls in flight and those in the queue.
func (s *Semaphore) Counts() (inFlight, waiting int) {
	s.Lock()
	defer s.Unlock()
	return s.inFlight, s.waiting
}

// grant gives the free permits to the head of the queue.
func (s *Semaphore) grant() {
	for s.first != nil && s.inFlight < s.max {
		w := s.first
		s.dequeue(w)
		s.inFlight++
		close(w.granted)
	}
}

// Enqueue joins the queue. The caller holds the lock.
func (s *Semaphore) Enqueue() *Waiter {
	w := &Waiter{granted: make(chan struct{}), queued: true, previous: s.last}
	if s.last == nil {
		s.first = w
	} else {
		s.last.next = w
	}
	s.last = w
	s.waiting++
	return w
}

func (s *Semaphore) dequeue(w *Waiter) {
	w.queued = false
	if w.previous == nil {
		s.first = w.next
	} else {
		w.previous.next = w.next
	}
	if w.next == nil {
		s.last = w.previous
	} else {
		w.next.previous = w.previous
	}
	s.waiting--
}
