package client

import "math/rand/v2"

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
