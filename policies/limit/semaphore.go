package limit

import (
	"context"
	"sync/atomic"
	"time"
)

// Priority orders calls when an overloaded host cannot serve all of them. The zero value is PriorityNormal.
type Priority int8

// The values of Priority.
const (
	PriorityLow Priority = iota - 1
	PriorityNormal
	PriorityHigh
)

const priorities = int(PriorityHigh-PriorityLow) + 1

// place returns the index of the priority, from the lowest.
func (p Priority) place() int { return int(p - PriorityLow) }

// Semaphore bounds the calls in flight; further calls wait in a bounded queue, first in, first out within one priority. When it is
// full, a call takes the place of the newest one of the lowest priority, if that is lower.
//
// A call that needs several semaphores locks all of them, in one order, before it decides. One that needs no other takes a
// free permit without the lock, by TryAcquire.
type Semaphore struct {
	mutex

	// state is the number of calls in flight, plus guarded while the lock is held or calls wait: then only the holder of
	// the lock changes it.
	state  atomic.Int64
	beside *Semaphore // its calls in flight count for s, if they are more; nil: none
	max    atomic.Int64

	// The lock guards the following fields.
	queue   int
	waiting int
	queues  [priorities]struct{ first, last *Waiter }
}

// guarded is beyond any number of calls.
const guarded = 1 << 62

// Waiter is a call in the queue of a semaphore.
type Waiter struct {
	granted        chan struct{} // closed once a permit was acquired for the waiter, or another took its place
	next, previous *Waiter
	priority       Priority
	queued         bool
	displaced      bool // another took its place; set before granted is closed
}

// NewSemaphore returns a semaphore with maximum permits and a queue of that length.
func NewSemaphore(maximum, queue int) *Semaphore {
	s := &Semaphore{queue: queue}
	s.max.Store(int64(maximum))
	return s
}

// Lock locks the semaphore.
func (s *Semaphore) Lock() {
	s.mutex.Lock()
	if s.waiting == 0 {
		s.state.Add(guarded)
	}
}

// Unlock unlocks the semaphore.
func (s *Semaphore) Unlock() {
	if s.waiting == 0 {
		s.state.Add(-guarded)
	}
	s.mutex.Unlock()
}

// inFlight returns the number of calls in flight. The caller holds the lock.
func (s *Semaphore) inFlight() int64 { return max(s.state.Load()-guarded, s.besideIt()) }

// Beside makes s count the calls in flight of another semaphore as its own, if those are more. s must not be in use yet.
func (s *Semaphore) Beside(o *Semaphore) { s.beside = o }

func (s *Semaphore) besideIt() int64 {
	if s.beside == nil {
		return 0
	}
	n := s.beside.state.Load()
	if n >= guarded {
		n -= guarded
	}
	return n
}

