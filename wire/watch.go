package wire

import (
	"runtime/metrics"
	"sync/atomic"
	"time"
)

const (
	watchTick  = time.Millisecond
	watchSlots = 256
	watchRest  = 50 // ticks without a call after which the watch rests
)

// watch finds the calls of a server that are running at two looks in a row, a tick apart: another worker then becomes the
// reader of the connection that the call blocks, and the timer of the call's deadline starts. Most calls are shorter, and
// need neither. See serverConn.
type watch struct {
	slots   [watchSlots]watchSlot
	next    atomic.Uint32 // slot of the next worker
	looking atomic.Int32  // those that have started and not stopped
	resting atomic.Bool
	crowded atomic.Bool   // at the last look, goroutines waited for a processor
	wake    chan struct{} // made by the first start
}

// watchSlot holds a worker while it runs a call that the watch has not dealt with. It fills a cache line.
type watchSlot struct {
	runs atomic.Pointer[running]
	_    [56]byte
}

// running is the state of a worker that the watch looks at.
type running struct {
	watch *watch
	home  uint32 // index of the slot to try first
	slot  *watchSlot
	count atomic.Uint64 // of enterWatch
	taken chan struct{} // receives when the watch has dealt with what runs

	// Set before enterWatch, and not changed before leaveWatch.
	call    *Call       // nil: none
	served  *ServedCall // the same, of another protocol
	reading *serverConn // the connection that waits for what runs; nil: none
}

// start begins to look, until stop is called. Several may look at a time. While none does, what runs is dealt with at once.
func (w *watch) start() (stop func()) {
	if w.wake == nil {
		w.wake = make(chan struct{}, 1)
	}
	quit, gone := make(chan struct{}), make(chan struct{})
	w.looking.Add(1)
	go w.run(quit, gone)
	return func() {
		close(quit)
		<-gone
		if w.looking.Add(-1) > 0 {
			return
		}
		for i := range w.slots {
			if r := w.slots[i].runs.Load(); r != nil {
				w.slots[i].dealWith(r)
			}
		}
	}
}

// dealWith deals with r, unless it has left the slot.
func (s *watchSlot) dealWith(r *running) bool {
	if !s.runs.CompareAndSwap(r, nil) {
		return false
	}
	r.outlasts()
	r.taken <- struct{}{}
	return true
}

// admit prepares r for use.
func (w *watch) admit(r *running) {
	r.watch, r.home, r.taken = w, w.next.Add(1), make(chan struct{}, 1)
}

// enterWatch has the watch look at what runs until leaveWatch. If none of four slots is free, it is dealt with at once.
func (r *running) enterWatch() {
	r.count.Add(1)
	for i := range uint32(4) {
		s := &r.watch.slots[(r.home+i)%watchSlots]
		if s.runs.CompareAndSwap(nil, r) {
			r.slot = s
			if r.watch.resting.Load() {
				r.watch.rouse()
			}
			if r.watch.looking.Load() == 0 {
				s.dealWith(r)
			}
			return
		}
	}
	r.slot = nil
	r.outlasts()
}

// leaveWatch reports whether the watch has not dealt with what ran. If it has begun to, leaveWatch waits until it has.
func (r *running) leaveWatch() bool {
	if r.slot == nil {
		return false
	}
	if r.slot.runs.CompareAndSwap(r, nil) {
		return true
	}
	<-r.taken
	return false
}

// rouse wakes the watch if it rests.
func (w *watch) rouse() {
	if w.resting.CompareAndSwap(true, false) {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (w *watch) run(quit <-chan struct{}, gone chan<- struct{}) {
	defer close(gone)
	tick := time.NewTicker(watchTick)
	defer tick.Stop()
	var seen [watchSlots]sighting
	runnable := []metrics.Sample{{Name: "/sched/goroutines/runnable:goroutines"}}
	for quiet := 0; ; quiet++ {
		select {
		case <-tick.C:
		case <-quit:
			return
		}
		if w.look(&seen) {
			quiet = 0
			metrics.Read(runnable)
			w.crowded.Store(runnable[0].Value.Uint64() > 0)
		}
		if quiet < watchRest {
			continue
		}
		tick.Stop()
		w.resting.Store(true)
		w.crowded.Store(false)
		if !w.look(&seen) { // a call that has not seen it rest is seen now
			select {
			case <-w.wake:
			case <-quit:
				return
			}
		}
		w.resting.Store(false)
		quiet = 0
		tick.Reset(watchTick)
	}
}

// sighting is what was in a slot at the last look.
type sighting struct {
	runs  *running
	count uint64
}

// look deals with the calls that were seen before, and reports whether there are any calls.
func (w *watch) look(seen *[watchSlots]sighting) (busy bool) {
	for i := range w.slots {
		r := w.slots[i].runs.Load()
		if r == nil {
			seen[i] = sighting{}
			continue
		}
		busy = true
		now := sighting{r, r.count.Load()}
		if seen[i] == now && w.slots[i].dealWith(r) {
			now = sighting{}
		}
		seen[i] = now
	}
	return busy
}

// outlasts deals with what is no longer watched: it has another worker read, and starts the timer of the call.
func (r *running) outlasts() {
	if r.reading != nil {
		r.reading.group.pool.wake(r.reading)
	}
	if r.call != nil {
		r.call.outlasts()
	}
	if r.served != nil {
		r.served.outlasts()
	}
}
