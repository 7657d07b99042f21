package traffic

import (
	"math/bits"
	"time"
)

// buckets of durations: one for each of the first four microseconds, then four for each power of two, up to two minutes.
const buckets = 104

// bucketOf returns the bucket of a duration; the last one has all longer ones too.
func bucketOf(d time.Duration) int {
	us := uint64(max(d, 0) / time.Microsecond)
	if us < 4 {
		return int(us)
	}
	e := bits.Len64(us) - 3
	return min(4*e+int(us>>e), buckets-1)
}

// lowest returns the shortest duration of a bucket.
func lowest(bucket int) time.Duration {
	if bucket < 4 {
		return time.Duration(bucket) * time.Microsecond
	}
	return time.Duration(4+bucket%4) << (bucket/4 - 1) * time.Microsecond
}

// Latency is a distribution of durations. Calls that a rule refused are not in it.
type Latency struct{ n [buckets]uint64 }

// Quantile returns the duration that a share q of the calls does not exceed, within 25 %; 0 without calls.
func (l *Latency) Quantile(q float64) time.Duration {
	var all uint64
	for _, n := range &l.n {
		all += n
	}
	rank := q * float64(all)
	for i, n := range &l.n {
		if n > 0 && rank <= float64(n) {
			low, high := lowest(i), lowest(i+1)
			return low + time.Duration(rank/float64(n)*float64(high-low))
		}
		rank -= float64(n)
	}
	return 0
}

// Above returns the share of the calls that took longer than d, within the share of one bucket; 0 without calls.
func (l *Latency) Above(d time.Duration) float64 {
	at := bucketOf(d)
	var all, above float64
	for i, n := range &l.n {
		all += float64(n)
		switch {
		case i > at:
			above += float64(n)
		case i == at:
			low, high := lowest(i), lowest(i+1)
			above += float64(n) * float64(max(high-d, 0)) / float64(high-low)
		}
	}
	if all == 0 {
		return 0
	}
	return above / all
}

// IsEmpty reports whether there are no calls.
func (l *Latency) IsEmpty() bool { return *l == Latency{} }
