package policies

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/client"
)

// mostLate is how many targets that Compile does not know have a state of their own; the rest shares Other.
const mostLate = 10_000

// late is the state of a rule about what is known only once it is called: methods of upstreams, their endpoints, and
// methods of services behind a gateway. It grows while calls come, and goes on from snapshot to snapshot.
type late struct {
	hub   *hub
	pool  *client.Pool
	owner atomic.Pointer[rule] // of the snapshot in force

	mu        sync.Mutex
	targets   []Target // that have counts, in the order in which they came
	known     map[Target]Target
	counts    map[countsKey]*counts
	breakers  map[breakerKey]*breaker // of scope method and upstream
	endpoints map[string]*byAddress[*breaker]
	outliers  map[string]*outliers
	budgets   map[string]*budget
}

type breakerKey struct{ scope, upstream, target string }

func newLate(r *rule, s *Snapshot) *late {
	l := &late{hub: s.transitions, pool: s.pool}
	l.owner.Store(r)
	return l
}

// grow is what a map has under a key, or, when the map is full, under another.
func grow[K comparable, V any](m *map[K]V, key, other K, fresh func(K) V) V { //nolint:gocritic // a nil map is made
	if v, ok := (*m)[key]; ok {
		return v
	}
	if len(*m) >= mostLate {
		key = other
		if v, ok := (*m)[key]; ok {
			return v
		}
	}
	if *m == nil {
		*m = make(map[K]V)
	}
	v := fresh(key)
	(*m)[key] = v
	return v
}

// countsOf are those of a target; there is one state for a kind and a method, whatever the upstream is called.
func (l *late) countsOf(kind config.Kind, t Target) *counts {
	l.mu.Lock()
	defer l.mu.Unlock()
	t = grow(&l.known, t, Target{Method: Other}, func(t Target) Target {
		l.targets = append(l.targets, t)
		return t
	})
	key := countsKey{kind, t}
	n := l.counts[key]
	if n == nil {
		if l.counts == nil {
			l.counts = make(map[countsKey]*counts)
		}
		n = new(counts)
		l.counts[key] = n
	}
	return n
}

// newBreaker makes a breaker by the rule in force, or, if that has none, by the one that still runs out.
func (l *late) newBreaker(runsOut *breakerRule, upstream, text string) *breaker {
	b := newBreaker(text, cmp.Or(l.owner.Load().breakerRule, runsOut), l.hub)
	b.upstream = upstream
	return b
}

// breakerOf is the breaker of a method or of an upstream. Methods beyond the bound share one: for each upstream, if the
// rule names its upstreams, else for all of them, since there is no end of their names.
func (l *late) breakerOf(r *rule, upstream string, t Target) *breaker {
	key := breakerKey{scope: r.scope, upstream: upstream}
	other := breakerKey{scope: r.scope, upstream: upstream}
	if len(r.upstreams) > 0 && (r.scope == config.ScopeUpstream || !allExact(r.upstreams)) {
		other.upstream = Other
	}
	if r.scope == config.ScopeMethod {
		key.target, other.target = t.String(), Other
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return grow(&l.breakers, key, other, func(key breakerKey) *breaker {
		text := key.target
		switch {
		case r.scope == config.ScopeUpstream:
			text = key.upstream
		case key == other && key.upstream == Other: // it stands for both
		case upstream != "" && (upstream != t.Service || key.target == Other):
			text = l.owner.Load().targetText(key.upstream, text)
		}
		return l.newBreaker(r.breakerRule, key.upstream, text)
	})
}

// endpointsOf are the breakers of the endpoints of an upstream.
func (l *late) endpointsOf(r *rule, upstream string) *byAddress[*breaker] {
	runsOut := r.breakerRule
	l.mu.Lock()
	defer l.mu.Unlock()
	return grow(&l.endpoints, upstream, Other, func(upstream string) *byAddress[*breaker] {
		return &byAddress[*breaker]{fresh: func(address string) *breaker {
			return l.newBreaker(runsOut, upstream, l.owner.Load().targetText(upstream, address))
		}}
	})
}

func (l *late) outliersOf(upstream string) *outliers {
	l.mu.Lock()
	defer l.mu.Unlock()
	return grow(&l.outliers, upstream, Other, func(upstream string) *outliers {
		return newOutliers(l.owner.Load, upstream, l.hub, func() int { return l.pool.Size(upstream) })
	})
}

func (l *late) budgetOf(upstream string) *budget {
	l.mu.Lock()
	defer l.mu.Unlock()
	return grow(&l.budgets, upstream, Other, func(string) *budget { return newBudget() })
}

// keep drops the state of the endpoints of an upstream that are no longer known; those that are gone, if the upstream
// shares its state with others.
func (l *late) keep(c client.Change) {
	l.mu.Lock()
	breakers, sharedBreakers := ownOrShared(l.endpoints, c.Upstream)
	outliers, sharedOutliers := ownOrShared(l.outliers, c.Upstream)
	l.mu.Unlock()
	drops := func(shared bool) func(address string) bool {
		if shared {
			return func(address string) bool { return c.Gone[address] }
		}
		return func(address string) bool { return !c.Known[address] && address != Other }
	}
	if breakers != nil {
		breakers.drop(drops(sharedBreakers))
	}
	if outliers != nil {
		outliers.endpoints.drop(drops(sharedOutliers))
	}
}

// ownOrShared returns the state of an upstream, or else that of all upstreams beyond the bound. An upstream that is called
// Other has none of its own.
func ownOrShared[T any](m map[string]T, upstream string) (of T, shared bool) {
	if own, ok := m[upstream]; ok && upstream != Other {
		return own, false
	}
	return m[Other], true
}

// forget drops the state of an upstream; what it counted stays, and so does what it shares with others.
func (l *late) forget(upstream string) {
	if upstream == Other {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.breakers, func(k breakerKey, _ *breaker) bool { return k.upstream == upstream })
	delete(l.endpoints, upstream)
	delete(l.outliers, upstream)
	delete(l.budgets, upstream)
}

// adopt changes to the rule of another snapshot: what it does not have any more is dropped, and its breakers go by it.
func (l *late) adopt(r *rule) {
	before := l.owner.Swap(r)
	l.mu.Lock()
	kinds := r.config.Kinds()
	maps.DeleteFunc(l.counts, func(k countsKey, _ *counts) bool { return !slices.Contains(kinds, k.kind) })
	maps.DeleteFunc(l.breakers, func(k breakerKey, _ *breaker) bool { return r.breakerRule == nil || k.scope != r.scope })
	if r.breakerRule == nil || r.scope != config.ScopeEndpoint {
		l.endpoints = nil
	}
	if r.outlier == nil {
		l.outliers = nil
	}
	if r.retry == nil && r.hedge == nil {
		l.budgets = nil
	}
	breakers := slices.Collect(maps.Values(l.breakers))
	endpoints := slices.Collect(maps.Values(l.endpoints))
	l.mu.Unlock()
	if before.breakerRule == r.breakerRule {
		return
	}
	for _, b := range breakers {
		b.adopt(r.breakerRule)
	}
	for _, of := range endpoints {
		of.each(func(b *breaker) { b.adopt(r.breakerRule) })
	}
}

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
