package client

import "math/rand/v2"

// p2c looks at two endpoints and chooses the one where a call would end sooner: by its smoothed latency, times the calls
// that are out. One that was never called is taken to be as quick as the other, so that it gets its share, and no more
// than that, until its first answer.
type p2c []*member

func (p p2c) pick(f filter) *member {
	if len(p) < 2 {
		return random(p).pick(f)
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
	costA := float64(quickA) * float64(a.inFlight.Load()+1)
	costB := float64(quickB) * float64(b.inFlight.Load()+1)
	if costB < costA {
		return b
	}
	return a
}

// two are different ones that f allows, in random order; b is nil when there is but one.
func (p p2c) two(f filter) (a, b *member) {
	for range guesses {
		i := rand.IntN(len(p))
		j := rand.IntN(len(p) - 1)
		if j >= i {
			j++
		}
		if f.allows(p[i]) && f.allows(p[j]) {
			return p[i], p[j]
		}
	}
	n := 0
	for _, m := range p {
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
