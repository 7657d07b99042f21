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

const maxShards = 16

func newShards() shards {
	n := 1
	for n < runtime.GOMAXPROCS(0) && n < maxShards {
		n *= 2
	}
	return make(shards, n)
}

// observe counts a call.
func (s shards) observe(processor int, took time.Duration, c code.Code, refused bool) {
	if int(c) >= codes {
		c = code.Unknown
	}
	n := &s[processor&(len(s)-1)].n
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

// processors numbers the processors: a pool keeps its values by processor.
var processors = newProcessors()

func newProcessors() *sync.Pool {
	var last atomic.Int64
	return &sync.Pool{New: func() any {
		n := int(last.Add(1))
		return &n
	}}
}

// processor returns a number that differs among the processors, most of the time.
func processor() int {
	n := processors.Get().(*int)
	defer processors.Put(n)
	return *n
}
