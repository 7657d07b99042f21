package policies

import (
	"math"
	"time"

	"github.com/juju/ratelimit"
)

// tokens is what a limiter needs of a token bucket.
type tokens interface {
	TakeMaxDuration(count int64, maxWait time.Duration) (time.Duration, bool)
	Available() int64
	Take(count int64) time.Duration
}

// bucketRate is how a bucket fills: quantum tokens each interval, at most burst of them.
type bucketRate struct {
	burst    int64
	quantum  int64
	interval time.Duration
}

// lump is the longest time that a bucket saves up several tokens for, to hit rates that are no whole nanoseconds a token.
const lump = 10 * time.Microsecond

// newBucketRate finds the quantum and the interval by itself: ratelimit.NewBucketWithRate is content with 1 % too much,
// and panics where nothing fits. The interval is rounded up, so that a bucket never grants more than its rate.
func newBucketRate(rate float64, per time.Duration, burst int64) bucketRate {
	each := float64(per) / rate // nanoseconds for a token
	quantum := int64(1)
	if each < float64(lump) {
		quantum = min(int64(float64(lump)/each), burst)
	}
	interval := math.Ceil(each*float64(quantum) - 1e-6)
	return bucketRate{
		burst:    burst,
		quantum:  max(quantum, 1),
		interval: time.Duration(min(max(interval, 1), math.MaxInt64/4)),
	}
}

// bucket is one token bucket of ratelimit, with what the library does not tell: when its ticks began. It is the clock
// of its library bucket, so that a bucket that takes over from another can go on in the middle of a tick.
type bucket struct {
	tokens tokens
	rate   bucketRate
	began  time.Time // when tick 0 began
	built  bool
}

// newBucket makes a full bucket.
func newBucket(rate bucketRate) *bucket { return newBucketSince(rate, time.Now()) }

func newBucketSince(rate bucketRate, began time.Time) *bucket {
	b := &bucket{rate: rate, began: began}
	b.tokens = ratelimit.NewBucketWithQuantumAndClock(rate.interval, rate.burst, rate.quantum, b)
	b.built = true
	return b
}

// Now is the time of ratelimit.Clock. The library asks once while it builds a bucket, for the beginning of its ticks.
func (b *bucket) Now() time.Time {
	if !b.built {
		return b.began
	}
	return time.Now()
}

// Sleep is part of ratelimit.Clock; only calls of the library that are not used here would sleep.
func (b *bucket) Sleep(d time.Duration) { time.Sleep(d) }

// follow makes a bucket with another rate that goes on from the level of b, debt included and never above its own
// burst. The started tick counts too: else a slow limit that is edited often would never get a token.
func (b *bucket) follow(rate bucketRate) *bucket {
	now := time.Now()
	level := b.tokens.Available()
	started := float64(now.Sub(b.began)%b.rate.interval) / float64(b.rate.interval)
	next := newBucketSince(rate, now.Add(-time.Duration(started*float64(rate.interval))))
	if level < rate.burst {
		next.tokens.Take(rate.burst - level)
	}
	return next
}

// untilNext is how long it takes until a call gets a token without a wait, if no other takes it first.
func (b *bucket) untilNext() time.Duration {
	now := time.Now()
	missing := 1 - b.tokens.Available()
	if missing <= 0 {
		return 0
	}
	elapsed := now.Sub(b.began)
	ticks := int64(elapsed/b.rate.interval) + (missing+b.rate.quantum-1)/b.rate.quantum
	return max(time.Duration(ticks)*b.rate.interval-elapsed, 0)
}
