package client

import (
	"math"

	"github.com/cespare/xxhash/v2"
)

// consistentHash sends calls with the same key to the same endpoint, by weighted rendezvous hashing: the member with the
// highest score for the key is chosen. When a member is removed only its keys move; a new one takes its share from all
// others. A member with more than overload times its share of the calls in flight is skipped. Calls without a key are
// balanced by p2c.
type consistentHash struct {
	members []*member
	keyless p2c
}

const (
	overload     = 1.25
	neverTooMany = 8 // calls
)

func hashOf(s string) uint64 { return xxhash.Sum64String(s) }

func (c consistentHash) pick(f filter) *member {
	key, ok := f.key()
	if !ok {
		return c.keyless.pick(f)
	}
	var best *member
	var high float64
	var out, weights int64
	for _, m := range c.members {
		if !f.allows(m) {
			continue
		}
		out += m.inFlight.Load()
		weights += m.weight
		if s := score(m, key); best == nil || s > high {
			best, high = m, s
		}
	}
	// Rarely more than one iteration: only if a few keys have a large part of all calls.
	for next := best; next != nil; next, high = c.below(f, key, high) {
		if next.inFlight.Load() < bound(next, out+1, weights) {
			return next
		}
	}
	return best
}

// bound returns how many calls m may have in flight if out are in flight in total.
func bound(m *member, out, weights int64) int64 {
	return max(int64(math.Ceil(overload*float64(out)*float64(m.weight)/float64(weights))), neverTooMany)
}

// below returns the allowed member with the highest score below bound.
func (c consistentHash) below(f filter, key uint64, bound float64) (best *member, high float64) {
	for _, m := range c.members {
		if s := score(m, key); s < bound && (best == nil || s > high) && f.allows(m) {
			best, high = m, s
		}
	}
	return best, high
}

// score returns the score of m for a key. The probability of the highest score is proportional to the weight.
func score(m *member, key uint64) float64 {
	h := mix(key ^ m.hash)
	u := (float64(h>>11) + 0.5) / (1 << 53) // within (0, 1)
	return float64(m.weight) / -math.Log(u)
}

// mix is the finalizer of MurmurHash3.
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
