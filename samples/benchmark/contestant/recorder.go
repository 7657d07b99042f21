package contestant

import (
	"sync"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"github.com/easymicro/easymicro/samples/benchmark/contract"
)

const (
	unit       = 100 * time.Nanosecond // of the histograms
	longest    = int64(time.Minute / unit)
	digits     = 3
	recordings = 16 // more than processors that would meet at one
)

// recorder collects latencies. Its memory does not grow with the number of calls, which would change how often the client
// collects garbage.
type recorder struct {
	shards [recordings]shard
	failed struct {
		mu    sync.Mutex
		count int64
		first error
	}
}

type shard struct {
	mu sync.Mutex
	h  *hdrhistogram.Histogram
	_  [64]byte // so that no two shards share a cache line
}

func newRecorder() *recorder {
	r := new(recorder)
	for i := range r.shards {
		r.shards[i].h = hdrhistogram.New(1, longest, digits)
	}
	return r
}

// record adds the outcome of a call of a caller.
func (r *recorder) record(caller int, latency time.Duration, err error) {
	if err != nil {
		r.fail(err)
		return
	}
	s := &r.shards[caller%recordings]
	s.mu.Lock()
	_ = s.h.RecordValue(min(max(int64(latency/unit), 1), longest))
	s.mu.Unlock()
}

func (r *recorder) fail(err error) {
	r.failed.mu.Lock()
	defer r.failed.mu.Unlock()
	r.failed.count++
	if r.failed.first == nil {
		r.failed.first = err
	}
}

// empty reports whether no outcome was recorded.
func (r *recorder) empty() bool {
	res := r.result()
	return res.Calls == 0 && res.Errors == 0
}

// result returns what was recorded. Calls may still be recorded meanwhile.
func (r *recorder) result() contract.Result {
	sum := hdrhistogram.New(1, longest, digits)
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		sum.Merge(s.h)
		s.mu.Unlock()
	}
	r.failed.mu.Lock()
	defer r.failed.mu.Unlock()
	res := contract.Result{Calls: sum.TotalCount(), Errors: r.failed.count, LatencyUs: latency(sum)}
	if r.failed.first != nil {
		res.FirstErr = r.failed.first.Error()
	}
	return res
}

func latency(h *hdrhistogram.Histogram) contract.Latency {
	us := func(value int64) float64 { return float64(value) * float64(unit) / float64(time.Microsecond) }
	at := func(percent float64) float64 { return us(h.ValueAtPercentile(percent)) }
	return contract.Latency{P50: at(50), P99: at(99), P999: at(99.9), P9999: at(99.99), Max: us(h.Max())}
}
