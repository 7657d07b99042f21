package traffic

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

const (
	sketchSpan  = 5 * time.Second // calls of a span are counted together
	sketchSpans = int(Window / sketchSpan)

	rowsOfShard = 512
	rowsOfSpan  = 1024
)

// Sketch counts calls by method, caller, peer and outcome, and keeps the last five minutes in bounded memory. It counts
// the flows with most calls apart; flows without room lose first their peer, then their caller. It is safe
// for concurrent use.
type Sketch struct {
	begin time.Time
	span  atomic.Uint32 // since begin, of the calls in shards; changed under mu
	live  []flowShard

	mu    sync.Mutex
	spans [sketchSpans]struct {
		number uint32 // of the span, plus one; 0: none
		flows  []Row
	}
	merged flows // used by merge only
}

// flowShard counts the calls that end on some of the processors.
type flowShard struct {
	mu    sync.Mutex
	flows flows
	_     [64]byte // keeps mutexes on separate cache lines
}

// NewSketch returns a Sketch without calls.
func NewSketch() *Sketch {
	s := &Sketch{begin: time.Now(), live: make([]flowShard, Shards()), merged: newFlows(rowsOfSpan)}
	for i := range s.live {
		s.live[i].flows = newFlows(rowsOfShard)
	}
	return s
}

// Observe counts a call that ended at end, also for its method, which may be nil; took is its duration. It allocates only for flows that
// are new in their span.
func (s *Sketch) Observe(at Shard, m *Method, end time.Time, took time.Duration, f Flow) {
	if m != nil {
		m.Observe(at, end, took, f.Code, f.Refused)
	}
	if len(f.Caller) > maxCallerBytes {
		f.Caller = code.Clip(f.Caller, maxCallerBytes)
	}
	if int(f.Code) >= codes { // a handler may return any
		f.Code = code.Unknown
	}
	if now := s.spanOf(end); now > s.span.Load() && s.mu.TryLock() { // else another call does it
		s.advance(now)
		s.mu.Unlock()
	}
	shard := &s.live[at.Of(len(s.live))]
	if !shard.mu.TryLock() {
		at.leave()
		shard.mu.Lock()
	}
	shard.flows.add(&f, 1, took)
	shard.mu.Unlock()
}

func (s *Sketch) spanOf(t time.Time) uint32 { return uint32(max(t.Sub(s.begin), 0) / sketchSpan) }

// advance keeps the flows of the span that has ended. The caller holds s.mu.
func (s *Sketch) advance(now uint32) {
	ended := s.span.Load()
	if now <= ended {
		return
	}
	kept := &s.spans[ended%uint32(sketchSpans)]
	kept.number, kept.flows = ended+1, s.merge(true)
	s.span.Store(now)
}

// merge returns the flows of all shards, and empties them if ended is set. The caller holds s.mu.
func (s *Sketch) merge(ended bool) []Row {
	var all []Row
	for i := range s.live {
		shard := &s.live[i]
		shard.mu.Lock()
		all = append(all, shard.flows.list...)
		if ended {
			shard.flows.reset()
		}
		shard.mu.Unlock()
	}
	slices.SortFunc(all, func(a, b Row) int { return cmp.Compare(b.Calls, a.Calls) }) // there is room for those with most calls
	s.merged.reset()
	for i := range all {
		s.merged.add(&all[i].Flow, all[i].Calls, all[i].Took)
	}
	return slices.Clone(s.merged.list)
}

// Counted is a Flow with its calls in the last five minutes.
type Counted struct {
	Flow
	Calls  uint64
	Recent uint64        // of these, calls within the last seconds
	Took   time.Duration // of all of them together
}

// Flows returns the flows of the last five minutes before now, and the length of the time to which Recent refers.
func (s *Sketch) Flows(now time.Time) (list []Counted, recent time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(s.spanOf(now))
	current := s.span.Load()
	at := make(map[Flow]int)
	add := func(some []Row, isRecent bool) {
		for i := range some {
			f := &some[i]
			n, ok := at[f.Flow]
			if !ok {
				n = len(list)
				at[f.Flow] = n
				list = append(list, Counted{Flow: f.Flow})
			}
			list[n].Calls += f.Calls
			list[n].Took += f.Took
			if isRecent {
				list[n].Recent += f.Calls
			}
		}
	}
	add(s.merge(false), true)
	for i := range s.spans {
		if kept := &s.spans[i]; kept.number > 0 && kept.number+uint32(sketchSpans) > current {
			add(kept.flows, kept.number == current)
		}
	}
	since := s.begin.Add(time.Duration(max(current, 1)-1) * sketchSpan)
	return list, max(now.Sub(since), time.Second)
}

// Span is the calls of some seconds.
type Span struct {
	Length time.Duration
	Rows   []Row // shared: they must not be changed
}

// Record returns the calls of the last five minutes before now, the oldest first, from the first span that has any.
func (s *Sketch) Record(now time.Time) []Span {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.advance(s.spanOf(now))
	current := s.span.Load()
	var list []Span
	for n := max(current, uint32(sketchSpans)-1) - (uint32(sketchSpans) - 1); n < current; n++ {
		span := Span{Length: sketchSpan}
		if kept := &s.spans[n%uint32(sketchSpans)]; kept.number == n+1 {
			span.Rows = kept.flows
		}
		if len(list)+len(span.Rows) > 0 {
			list = append(list, span)
		}
	}
	last := Span{now.Sub(s.begin.Add(time.Duration(current) * sketchSpan)), s.merge(false)}
	if len(list)+len(last.Rows) > 0 {
		list = append(list, last)
	}
	return list
}