// TryAcquire takes a free permit, and reports whether it has. It may fail although one is free: under the lock, Room is exact.
func (s *Semaphore) TryAcquire() bool {
	for {
		n := s.state.Load()
		if max(n, s.besideIt()) >= s.max.Load() {
			return false
		}
		if s.state.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// Room is the room in a semaphore for another call.
type Room int

// The values of Room.
const (
	RoomFree  Room = iota // a permit
	RoomQueue             // room in the queue
	RoomNone
)

// Room returns the room for another call. The caller holds the lock.
func (s *Semaphore) Room(p Priority) Room {
	switch {
	case s.inFlight() < s.max.Load():
		return RoomFree
	case s.waiting < s.queue, s.behind(p) != nil:
		return RoomQueue
	}
	return RoomNone
}

// behind returns the waiter that makes room for a call of a priority when the queue is full; nil: none does.
func (s *Semaphore) behind(p Priority) *Waiter {
	for i := range p.place() {
		if w := s.queues[i].last; w != nil {
			return w
		}
	}
	return nil
}

// Acquire takes a permit, which Room has found free. The caller holds the lock.
func (s *Semaphore) Acquire() { s.state.Add(1) }

// Force takes a permit even beyond the bounds, and reports whether it was beyond them. The caller holds the lock.
func (s *Semaphore) Force() (beyond bool) {
	beyond = s.inFlight() >= s.max.Load()+int64(s.queue)
	s.Acquire()
	return beyond
}

// Release returns a permit.
func (s *Semaphore) Release() {
	for {
		n := s.state.Load()
		if n >= guarded {
			break
		}
		if s.state.CompareAndSwap(n, n-1) {
			return
		}
	}
	s.Lock()
	defer s.Unlock()
	s.state.Add(-1)
	s.grant()
}

// WaitResult is the result of a wait for a permit.
type WaitResult int

// The values of WaitResult.
const (
	Acquired WaitResult = iota
	WaitTimedOut
	CallEnded
	Displaced // by a call of higher priority
)

// Wait waits for the permit of w, at most maxWait. Unless it is acquired, w leaves the queue.
func (s *Semaphore) Wait(ctx context.Context, w *Waiter, maxWait time.Duration) WaitResult {
	select {
	case <-w.granted: // during the wait for another semaphore
		return w.result()
	default:
	}
	timer := time.NewTimer(maxWait)
	defer timer.Stop()
	select {
	case <-w.granted:
		return w.result()
	case <-timer.C:
		s.Leave(w)
		return WaitTimedOut
	case <-ctx.Done():
		s.Leave(w)
		return CallEnded
	}
}

// result returns the result of a wait that the semaphore has ended.
func (w *Waiter) result() WaitResult {
	if w.displaced {
		return Displaced
	}
	return Acquired
}

// Leave removes w from the queue. A permit granted meanwhile passes on to the next waiter.
func (s *Semaphore) Leave(w *Waiter) {
	s.Lock()
	defer s.Unlock()
	switch {
	case w.queued:
		s.dequeue(w)
		return
	case w.displaced:
		return
	}
	s.state.Add(-1)
	s.grant()
}

// SetLimits changes the bounds; calls in flight and in the queue stay.
func (s *Semaphore) SetLimits(maximum, queue int) {
	s.Lock()
	defer s.Unlock()
	s.max.Store(int64(maximum))
	s.queue = queue
	s.grant()
}

// SetMax changes the number of permits.
func (s *Semaphore) SetMax(maximum int) {
	s.Lock()
	defer s.Unlock()
	s.max.Store(int64(maximum))
	s.grant()
}

// Max returns the number of permits.
func (s *Semaphore) Max() int { return int(s.max.Load()) }

// Running returns about how many calls are in flight, without the lock.
func (s *Semaphore) Running() int {
	n := s.state.Load()
	if n >= guarded {
		n -= guarded
	}
	return int(n)
}

// Counts returns the calls in flight and those in the queue.
func (s *Semaphore) Counts() (inFlight, waiting int) {
	s.Lock()
	defer s.Unlock()
	return int(s.inFlight()), s.waiting
}

// grant gives the free permits to the calls that wait, those of the highest priority first.
func (s *Semaphore) grant() {
	for i := priorities - 1; i >= 0; i-- {
		for q := &s.queues[i]; q.first != nil && s.inFlight() < s.max.Load(); {
			w := q.first
			s.dequeue(w)
			s.Acquire()
			close(w.granted)
		}
	}
}

// Enqueue joins the queue, for which Room has found room. The caller holds the lock.
func (s *Semaphore) Enqueue(p Priority) *Waiter {
	if s.waiting >= s.queue {
		gone := s.behind(p)
		s.dequeue(gone)
		gone.displaced = true
		close(gone.granted)
	}
	q := &s.queues[p.place()]
	w := &Waiter{granted: make(chan struct{}), queued: true, priority: p, previous: q.last}
	if q.last == nil {
		q.first = w
	} else {
		q.last.next = w
	}
	q.last = w
	s.waiting++
	return w
}

func (s *Semaphore) dequeue(w *Waiter) {
	w.queued = false
	q := &s.queues[w.priority.place()]
	if w.previous == nil {
		q.first = w.next
	} else {
		w.previous.next = w.next
	}
	if w.next == nil {
		q.last = w.previous
	} else {
		w.next.previous = w.previous
	}
	s.waiting--
}
