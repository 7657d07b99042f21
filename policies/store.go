package policies

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/client"
)

// store is the state of a rule, shared by the rules of its name in successive snapshots. Compile adds the methods of this
// host; calls add methods of other services and upstreams, and endpoints.
type store struct {
	sink  *sink
	pool  *client.Pool
	owner atomic.Pointer[spec]          // the rule of the snapshot in force
	holds atomic.Pointer[[]BreakerHold] // of its breakers; nil: none

	mu sync.Mutex
	methods
	found     []Target // with counters, in order of addition, without those of owner.targets
	isFound   map[Target]bool
	endpoints map[string]*limit.PerEndpoint[*limit.Breaker] // by upstream
	outliers  map[string]*limit.Outliers
	budgets   map[string]*limit.Budget
}

// newStore returns the store of a rule without a predecessor.
func newStore(r *spec, l *lineage) *store {
	st := &store{sink: l.sink, pool: l.pool}
	st.owner.Store(r)
	return st
}

// notify returns the function that reports the events of one breaker, of the endpoints of one upstream, or of a limiter.
func (st *store) notify(kind config.Kind, upstream string, target func(limit.Event) string) func(limit.Event) {
	return func(e limit.Event) {
		notify := st.sink.notify.Load()
		if notify == nil {
			return
		}
		r := st.owner.Load()
		(*notify)(Transition{
			Rule: r.name, Mode: r.mode, Kind: kind, Target: target(e), Upstream: upstream, From: e.From, To: e.To, Cause: e.Cause, At: e.At,
		})
	}
}

