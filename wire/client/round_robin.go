package client

import (
	"math/rand/v2"
	"sync"
	"sync/atomic"
)

// roundRobin chooses members in turn. The turns of a member that is not allowed are distributed over all others, not just to
// the next one.
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
	t.next.Store(rand.Uint64N(1 << 32)) // so that not all clients begin with the same endpoint
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
	return last // a member became unusable meanwhile
}

// weighted is smooth weighted round robin, as in nginx: for every choice each member's credit grows by its weight, and the
// one with the most credit is chosen and loses the sum of the weights. This spreads the turns of a member evenly.
type weighted struct {
	members []*member

	mu     sync.Mutex
	credit []int64 // credit, by member.index
}

func newWeighted(members []*member, old balancer) *weighted {
	w := &weighted{members: members, credit: make([]int64, len(members))}
	prev, ok := old.(*weighted)
	if !ok {
		return w
	}
	prev.mu.Lock()
	defer prev.mu.Unlock()
	had := make(map[netAddress]int64, len(prev.members))
	for _, m := range prev.members {
		had[m.ep.netAddress()] = prev.credit[m.index]
	}
	for _, m := range members {
		w.credit[m.index] = had[m.ep.netAddress()]
	}
	return w
}

func (w *weighted) pick(f filter) *member {
	w.mu.Lock()
	defer w.mu.Unlock()
	var best *member
	var all int64
	for _, m := range w.members {
		if !f.allows(m) {
			continue
		}
		all += m.weight
		w.credit[m.index] += m.weight
		if best == nil || w.credit[m.index] > w.credit[best.index] {
			best = m
		}
	}
	if best != nil {
		w.credit[best.index] -= all
	}
	return best
}
