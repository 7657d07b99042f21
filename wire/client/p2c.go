package client

import (
	"math/rand/v2"
	"slices"
)

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