// prepare returns the state of the methods of r that the store lacks. A method that calls found, and that is now of this
// host, starts afresh. The store does not change: r may never come into force.
func (st *store) prepare(r *spec) methods {
	m := methods{counters: make(map[counterKey]*limit.Counter), breakers: make(map[breakerKey]*limit.Breaker)}
	before := make(map[Target]bool)
	for _, t := range st.owner.Load().targets {
		before[t] = true
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	for _, t := range r.targets {
		known := before[t]
		for _, kind := range r.config.Kinds() {
			if key := (counterKey{kind, t}); !known || st.counters[key] == nil {
				m.counters[key] = new(limit.Counter)
			}
		}
		if key := (breakerKey{scope: config.ScopeMethod, target: t}); r.breaker != nil && r.scope == key.scope && (!known || st.breakers[key] == nil) {
			m.breakers[key] = st.newBreaker(r.breaker, "", t.String())
		}
	}
	return m
}

// adopt hands the store, with the methods that prepare returned, to r, whose snapshot comes into force. State that r does not
// need is dropped, and breakers change to its settings.
func (st *store) adopt(r *spec, added *methods) {
	before := st.owner.Swap(r)
	st.mu.Lock()
	kinds := r.config.Kinds()
	gone := make(map[Target]bool, len(before.targets))
	for _, t := range before.targets {
		gone[t] = true
	}
	for _, t := range r.targets {
		delete(gone, t)
		delete(st.isFound, t)
	}
	st.found = slices.DeleteFunc(st.found, func(t Target) bool { return !st.isFound[t] })
	maps.DeleteFunc(st.counters, func(k counterKey, _ *limit.Counter) bool { return gone[k.target] || !slices.Contains(kinds, k.kind) })
	maps.DeleteFunc(st.breakers, func(k breakerKey, _ *limit.Breaker) bool {
		return r.breaker == nil || k.scope != r.scope || k.upstream == "" && gone[k.target]
	})
	if r.breaker == nil || r.scope != config.ScopeEndpoint {
		st.endpoints = nil
	}
	if r.outlier == nil {
		st.outliers = nil
	}
	if r.retry == nil && r.hedge == nil {
		st.budgets = nil
	}
	old := slices.Collect(maps.Values(st.breakers))
	endpoints := slices.Collect(maps.Values(st.endpoints))
	st.add(added)
	st.mu.Unlock()
	if before.breaker == r.breaker || before.breaker != nil && r.breaker != nil && *before.breaker == *r.breaker {
		return
	}
	for _, b := range old {
		b.SetSettings(r.breaker)
	}
	for _, of := range endpoints {
		of.Each(func(b *limit.Breaker) { b.SetSettings(r.breaker) })
	}
}

// add moves m into the store.
func (st *store) add(m *methods) {
	if st.counters == nil {
		st.methods = *m
	} else {
		maps.Copy(st.counters, m.counters)
		maps.Copy(st.breakers, m.breakers)
	}
	*m = methods{}
}

// counter returns the counter of a kind for a method, which all upstreams share.
func (st *store) counter(added *methods, kind config.Kind, t Target) *limit.Counter {
	st.mu.Lock()
	defer st.mu.Unlock()
	if n := st.lookup(added, kind, t); n != nil {
		return n
	}
	if !st.isFound[t] {
		if len(st.found) >= maxFound {
			t = Target{Method: Other}
		}
		if !st.isFound[t] {
			if st.isFound == nil {
				st.isFound = make(map[Target]bool)
			}
			st.isFound[t] = true
			st.found = append(st.found, t)
		}
	}
	key := counterKey{kind, t}
	return grow(&st.counters, math.MaxInt, key, key, func(counterKey) *limit.Counter { return new(limit.Counter) })
}

// lookup returns the counter of a kind for a method, or nil.
func (st *store) lookup(added *methods, kind config.Kind, t Target) *limit.Counter {
	key := counterKey{kind, t}
	return cmp.Or(added.counters[key], st.counters[key])
}

// settings returns the settings of the rule in force, or of r, a replaced rule under which calls still run.
func (st *store) settings(r *spec) *limit.BreakerSettings {
	return cmp.Or(st.owner.Load().breaker, r.breaker)
}

func (st *store) newBreaker(settings *limit.BreakerSettings, upstream, name string) *limit.Breaker {
	b := limit.NewBreaker(name, settings,
		st.notify(config.KindCircuitBreaker, upstream, func(limit.Event) string { return name }))
	b.Hold(holdOf(st.holds.Load(), name))
	return b
}

// hold keeps the breakers of the rule open or closed, also those made later; nil: no longer.
func (st *store) hold(list []BreakerHold) {
	holds := &list
	if list == nil {
		holds = nil
	}
	st.holds.Store(holds)
	var all []*limit.Breaker
	st.mu.Lock()
	for _, b := range st.breakers {
		all = append(all, b)
	}
	for _, of := range st.endpoints {
		of.Each(func(b *limit.Breaker) { all = append(all, b) })
	}
	st.mu.Unlock()
	for _, b := range all {
		b.Hold(holdOf(holds, b.Name()))
		b.Notify()
	}
}

// breaker returns the breaker of a method or of an upstream. Methods beyond the bound share one: for each upstream if the
// rule names its upstreams, otherwise for all of them, since the number of names is unlimited.
func (st *store) breaker(r *spec, added *methods, upstream string, t Target) *limit.Breaker {
	key := breakerKey{scope: r.scope, upstream: upstream}
	other := key
	if r.clientSide() && (r.scope == config.ScopeUpstream || !allExact(r.upstreams)) {
		other.upstream = Other
	}
	if r.scope == config.ScopeMethod {
		key.target, other.target = t, Target{Method: Other}
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	if b := added.breakers[key]; b != nil {
		return b
	}
	owner := st.owner.Load()
	return grow(&st.breakers, maxFound+len(owner.targets), key, other, func(key breakerKey) *limit.Breaker {
		name := key.target.String()
		switch {
		case r.scope == config.ScopeUpstream:
			name = key.upstream
		case key == other && key.upstream == Other: // one name for both
		case upstream != "" && (upstream != t.Service || key.target.Method == Other):
			name = owner.targetText(key.upstream, name)
		}
		return st.newBreaker(st.settings(r), key.upstream, name)
	})
}

// endpointBreakers returns the breakers of the endpoints of an upstream.
func (st *store) endpointBreakers(r *spec, upstream string) *limit.PerEndpoint[*limit.Breaker] {
	st.mu.Lock()
	defer st.mu.Unlock()
	return grow(&st.endpoints, maxFound, upstream, Other, func(upstream string) *limit.PerEndpoint[*limit.Breaker] {
		return limit.NewPerEndpoint(func(address string) *limit.Breaker {
			return st.newBreaker(st.settings(r), upstream, st.owner.Load().targetText(upstream, address))
		})
	})
}

// outliersOf returns the outlier detection of an upstream.
func (st *store) outliersOf(upstream string) *limit.Outliers {
	st.mu.Lock()
	defer st.mu.Unlock()
	return grow(&st.outliers, maxFound, upstream, Other, func(upstream string) *limit.Outliers {
		return limit.NewOutliers(func() int { return st.pool.Size(upstream) },
			st.notify(config.KindOutlierDetection, upstream, func(e limit.Event) string { return st.owner.Load().targetText(upstream, e.Address) }))
	})
}

// budget returns the retry budget of an upstream.
func (st *store) budget(upstream string) *limit.Budget {
	st.mu.Lock()
	defer st.mu.Unlock()
	return grow(&st.budgets, maxFound, upstream, Other, func(string) *limit.Budget { return limit.NewBudget() })
}

// keep drops the state of the endpoints of an upstream that are no longer known, or, if the upstream shares its state with
// others, of those that are gone.
func (st *store) keep(c client.Change) {
	st.mu.Lock()
	breakers, sharedBreakers := ownOrShared(st.endpoints, c.Upstream)
	outliers, sharedOutliers := ownOrShared(st.outliers, c.Upstream)
	st.mu.Unlock()
	drops := func(shared bool) func(address string) bool {
		if shared {
			return func(address string) bool { return c.Gone[address] }
		}
		return func(address string) bool { return !c.Known[address] && address != Other }
	}
	if breakers != nil {
		breakers.Drop(drops(sharedBreakers))
	}
	if outliers != nil {
		outliers.Endpoints.Drop(drops(sharedOutliers))
	}
}

// forget drops the state of an upstream, except for its counters and what it shares with others.
func (st *store) forget(upstream string) {
	if upstream == Other {
		return
	}
	st.mu.Lock()
	defer st.mu.Unlock()
	maps.DeleteFunc(st.breakers, func(k breakerKey, _ *limit.Breaker) bool { return k.upstream == upstream })
	delete(st.endpoints, upstream)
	delete(st.outliers, upstream)
	delete(st.budgets, upstream)
}

// targets returns the methods under r: those of this host, and those found by calls.
func (st *store) targets(r *spec, added *methods) []Target {
	st.mu.Lock()
	defer st.mu.Unlock()
	all := slices.Clone(r.targets)
	for _, t := range st.found {
		if added.counters == nil || !slices.Contains(r.targets, t) { // not adopted yet
			all = append(all, t)
		}
	}
	return all
}

// decisions returns the decisions of a kind on a method.
func (st *store) decisions(added *methods, kind config.Kind, t Target) Decisions {
	st.mu.Lock()
	defer st.mu.Unlock()
	n := st.lookup(added, kind, t)
	if n == nil {
		return Decisions{}
	}
	return Decisions{Allow: n.Allow.Load(), Reject: n.Reject.Load(), Wait: n.Wait.Load(), ShadowReject: n.Shadow.Load()}
}

// breakersOf returns the breakers that of selects, or all if it is nil, ordered by upstream and name.
func (st *store) breakersOf(added *methods, of func(upstream string, t Target) bool) []namedBreaker {
	var all []namedBreaker
	st.mu.Lock()
	for _, m := range [...]map[breakerKey]*limit.Breaker{st.breakers, added.breakers} {
		for k, b := range m {
			if of == nil || of(k.upstream, k.target) {
				all = append(all, namedBreaker{b, k.upstream})
			}
		}
	}
	for upstream, endpoints := range st.endpoints {
		if of == nil || of(upstream, Target{}) {
			for _, b := range endpoints.All() {
				all = append(all, namedBreaker{b, upstream})
			}
		}
	}
	st.mu.Unlock()
	slices.SortFunc(all, func(a, b namedBreaker) int {
		return cmp.Or(cmp.Compare(a.upstream, b.upstream), cmp.Compare(a.Name(), b.Name()))
	})
	return all
}

// outlierStats returns the endpoints of one upstream, or of all ("").
func (st *store) outlierStats(upstream string) []OutlierStats {
	pools := make(map[string]*limit.Outliers)
	st.mu.Lock()
	for name, o := range st.outliers {
		if upstream == "" || upstream == name {
			pools[name] = o
		}
	}
	st.mu.Unlock()
	r := st.owner.Load()
	var all []OutlierStats
	for name, o := range pools {
		for _, e := range o.Endpoints.All() {
			s := o.Stats(e)
			all = append(all, OutlierStats{r.name, r.targetText(name, s.Address), name, r.enforced, s})
		}
	}
	slices.SortFunc(all, func(a, b OutlierStats) int {
		return cmp.Or(cmp.Compare(a.Upstream, b.Upstream), cmp.Compare(a.Target, b.Target))
	})
	return all
}

// retries returns the recent calls and retries, to one upstream or to all ("").
func (st *store) retries(upstream string) (calls, retries int) {
	st.mu.Lock()
	defer st.mu.Unlock()
	for name, b := range st.budgets {
		if upstream == "" || upstream == name {
			c, r := b.Counts()
			calls, retries = calls+c, retries+r
		}
	}
	return calls, retries
}
