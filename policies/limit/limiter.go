package limit

import (
	"container/heap"
	"fmt"
	"math"
	"runtime"
	"time"
)

// RateLimits are the bounds of a limiter.
type RateLimits struct {
	Rate    Rate
	MaxKeys int
}

// Limiter is a rate limiter with one bucket, or one for each key. A bucket is forgotten only when it is full again and no
// different from a new one: otherwise callers could refill their buckets by inventing keys. Keys beyond MaxKeys share a
// bucket.
//
// A call that needs several limiters locks all of them, in one order, before it decides.
type Limiter struct {
	notifier

	mutex
	limits RateLimits
	buckets
	reported time.Time // when an Event last reported that keys share a bucket

	overflow uint64 // calls whose key had no bucket of its own
	missing  uint64 // calls without the key
}

// Bucket is the bucket of a key. The lock of its limiter guards it.
type Bucket struct {
	*bucket
	key   string
	full  time.Time // when it will be full, or earlier: calls since then delay it
	index int       // in the heap; -1: not in it
	epoch int       // how many changes of the rate it has followed
}

// The states of a limiter that events report.
const (
	StateKeyed    = "keyed"    // each key has a bucket of its own
	StateOverflow = "overflow" // new keys share one
)

// NewLimiter returns a limiter with full buckets.
func NewLimiter(limits RateLimits, keyed bool, notify func(Event)) *Limiter {
	l := &Limiter{notifier: notifier{notify: notify}, limits: limits, buckets: newBuckets(limits.Rate)}
	if keyed {
		l.byKey = make(map[string]*Bucket)
	}
	return l
}

// Wait returns how long after now the bucket has a token. The caller holds the lock of the limiter.
func (b *Bucket) Wait(now time.Time) time.Duration { return b.at(now).until(1) }

// Miss counts a call that was refused for lack of the key. The caller holds the lock.
func (l *Limiter) Miss() { l.missing++ }

// Bucket returns the bucket of a key; calls without it share the bucket of the empty key. The caller holds the lock.
func (l *Limiter) Bucket(key []byte, now time.Time) *Bucket {
	if l.byKey == nil {
		return l.shared
	}
	if l.stale > 0 {
		l.followSome(followAtOnce)
	}
	if len(key) == 0 {
		l.missing++
	}
	if b, ok := l.byKey[string(key)]; ok {
		return l.follow(b)
	}
	if len(l.byKey) >= l.limits.MaxKeys && !l.forget(now) {
		l.overflowed(now)
		return l.shared
	}
	b := &Bucket{bucket: newBucket(l.limits.Rate, now), key: string(key), full: now, epoch: l.epoch}
	l.byKey[b.key] = b
	heap.Push(&l.buckets, b)
	return b
}

// forgetAtOnce bounds the buckets that a call looks at to find a full one: after a change of the rate it is not known when they are.
const forgetAtOnce = 256

// forget drops a full bucket, and reports whether it has found one. While there are too many, after SetLimits, it drops more.
func (l *Limiter) forget(now time.Time) bool {
	for range forgetAtOnce {
		if len(l.byKey) < l.limits.MaxKeys {
			break
		}
		first := l.follow(l.heap[0])
		if first.full.After(now) {
			return false // none is full: all others will be later, or at the same time
		}
		if wait := first.at(now).until(l.limits.Rate.Burst); wait > 0 {
			first.full = first.now().Add(wait)
			heap.Fix(&l.buckets, 0)
			continue
		}
		heap.Pop(&l.buckets)
		delete(l.byKey, first.key)
	}
	return len(l.byKey) < l.limits.MaxKeys
}

// overflowInterval is the minimum time between two reports that keys share a bucket.
const overflowInterval = time.Minute

func (l *Limiter) overflowed(now time.Time) {
	l.overflow++
	if !l.reported.IsZero() && now.Sub(l.reported) < overflowInterval {
		return
	}
	l.reported = now
	l.add(Event{
		From: StateKeyed, To: StateOverflow, At: now,
		Cause: fmt.Sprintf("all %d keys (maxKeys) are in use: new keys share one bucket", l.limits.MaxKeys),
	})
}

// GiveBack undoes a Take from a bucket of the limiter, unless it was moved to another or replaced meanwhile.
func (l *Limiter) GiveBack(b *Bucket) {
	l.Lock()
	defer l.Unlock()
	if b != l.shared && b != l.byKey[b.key] {
		return
	}
	now := time.Now()
	l.follow(b).at(now).giveBack()
	if b.index >= 0 {
		b.full = now // or later, but sooner than it was
		heap.Fix(&l.buckets, b.index)
	}
}

