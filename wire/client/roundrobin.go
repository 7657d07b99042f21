package client

import (
	"math/rand/v2"
	"sync/atomic"
)

// roundRobin gives each its turn. The turn of one that is not allowed goes to the others in turn, and not to its
// neighbour alone.
type roundRobin struct {
	members []*member
	*turns
}

type turns struct{ next, spare atomic.Uint64 }

func newRoundRobin(members []*member, old balancer) *roundRobin {
	if old, ok := old.(*roundRobin); ok {
		return &roundRobin{members, old.turns}
	}
	t := new(turns)
	t.next.Store(rand.Uint64N(1 << 32)) // many clients do not all begin with the same endpoint
	return &roundRobin{members, t}
}

func (r *roundRobin) pick(f filter) *member {
	if len(r.members) == 0 {
		return nil
	}
	if m := r.members[r.next.Add(1)%uint64(len(r.members))]; f.allows(m) {
		return m
	}
	allowed := uint64(0)
	for _, m := range r.members {
		if f.allows(m) {
			allowed++
		}
	}
	if allowed == 0 {
		return nil
	}
	skip := r.spare.Add(1) % allowed
	var last *member
	for _, m := range r.members {
		if !f.allows(m) {
			continue
		}
		last = m
		if skip == 0 {
			return m
		}
		skip--
	}
	return last // somebody became unusable meanwhile
}
