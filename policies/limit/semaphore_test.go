package limit_test

import (
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/policies/limit"
)

func TestPermitGrantedToAWaiterThatLeavesPassesOn(t *testing.T) {
	s := limit.NewSemaphore(1, 2)
	s.Lock()
	s.Acquire()
	w := s.Enqueue(limit.PriorityNormal)
	s.Unlock()
	s.Release() // grants w
	s.Leave(w)
	if n, _ := s.Counts(); n != 0 {
		t.Errorf("%d in flight", n)
	}
}

func TestNoPermitIsTakenPastTheLock(t *testing.T) {
	s := limit.NewSemaphore(2, 1)
	s.Lock()
	if s.TryAcquire() {
		t.Error("another call has the lock")
	}
	s.Acquire()
	s.Unlock()
	if !s.TryAcquire() {
		t.Error("a permit is free")
	}
	if s.TryAcquire() {
		t.Error("a third permit of two")
	}
	s.Lock()
	w := s.Enqueue(limit.PriorityNormal)
	s.Unlock()
	s.SetLimits(1, 1)
	s.Release()
	if n, waiting := s.Counts(); n != 1 || waiting != 1 {
		t.Errorf("%d in flight, %d waiting", n, waiting)
	}
	if s.TryAcquire() {
		t.Error("overtook the queue")
	}
	s.Release()
	if got := s.Wait(t.Context(), w, time.Minute); got != limit.Acquired {
		t.Error(got)
	}
	if n, waiting := s.Counts(); n != 1 || waiting != 0 {
		t.Errorf("%d in flight, %d waiting", n, waiting)
	}
}

// Some calls take a permit without the lock, some with it, and some wait; the bound changes meanwhile.
func TestPermitsAreNeverMoreThanTheMaximum(t *testing.T) {
	const callers, each, most = 8, 500, 4
	s := limit.NewSemaphore(most, callers)
	var inFlight atomic.Int64
	run := func() {
		if n := inFlight.Add(1); n > most {
			t.Errorf("%d in flight", n)
		}
		inFlight.Add(-1)
		s.Release()
	}
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for j := range each {
				if (i+j)%3 > 0 && s.TryAcquire() {
					run()
					continue
				}
				s.Lock()
				if s.Room(limit.PriorityNormal) == limit.RoomFree {
					s.Acquire()
					s.Unlock()
					run()
					continue
				}
				w := s.Enqueue(limit.PriorityNormal)
				s.Unlock()
				if s.Wait(t.Context(), w, time.Minute) != limit.Acquired {
					t.Error("no permit")
					return
				}
				run()
				if j%50 == 0 {
					s.SetLimits(most-1-j%2, callers)
				}
			}
		})
	}
	all.Wait()
	if n, waiting := s.Counts(); n != 0 || waiting != 0 {
		t.Errorf("%d in flight, %d waiting", n, waiting)
	}
}
