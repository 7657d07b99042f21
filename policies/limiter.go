package policies

import (
	"container/heap"
	"fmt"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
)

// limits are those of a limiter.
type limits struct {
	rate    bucketRate
	maxKeys int
}

// limiter is the state of a rate limit: one bucket, or one for each key. A bucket is forgotten only when it is full
// again, and a new one would be no different: else a caller could have his bucket filled by making up keys. Keys beyond
// maxKeys share a bucket.
type limiter struct {
	order  uint64 // in which a call locks the limiters and semaphores that it needs
	herald herald

	mu      sync.Mutex
	rule    *rule // that it is of now
	limits  limits
	shared  *keyBucket
	buckets map[string]*keyBucket // by key; nil: the limit has no key
	full    byFull
	told    time.Time // when it was told last that keys share a bucket

	overflow uint64 // calls whose key had no bucket of its own
	missing  uint64 // calls that had not the metadata of the key
}

// keyBucket is the bucket of a key.
type keyBucket struct {
	*bucket
	key   string
	full  time.Time // when it will be full, or earlier: calls since then put it off
	index int       // in the heap; -1: it is in none
}

func newLimiter(r *rule, order uint64, h *hub) *limiter {
	l := &limiter{order: order, rule: r, herald: herald{hub: h}, limits: r.limits, shared: &keyBucket{bucket: newBucket(r.limits.rate, time.Now()), index: -1}}
	if len(r.key) > 0 {
		l.buckets = make(map[string]*keyBucket)
	}
	return l
}

// bucket returns the bucket of a key; no key is that of calls without the metadata. The limiter is locked.
func (l *limiter) bucket(key []byte, now time.Time) *keyBucket {
	if l.buckets == nil {
		return l.shared
	}
	if len(key) == 0 {
		l.missing++
	}
	if b, ok := l.buckets[string(key)]; ok {
		return b
	}
	if len(l.buckets) >= l.limits.maxKeys && !l.forget(now) {
		l.overflowed(now)
		return l.shared
	}
	b := &keyBucket{bucket: newBucket(l.limits.rate, now), key: string(key), full: now}
	l.buckets[b.key] = b
	heap.Push(&l.full, b)
	return b
}

// forget forgets a bucket that is full, and reports whether there was one. While there are too many, after an edit, it
// forgets all that are.
func (l *limiter) forget(now time.Time) bool {
	for len(l.buckets) >= l.limits.maxKeys {
		first := l.full[0]
		if first.full.After(now) {
			return false // none is full: all others will be later, or at the same time
		}
		if wait := first.at(now).until(l.limits.rate.burst); wait > 0 {
			first.full = first.now().Add(wait)
			heap.Fix(&l.full, 0)
			continue
		}
		heap.Pop(&l.full)
		delete(l.buckets, first.key)
	}
	return true
}

// retell is how long nothing is said about keys that share a bucket after it was said.
const retell = time.Minute

func (l *limiter) overflowed(now time.Time) {
	l.overflow++
	if !l.told.IsZero() && now.Sub(l.told) < retell {
		return
	}
	l.told = now
	l.herald.add(Transition{
		Rule: l.rule.name, Mode: l.rule.mode(), Kind: config.KindRateLimit, From: LimiterKeyed, To: LimiterOverflow, At: now,
		Cause: fmt.Sprintf("all %d keys (maxKeys) have calls to make up for: new keys share one bucket", l.limits.maxKeys),
	})
}

// giveBack undoes the take of a call out of a bucket of the limiter.
func (l *limiter) giveBack(b *keyBucket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	b.at(now).giveBack()
	if b.index >= 0 {
		b.full = now // or later, but sooner than it was
		heap.Fix(&l.full, b.index)
	}
}

// adopt changes to other limits, which keep what was taken.
func (l *limiter) adopt(r *rule) {
	l.mu.Lock()
	defer l.mu.Unlock()
	changed := l.limits.rate != r.limits.rate
	l.rule, l.limits = r, r.limits
	if !changed {
		return
	}
	// All at once: a bucket left for later would go on filling at the old rate.
	now := time.Now()
	l.shared.at(now).follow(r.limits.rate)
	for _, b := range l.full {
		b.at(now).follow(r.limits.rate)
		b.full = now
	}
}

func (l *limiter) stats() LimiterStats {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.buckets == nil {
		return LimiterStats{Tokens: float64(l.shared.at(time.Now()).level()), Burst: l.limits.rate.burst}
	}
	return LimiterStats{
		Keyed: true, Keys: len(l.buckets), Overflow: l.overflow, MissingKey: l.missing, Burst: l.limits.rate.burst,
	}
}

// level returns the number of tokens for a key.
func (l *limiter) level(key []byte) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	switch b, ok := l.buckets[string(key)]; {
	case ok:
		return b.at(now).level()
	case l.buckets == nil || len(l.buckets) >= l.limits.maxKeys && !l.forget(now):
		return l.shared.at(now).level()
	}
	return l.limits.rate.burst
}

// byFull is a heap of the buckets, that which will be full first on top.
type byFull []*keyBucket

func (h byFull) Len() int           { return len(h) }
func (h byFull) Less(i, j int) bool { return h[i].full.Before(h[j].full) }

func (h byFull) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

func (h *byFull) Push(x any) {
	b := x.(*keyBucket) //nolint:forcetypeassert // container/heap gives back what it was given
	b.index = len(*h)
	*h = append(*h, b)
}

func (h *byFull) Pop() any {
	last := len(*h) - 1
	b := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	b.index = -1
	return b
}

// burst is never 0 for a rule with a rate limit.
func (l limits) isZero() bool { return l.rate.burst == 0 }
