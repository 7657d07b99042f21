package limit

import (
	"math"
	"time"

	"github.com/juju/ratelimit"
)

// Rate describes how a bucket fills: by quantum tokens each interval, up to Burst.
type Rate struct {
	Burst    int64
	quantum  int64
	interval time.Duration
}

// maxRefillInterval bounds the time for which several tokens come at once, for rates with fractions of a nanosecond a token.
const maxRefillInterval = 10 * time.Microsecond

// NewRate returns a rate of tokens per a duration. ratelimit.NewBucketWithRate accepts 1 % too much, and panics where
// nothing fits; the interval here is rounded up, so that a bucket never grants more than its rate.
func NewRate(rate float64, per time.Duration, burst int64) Rate {
	each := float64(per) / rate // nanoseconds for a token
	quantum := int64(1)
	if each < float64(maxRefillInterval) {
		quantum = min(int64(float64(maxRefillInterval)/each), burst)
	}
	interval := math.Ceil(each*float64(quantum) - 1e-6)
	return Rate{
		Burst:    max(burst, 1),
		quantum:  max(quantum, 1),
		interval: time.Duration(min(max(interval, 1), math.MaxInt64/4)),
	}
}

// bucket is a token bucket of ratelimit, and its clock: all decisions on one call are for the same moment, and ticks can be
// shifted. The lock of its limiter guards it.
//
// The library is called once a tick: within a tick its tokens only decrease, and it cannot take tokens back.
type bucket struct {
	tokens    *ratelimit.Bucket
	rate      Rate
	began     time.Time     // when tick 0 began
	idle      time.Duration // not counted by ticks: a full bucket does not tick
	elapsed   time.Duration // since began, without idle, at the latest call
	tick      int64         // of elapsed
	available int64         // in the library's bucket at that tick
	taken     int64         // since then; below zero when more were given back
}

// newBucket makes a full bucket.
func newBucket(rate Rate, now time.Time) *bucket {
	b := new(bucket)
	b.fill(rate, now)
	return b
}

// fill makes b a full bucket with a rate, whose tick 0 is at began.
func (b *bucket) fill(rate Rate, began time.Time) {
	*b = bucket{rate: rate, began: began, available: rate.Burst}
	b.tokens = ratelimit.NewBucketWithQuantumAndClock(rate.interval, rate.Burst, rate.quantum, b)
}

// Now is part of ratelimit.Clock.
func (b *bucket) Now() time.Time { return b.began.Add(b.elapsed) }

// Sleep is part of ratelimit.Clock; only calls of the library that are not used here would sleep.
func (b *bucket) Sleep(d time.Duration) { time.Sleep(d) }

// now returns the time of the latest call.
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
	b.taken = max(b.taken, b.available-b.rate.Burst)
	return b.available - b.taken
}

// until returns how long it takes until there are n tokens, if none is taken.
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

// Take takes a token, into debt when there is none. A full bucket starts to fill only now: a tick that began while it was
// full would bring its next token too early.
func (b *bucket) Take() {
	if b.level() == b.rate.Burst {
		started := b.elapsed % b.rate.interval
		b.idle += started
		b.elapsed -= started
	}
	b.taken++
}

// giveBack undoes a take.
func (b *bucket) giveBack() {
	if b.level() < b.rate.Burst {
		b.taken--
	}
}

// setLevel sets the number of tokens, at least none, at the time of the latest call.
func (b *bucket) setLevel(level int64) { b.taken = b.available - max(level, 0) }

// setRate changes the rate and keeps the level, debt included, up to the new burst. The started tick counts too: a slow
// limit that is edited often would never get a token otherwise.
func (b *bucket) setRate(rate Rate) {
	level, started := b.level(), 0.0
	if level < b.rate.Burst {
		started = float64(b.elapsed%b.rate.interval) / float64(b.rate.interval)
	}
	now, elapsed := b.now(), time.Duration(started*float64(rate.interval))
	b.fill(rate, now.Add(-elapsed))
	b.elapsed = elapsed
	b.taken = max(rate.Burst-level, 0)
}
