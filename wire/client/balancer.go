package client

import (
	"math/rand/v2"
	"slices"
)

// Policy is a load balancing policy.
type Policy string

// The policies. RoundRobin and Random ignore weights.
const (
	RoundRobin         Policy = "roundRobin"         // each in turn
	WeightedRoundRobin Policy = "weightedRoundRobin" // each in turn, in proportion to its weight
	Random             Policy = "random"             // any
	LeastRequest       Policy = "leastRequest"       // the fewest calls of this client in flight, relative to weight
	P2C                Policy = "p2c"                // of two at random, the lower latency × calls in flight ÷ weight
	ConsistentHash     Policy = "consistentHash"     // the same endpoint for the same key, see Options.HashOn
)

// balancer chooses one of the members of a list. It is safe for concurrent use and does not block.
type balancer interface {
	// pick returns a member that f allows, or nil.
	pick(f filter) *member
}

// filter limits which members an attempt may use.
type filter interface {
	allows(m *member) bool
	now() int64                 // see core.now
	key() (key uint64, ok bool) // for consistentHash
}

// newBalancer returns a balancer of members. It takes over the state of old, which may be nil.
func newBalancer(p Policy, members []*member, old balancer) balancer {
	switch p {
	case RoundRobin:
		return newRoundRobin(members, old)
	case WeightedRoundRobin:
		return newWeighted(members, old)
	case Random:
		return random(members)
	case LeastRequest:
		return leastRequest(members)
	case ConsistentHash:
		return consistentHash{members, newP2C(members)}
	case P2C:
	}
	return newP2C(members)
}

// random chooses members with equal probability.
type random []*member

const guesses = 3 // attempts before all members are checked

func (r random) pick(f filter) *member {
	if len(r) == 0 {
		return nil
	}
	for range guesses {
		if m := r[rand.IntN(len(r))]; f.allows(m) {
			return m
		}
	}
	return r.among(f)
}

// among chooses one of all members that f allows.
func (r random) among(f filter) *member {
	var found *member
	n := 0
	for _, m := range r {
		if !f.allows(m) {
			continue
		}
		n++
		if rand.IntN(n) == 0 {
			found = m
		}
	}
	return found
}

// leastRequest chooses the member with the fewest calls in flight relative to its weight. It breaks ties at random, in
// proportion to the weights, so that calls are distributed by weight under low load, too.
type leastRequest []*member

func (l leastRequest) pick(f filter) *member {
	var best *member
	var least, ties int64 // calls of best in flight; sum of the weights of the members that tie with it
	for _, m := range l {
		n := m.inFlight.Load()
		if best != nil && n*best.weight > least*m.weight || !f.allows(m) {
			continue
		}
		if best == nil || n*best.weight < least*m.weight {
			best, least, ties = m, n, m.weight
			continue
		}
		ties += m.weight
		if rand.Int64N(ties) < m.weight {
			best, least = m, n
		}
	}
	return best
}

// p2c is power of two choices: it draws two members in proportion to their weights, and chooses the one with the lower
// smoothed latency × calls in flight ÷ weight. A member of twice the weight is preferred until it is twice as slow or has
// twice as many calls in flight. A member without a latency counts as fast as the other, so that it gets its share, and no
// more, until its first answer.
type p2c struct {
	members []*member
	sums    []int64 // of the weights up to and including each member
}

func newP2C(members []*member) p2c {
	p := p2c{members: members, sums: make([]int64, len(members))}
	sum := int64(0)
	for i, m := range members {
		sum += m.weight
		p.sums[i] = sum
	}
	return p
}

func (p p2c) pick(f filter) *member {
	if len(p.members) < 2 {
		return random(p.members).pick(f)
	}
	a, b := p.two(f)
	if b == nil {
		return a
	}
	now := f.now()
	quickA, quickB := a.cost(now), b.cost(now)
	switch {
	case quickA == 0 && quickB == 0:
		quickA, quickB = 1, 1
	case quickA == 0:
		quickA = quickB
	case quickB == 0:
		quickB = quickA
	}
	costA := float64(quickA) * float64(a.inFlight.Load()+1) / float64(a.weight)
	costB := float64(quickB) * float64(b.inFlight.Load()+1) / float64(b.weight)
	if costB < costA {
		return b
	}
	return a
}

// two returns two different members that f allows; b is nil if there is only one.
func (p p2c) two(f filter) (a, b *member) {
	for range guesses {
		if a, b := p.draw(); f.allows(a) && f.allows(b) {
			return a, b
		}
	}
	n := 0
	for _, m := range p.members {
		if !f.allows(m) {
			continue
		}
		n++
		switch at := rand.IntN(n); {
		case n == 1:
			a = m
		case n == 2 && at == 0:
			a, b = m, a
		case n == 2:
			b = m
		case at == 0:
			a = m
		case at == 1:
			b = m
		}
	}
	return a, b
}

// draw returns two different members, at random by weight.
func (p p2c) draw() (a, b *member) {
	all := p.sums[len(p.sums)-1]
	a = p.at(rand.Int64N(all))
	x := rand.Int64N(all - a.weight) // without the part of a
	if x >= p.sums[a.index]-a.weight {
		x += a.weight
	}
	return a, p.at(x)
}

// at returns the member whose part of the sum of weights contains x.
func (p p2c) at(x int64) *member {
	i, _ := slices.BinarySearch(p.sums, x+1)
	return p.members[i]
}
