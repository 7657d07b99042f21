package client

import "sync"

// weighted is smooth weighted round robin, as nginx has it: in each round everyone gains its weight, and the one that
// has most is chosen and pays the weights of all. Turns are spread evenly, never in runs.
type weighted struct {
	members []*member

	mu  sync.Mutex
	has []int64 // by the members' index
}

func newWeighted(members []*member, old balancer) *weighted {
	w := &weighted{members: members, has: make([]int64, len(members))}
	prev, ok := old.(*weighted)
	if !ok {
		return w
	}
	prev.mu.Lock()
	defer prev.mu.Unlock()
	had := make(map[place]int64, len(prev.members))
	for _, m := range prev.members {
		had[m.ep.place()] = prev.has[m.index]
	}
	for _, m := range members {
		w.has[m.index] = had[m.ep.place()]
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
		w.has[m.index] += m.weight
		if best == nil || w.has[m.index] > w.has[best.index] {
			best = m
		}
	}
	if best != nil {
		w.has[best.index] -= all
	}
	return best
}
