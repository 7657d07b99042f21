package policies

import (
	"cmp"
	"maps"
	"slices"

	"github.com/easymicro/easymicro/config"
)

// seen are the targets that were called, in the order in which they came.
func (l *late) seen() []Target {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.targets)
}

// decisions are those about a target.
func (l *late) decisions(kind config.Kind, t Target) Decisions {
	l.mu.Lock()
	defer l.mu.Unlock()
	if n := l.counts[countsKey{kind, t}]; n != nil {
		return n.decisions()
	}
	return Decisions{}
}

// breakersOf are those that of is true for, all of them if it is nil, ordered by what they are for.
func (l *late) breakersOf(of func(upstream, target string) bool) []*breaker {
	var all []*breaker
	l.mu.Lock()
	for k, b := range l.breakers {
		if of == nil || of(k.upstream, k.target) {
			all = append(all, b)
		}
	}
	for upstream, endpoints := range l.endpoints {
		if of == nil || of(upstream, "") {
			all = slices.AppendSeq(all, maps.Values(endpoints.all()))
		}
	}
	l.mu.Unlock()
	slices.SortFunc(all, func(a, b *breaker) int {
		return cmp.Or(cmp.Compare(a.upstream, b.upstream), cmp.Compare(a.target, b.target))
	})
	return all
}

// outlierStats are the endpoints of one upstream, or of all ("").
func (l *late) outlierStats(upstream string) []OutlierStats {
	l.mu.Lock()
	var pools []*outliers
	for name, o := range l.outliers {
		if upstream == "" || upstream == name {
			pools = append(pools, o)
		}
	}
	l.mu.Unlock()
	var all []OutlierStats
	for _, o := range pools {
		for _, e := range o.endpoints.all() {
			all = append(all, o.stats(e))
		}
	}
	slices.SortFunc(all, func(a, b OutlierStats) int {
		return cmp.Or(cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.Target, b.Target))
	})
	return all
}

// retries are the calls and the retries of the last while, to one upstream or to all ("").
func (l *late) retries(upstream string) (calls, retries int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for name, b := range l.budgets {
		if upstream == "" || upstream == name {
			c, r := b.counts()
			calls, retries = calls+c, retries+r
		}
	}
	return calls, retries
}
