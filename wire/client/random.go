package client

import "math/rand/v2"

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
