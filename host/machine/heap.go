package machine

import (
	"math"
	"os"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"sync"
)

// Heap sets a floor for the heap of this process and its memory limit (GOGC and GOMEMLIMIT): a small heap is otherwise
// collected many times a second. A process has at most one Heap in use. The environment wins: GOGC turns
// the floor off, and GOMEMLIMIT keeps the limit.
//
// The floor is a GC percentage that is computed anew from the live heap after each collection, by a finalizer, and set where
// the goal of the heap would else be more than a quarter off. With 4 MiB live, 400 MB/s allocated and a floor of 64 MiB that
// was 8 collections a second in place of 50, and 70 MB resident in place of 35. A ballast (an allocation that is never
// touched) was measured as well: 11 a second for one of half the floor. It cannot set a goal too high, but it counts against
// GOMEMLIMIT, is in each heap profile and metric, and the process ends where the system refuses an edit's allocation.
//
// A percentage for a small heap is too high for one that has just grown, until the finalizer has run. The runtime runs that
// before other goroutines: with 500 that allocate, a heap that grew to 512 MiB had 76 MiB when its percentage was lowered, at
// 43 MiB live, and its peak was that of GOGC=100. runtime.AddCleanup has no such place: there it was 819 MiB.
type Heap struct {
	mu      sync.Mutex
	floor   int64
	percent int64 // in force
	armed   bool  // a finalizer runs after the next collection

	started              bool
	oldPercent, oldLimit int64 // before the first Set
}

// maxPercent bounds how far beyond the live heap a floor reaches, and so what a heap may take that has just grown.
const maxPercent = 1600

// minimum is the goal of a heap with nothing in it at 100 percent; the runtime scales it by the percentage.
const minimum = 4 << 20

// Set sets the floor of the heap and the memory limit, in bytes. 0 restores the value before the first Set.
func (h *Heap) Set(floor, limit int64) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.started {
		m := read("/gc/gogc:percent", "/gc/gomemlimit:bytes")
		h.started, h.percent, h.oldPercent, h.oldLimit = true, m[0], m[0], m[1]
	}
	if limit == 0 {
		limit = h.oldLimit
	}
	h.set(floor, limit)
}

// Restore restores the values before the first Set. A nil Heap has nothing to restore.
func (h *Heap) Restore() {
	if h == nil {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.started {
		h.set(0, h.oldLimit)
		h.started = false
	}
}

func (h *Heap) set(floor, limit int64) {
	if !HasMemoryLimit() {
		debug.SetMemoryLimit(limit)
	}
	if HasGCPercent() || h.oldPercent == math.MaxInt64 { // off
		return
	}
	h.floor = floor
	h.adjust()
	if floor > 0 && !h.armed {
		h.arm()
	}
}

// arm has the percentage adjusted after the next collection.
func (h *Heap) arm() {
	h.armed = true
	runtime.SetFinalizer(&collection{h}, (*collection).ended)
}

// adjust sets the percentage with which the goal of the heap is the floor. It is never below the one before the first Set.
func (h *Heap) adjust() {
	m := read("/gc/heap/live:bytes", "/gc/scan/stack:bytes", "/gc/scan/globals:bytes")
	live, marked := m[0], m[0]+m[1]+m[2]
	next := percentFor(h.floor, live, marked, h.oldPercent)
	is, wanted := goal(h.percent, live, marked), goal(next, live, marked)
	near := is >= wanted-wanted/4 && is <= wanted+wanted/4
	if next == h.percent || near && next > h.oldPercent {
		return
	}
	debug.SetGCPercent(int(next))
	h.percent = next
}

// percentFor returns the percentage for a floor, from least to maxPercent.
func percentFor(floor, live, marked, least int64) int64 {
	if floor <= live {
		return least
	}
	next := min(100*float64(floor-live)/float64(max(marked, 1)), 100*float64(floor)/minimum, maxPercent)
	return max(int64(next), least)
}

// goal returns the size at which a heap is collected.
func goal(percent, live, marked int64) int64 {
	return max(live+marked/100*percent, minimum/100*percent)
}

// collection is garbage whose finalizer runs once the next collection has ended.
type collection struct{ heap *Heap }

func (c *collection) ended() {
	h := c.heap
	h.mu.Lock()
	defer h.mu.Unlock()
	h.armed = false
	if h.floor > 0 {
		h.adjust()
		h.arm()
	}
}

// HasGCPercent reports whether GOGC is set in the environment.
func HasGCPercent() bool { return os.Getenv("GOGC") != "" }

// HasMemoryLimit reports whether GOMEMLIMIT is set in the environment.
func HasMemoryLimit() bool { return os.Getenv("GOMEMLIMIT") != "" }

// read returns metrics of the runtime, at most math.MaxInt64 each.
func read(names ...string) []int64 {
	samples, values := make([]metrics.Sample, len(names)), make([]int64, len(names))
	for i, name := range names {
		samples[i].Name = name
	}
	metrics.Read(samples)
	for i, s := range samples {
		values[i] = int64(min(s.Value.Uint64(), math.MaxInt64))
	}
	return values
}
