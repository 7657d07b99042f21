package traffic

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// Counters of a shard: calls by status code, refused calls by status code, then calls by duration.
const (
	codes    = int(code.Unauthenticated) + 1
	series   = 2 * codes
	counters = series + buckets
)

// counts are the values of all counters. They are cumulative and may wrap: only differences matter.
type counts [counters]uint32

// shard holds the counts of the calls that end on some of the processors.
type shard struct {
	n [counters]atomic.Uint32
	_ [-4 * counters & 63]byte // no cache line has counters of two shards
}

// shards count calls without contention among processors.
type shards []shard

// observe counts a call.
func (s shards) observe(at Shard, took time.Duration, c code.Code, refused bool) {
	if int(c) >= codes {
		c = code.Unknown
	}
	n := &s[at.Of(len(s))].n
	if !refused || c == code.DeadlineExceeded { // other refusals take no time, and would distort the distribution
		n[series+bucketOf(took)].Add(1)
	}
	which := int(c)
	if refused {
		which += codes
	}
	n[which].Add(1)
}

// sum returns the counts of all shards.
func (s shards) sum() *counts {
	var all counts
	for i := range s {
		for j := range all {
			all[j] += s[i].n[j].Load()
		}
	}
	return &all
}

// Shard chooses among counters that are kept apart for the processors. A call may use one Shard from its begin to its end,
// on whichever processors it runs.
type Shard uint32

const maxShards = 16

// Shards returns how many counters the processors need, which is a power of two.
func Shards() int {
	n := 1
	for n < runtime.GOMAXPROCS(0) && n < maxShards {
		n *= 2
	}
	return n
}

// Of returns the index of the Shard's counter among n, a power of two.
func (s Shard) Of(n int) int { return int(s) & (n - 1) }

// processors numbers the processors: a pool keeps its values by processor.
var processors = newProcessors()

func newProcessors() *sync.Pool {
	var last atomic.Uint32
	return &sync.Pool{New: func() any {
		s := Shard(last.Add(1))
		return &s
	}}
}

// Here returns the Shard of the processor that runs the caller. It differs among the processors, most of the time.
func Here() Shard {
	s := processors.Get().(*Shard)
	defer processors.Put(s)
	return *s
}

// leave gives the processor that runs the caller another Shard, if it still has s. Processors may have the same one: the pool
// drops the values of those that were idle, and numbers them anew.
func (s Shard) leave() {
	here := processors.Get().(*Shard)
	defer processors.Put(here)
	if *here == s {
		*here++
	}
}
