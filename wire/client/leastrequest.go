package client

import "math/rand/v2"

// leastRequest chooses the one with the fewest calls out, and one of them at random if there are several.
type leastRequest []*member

func (l leastRequest) pick(f filter) *member {
	var best *member
	var least int64
	ties := 0
	for _, m := range l {
		n := m.inFlight.Load()
		if best != nil && n > least || !f.allows(m) {
			continue
		}
		if best == nil || n < least {
			best, least, ties = m, n, 1
			continue
		}
		ties++
		if rand.IntN(ties) == 0 {
			best = m
		}
	}
	return best
}