// SetLimits changes the limits; what was taken stays taken.
func (l *Limiter) SetLimits(limits RateLimits) {
	for l.catchUp() {
		runtime.Gosched()
	}
	l.Lock()
	defer l.Unlock()
	changed := l.limits.Rate != limits.Rate
	l.limits = limits
	if changed {
		l.setRate(limits.Rate, time.Now())
	}
}

// catchUpAtOnce bounds the buckets that follow while calls wait for the lock.
const catchUpAtOnce = 16

// catchUp has a few buckets follow if there are too many changes of the rate, and reports whether more have to.
func (l *Limiter) catchUp() bool {
	l.Lock()
	defer l.Unlock()
	if len(l.changes) < maxChanges {
		return false
	}
	l.followSome(catchUpAtOnce)
	return true
}

// copyAtOnce bounds the buckets that are copied while calls wait for the lock.
const copyAtOnce = 64

// Copy returns a limiter with copies of the buckets, without their debts. It reports no events. Calls go on meanwhile: a few that are
// made while it ends may be missing.
func (l *Limiter) Copy() *Limiter {
	l.Lock()
	c := &Limiter{notifier: notifier{notify: func(Event) {}}, limits: l.limits, buckets: newBuckets(l.limits.Rate)}
	keyed, keys := l.byKey != nil, len(l.heap)
	l.Unlock()
	if keyed {
		c.byKey, c.heap = make(map[string]*Bucket, keys), make([]*Bucket, 0, keys)
	}
	for range 2 { // the first round allocates, the second takes over what calls have changed meanwhile
		l.copyBuckets(c)
	}
	heap.Init(&c.buckets)
	l.Lock()
	defer l.Unlock()
	now := time.Now()
	c.shared.at(now).setLevel(l.shared.at(now).level())
	return c
}

// copyBuckets gives c the tokens of each key. It begins with the last buckets of the heap, since those that calls change move to the
// front.
func (l *Limiter) copyBuckets(c *Limiter) {
	type state struct {
		key   string
		level int64
		full  time.Time
	}
	var part [copyAtOnce]state
	for end := math.MaxInt; end > 0; {
		l.Lock()
		now := time.Now()
		end = min(end, len(l.heap))
		begin := max(end-copyAtOnce, 0)
		some := part[:end-begin]
		for i, b := range l.heap[begin:end] {
			some[i] = state{b.key, l.follow(b).at(now).level(), b.full}
		}
		l.Unlock()
		for i := range some {
			b := c.byKey[some[i].key]
			if b == nil {
				b = &Bucket{bucket: newBucket(c.limits.Rate, now), key: some[i].key, index: len(c.heap)}
				c.byKey[b.key] = b
				c.heap = append(c.heap, b)
			}
			b.full = some[i].full
			b.at(now).setLevel(some[i].level)
		}
		end = begin
		runtime.Gosched() // or the scheduler would interrupt it after a while, maybe with the lock
	}
}

// Restore moves the buckets of another limiter with the same limits, which is no longer asked and gets full ones, to l.
func (l *Limiter) Restore(from *Limiter) {
	fresh := NewLimiter(from.limits, from.byKey != nil, func(Event) {})
	from.Lock()
	restored := from.buckets
	from.buckets = fresh.buckets
	from.Unlock()
	l.Lock()
	defer l.Unlock()
	l.buckets = restored
}

// LimiterStats is the state of a limiter.
type LimiterStats struct {
	Keyed      bool
	Tokens     float64 // not keyed: left in the bucket; negative while calls wait
	Burst      int64
	Keys       int    // keyed: buckets kept
	Overflow   uint64 // keyed: calls that shared a bucket because all keys were in use
	MissingKey uint64 // keyed: calls without the key
}

// Stats returns the state of the limiter.
func (l *Limiter) Stats() LimiterStats {
	l.Lock()
	defer l.Unlock()
	if l.byKey == nil {
		return LimiterStats{Tokens: float64(l.shared.at(time.Now()).level()), Burst: l.limits.Rate.Burst}
	}
	return LimiterStats{
		Keyed: true, Keys: len(l.byKey), Overflow: l.overflow, MissingKey: l.missing, Burst: l.limits.Rate.Burst,
	}
}

// Level returns the number of tokens for a key.
func (l *Limiter) Level(key []byte) int64 {
	l.Lock()
	defer l.Unlock()
	now := time.Now()
	switch b, ok := l.byKey[string(key)]; {
	case ok:
		return l.follow(b).at(now).level()
	case l.byKey == nil || len(l.byKey) >= l.limits.MaxKeys && !l.forget(now):
		return l.shared.at(now).level()
	}
	return l.limits.Rate.Burst
}
