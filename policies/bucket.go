package policies

import (
	"math"
	"time"

	"github.com/juju/ratelimit"
)

// tokens is what a bucket needs of the library.
type tokens interface {
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

// bucket is one token bucket of ratelimit. It is the clock of its library bucket: all that is asked on behalf of one call
// is answered for the same moment, and the ticks can be moved. Its limiter guards it.
//
// The library is asked once a tick: within a tick its tokens only go down, and it cannot take tokens back.
type bucket struct {
	tokens    tokens
	rate      bucketRate
	began     time.Time     // when tick 0 began
	idle      time.Duration // that its ticks do not count: a full bucket does not tick
	elapsed   time.Duration // since began, without idle, at the latest call
	tick      int64         // of elapsed
	available int64         // in the library's bucket at that tick
	taken     int64         // since then; below zero when more were given back
}

// newBucket makes a full bucket.
func newBucket(rate bucketRate, now time.Time) *bucket {
	b := new(bucket)
	b.fill(rate, now)
	return b
}

// fill makes it a full one with a rate, whose tick 0 began at began.
func (b *bucket) fill(rate bucketRate, began time.Time) {
	*b = bucket{rate: rate, began: began, available: rate.burst}
	b.tokens = ratelimit.NewBucketWithQuantumAndClock(rate.interval, rate.burst, rate.quantum, b)
}

// Now is the time of ratelimit.Clock.
func (b *bucket) Now() time.Time { return b.began.Add(b.elapsed) }

// Sleep is part of ratelimit.Clock; only calls of the library that are not used here would sleep.
func (b *bucket) Sleep(d time.Duration) { time.Sleep(d) }

// now is the time of the latest call.
func (b *bucket) now() time.Time { return b.began.Add(b.idle + b.elapsed) }

// at moves the clock to the time of a call, but never back.
func (b *bucket) at(now time.Time) *bucket {
	elapsed := now.Sub(b.began) - b.idle
	if elapsed <= b.elapsed {
		return b
	}
	if tick := int64(elapsed / b.rate.interval); tick > b.tick {
		if b.taken > 0 {
			b.tokens.Take(b.taken)
			b.taken = 0
		}
		b.elapsed, b.tick = elapsed, tick
		b.available = b.tokens.Available()
	}
	b.elapsed = elapsed
	return b
}

// level returns the number of tokens, negative while calls wait for them.
func (b *bucket) level() int64 {
	b.taken = max(b.taken, b.available-b.rate.burst)
	return b.available - b.taken
}

// until returns how long it takes until there are n tokens if none is taken: zero when they are there.
func (b *bucket) until(n int64) time.Duration {
	missing := n - b.level()
	if missing <= 0 {
		return 0
	}
	ticks := b.tick + (missing+b.rate.quantum-1)/b.rate.quantum
	if ticks > math.MaxInt64/int64(b.rate.interval) {
		return math.MaxInt64
	}
	return time.Duration(ticks)*b.rate.interval - b.elapsed
}

// take takes a token, and goes into debt when there is none. A full bucket begins to fill only now: a tick that began
// while it was full would bring its next token too early.
func (b *bucket) take() {
	if b.level() == b.rate.burst {
		started := b.elapsed % b.rate.interval
		b.idle += started
		b.elapsed -= started
	}
	b.taken++
}

// giveBack undoes a take.
func (b *bucket) giveBack() {
	if b.level() < b.rate.burst {
		b.taken--
	}
}

// follow changes to another rate and goes on from the level, debt included and never above the new burst. The started
// tick counts too: else a slow limit that is edited often would never get a token.
func (b *bucket) follow(rate bucketRate) {
	level, started := b.level(), 0.0
	if level < b.rate.burst {
		started = float64(b.elapsed%b.rate.interval) / float64(b.rate.interval)
	}
	now, elapsed := b.now(), time.Duration(started*float64(rate.interval))
	b.fill(rate, now.Add(-elapsed))
	b.elapsed = elapsed
	b.taken = max(rate.burst-level, 0)
}
