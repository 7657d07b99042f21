package client

import (
	"math/rand/v2"
	"slices"
)

// Policy is how an endpoint is chosen.
type Policy string

// The policies. RoundRobin and Random treat all endpoints alike; the others go by their weights, too.
const (
	RoundRobin         Policy = "roundRobin"         // each in turn
	WeightedRoundRobin Policy = "weightedRoundRobin" // each in turn, as often as its weight says
	Random             Policy = "random"             // any
	LeastRequest       Policy = "leastRequest"       // the one with the fewest calls of this client out, divided by its weight
	P2C                Policy = "p2c"                // of two at random the one with less latency × calls out ÷ weight: the heavy first
	ConsistentHash     Policy = "consistentHash"     // the same for the same key, see Options.HashOn; keys in proportion to weights
)

// balancer chooses among the members that it was made of. It is used by many at once and never blocks.
type balancer interface {
	// pick is one of the members that f allows, nil when it allows none.
	pick(f filter) *member
}

// filter says which members may be chosen for an attempt.
type filter interface {
	allows(m *member) bool
	now() int64                 // see Client.now
	key() (key uint64, ok bool) // what consistentHash goes by
}

// newBalancer makes the balancer of a list; old is that of the list before.
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

// random gives everyone the same chance.
type random []*member

const guesses = 3 // before all members are looked at

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

// among looks at everyone.
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

// leastRequest chooses the one with the fewest calls out for its weight, and if there are several one of them at random,
// with chances as their weights are: all get calls in proportion to their weights, whether they have much to do or little.
type leastRequest []*member

func (l leastRequest) pick(f filter) *member {
	var best *member
	var least, ties int64 // the calls that best has out, and the weights of those that are as good
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

// p2c draws two endpoints, with chances as their weights are, and chooses the one where a call would end sooner: by its
// smoothed latency, times the calls that are out, divided by its weight. So one of twice the weight is preferred until it
// is twice as slow, or has twice as many calls out; the light help when the heavy are busy. One that was never called is
// taken to be as quick as the other, so that it gets its share, and no more than that, until its first answer.
type p2c struct {
	members []*member
	sums    []int64 // of the weights up to each member, itself included
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

// two are different ones that f allows; b is nil when there is but one.
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

// draw draws two different ones.
func (p p2c) draw() (a, b *member) {
	all := p.sums[len(p.sums)-1]
	a = p.at(rand.Int64N(all))
	x := rand.Int64N(all - a.weight) // with a left out
	if x >= p.sums[a.index]-a.weight {
		x += a.weight
	}
	return a, p.at(x)
}

// at is the member whose part of the sum of weights has x.
func (p p2c) at(x int64) *member {
	i, _ := slices.BinarySearch(p.sums, x+1)
	return p.members[i]
}
