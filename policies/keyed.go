package policies

import (
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/cespare/xxhash/v2"
)

// keyed is a limiter with a bucket for each key, of which it forgets the one not used for longest when there are too
// many: buckets start full, so an unbounded number of them would be a way around the limit and into the memory.
type keyed struct {
	mu        sync.Mutex
	limits    limits
	buckets   map[bucketKey]*keyBucket
	used      keyBucket // the ring's anchor: next is the one used last, previous the one not used for longest
	evictions uint64
}

type keyBucket struct {
	key            bucketKey
	bucket         *bucket
	next, previous *keyBucket
}

// bucketKey is a text or an address, so that keys of peers cost no text.
type bucketKey struct {
	text string
	addr netip.Addr
}

// keySource is where a key comes from: nowhere (there is one bucket), caller, peer or metadata.NAME.
type keySource string

const (
	keyNone     keySource = ""
	keyCaller   keySource = "caller"
	keyPeer     keySource = "peer"
	keyMetadata           = "metadata."
)

// longKey is the length from which on a key that a peer chose is kept as its hash.
const longKey = 128

func (by keySource) key(c *Call) bucketKey {
	switch by {
	case keyNone:
		return bucketKey{}
	case keyCaller:
		return bucketKey{text: c.Caller}
	case keyPeer:
		return bucketKey{addr: c.Peer}
	}
	if c.Metadata == nil {
		return bucketKey{}
	}
	text := c.Metadata.Get(strings.TrimPrefix(string(by), keyMetadata))
	if len(text) > longKey {
		text = "hash:" + strconv.FormatUint(xxhash.Sum64String(text), 16)
	}
	return bucketKey{text: text}
}

func newKeyed(l limits) *keyed {
	k := &keyed{limits: l, buckets: make(map[bucketKey]*keyBucket)}
	k.used.next, k.used.previous = &k.used, &k.used
	return k
}

func (k *keyed) take(key bucketKey, maxWait time.Duration) (time.Duration, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	b := k.bucket(key)
	wait, ok := b.tokens.TakeMaxDuration(1, maxWait)
	if !ok {
		return b.untilNext(), false
	}
	return wait, true
}

// bucket is that of a key, which is now the one used last.
func (k *keyed) bucket(key bucketKey) *bucket {
	e, ok := k.buckets[key]
	if ok {
		e.unlink()
	} else {
		k.shrink(k.limits.maxKeys - 1)
		// The text may be part of a request's memory, and would keep it alive.
		key.text = strings.Clone(key.text)
		e = &keyBucket{key: key, bucket: newBucket(k.limits.rate)}
		k.buckets[key] = e
	}
	e.linkBehind(&k.used)
	return e.bucket
}

// shrink forgets buckets until there are at most n.
func (k *keyed) shrink(n int) {
	for len(k.buckets) > n {
		oldest := k.used.previous
		oldest.unlink()
		delete(k.buckets, oldest.key)
		k.evictions++
	}
}

func (k *keyed) adopt(l limits) {
	k.mu.Lock()
	defer k.mu.Unlock()
	changed := k.limits.rate != l.rate
	k.limits = l
	k.shrink(l.maxKeys)
	if !changed {
		return
	}
	// All at once: a bucket left for later would go on filling at the old rate.
	for _, e := range k.buckets {
		e.bucket = e.bucket.follow(l.rate)
	}
}

func (k *keyed) stats() LimiterStats {
	k.mu.Lock()
	defer k.mu.Unlock()
	return LimiterStats{Keyed: true, Keys: len(k.buckets), Evictions: k.evictions, Burst: k.limits.rate.burst}
}

func (k *keyed) level(key bucketKey) int64 {
	k.mu.Lock()
	defer k.mu.Unlock()
	e, ok := k.buckets[key]
	if !ok {
		return k.limits.rate.burst
	}
	return e.bucket.tokens.Available()
}

func (e *keyBucket) unlink() {
	e.previous.next, e.next.previous = e.next, e.previous
}

func (e *keyBucket) linkBehind(at *keyBucket) {
	e.previous, e.next = at, at.next
	e.previous.next, e.next.previous = e, e
}
