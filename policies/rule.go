package policies

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
)

// rule is a rule of one snapshot, with the state that it shares with the rules of its name in other snapshots.
type rule struct {
	spec

	limiter        *limit.Limiter
	limiterOrder   uint64 // in which calls lock limiters
	semaphore      *limit.Semaphore
	semaphoreOrder uint64          // in which calls lock semaphores
	adaptive       *limit.Adaptive // of the semaphore; nil: its limit does not adapt
	meter          *meter
	store          *store
	added          methods // for the store, until the snapshot comes into force
}

// inherit takes over the state of old (nil: none), kind by kind, or makes a new one, also for rules that are off or in shadow.
// It returns the changes to that state to apply when the snapshot comes into force. Limits that are broken start afresh.
func (r *rule) inherit(old *rule, l *lineage) (changes []func()) {
	if old == nil || old.clientSide() != r.clientSide() {
		old = new(rule) // incoming calls share no state with outgoing ones
	}
	if old.store == nil {
		r.store = newStore(&r.spec, l)
		r.added = r.store.prepare(&r.spec)
		r.store.add(&r.added)
	} else {
		r.store = old.store
		r.added = r.store.prepare(&r.spec)
		changes = append(changes, func() { r.store.adopt(&r.spec, &r.added) })
	}
	r.meter = l.meter
	switch {
	case r.config.RateLimit == nil:
	case old.limiter == nil || old.isBroken(config.KindRateLimit) || !slices.Equal(old.key, r.key): // another key: unrelated buckets
		r.limiterOrder = l.nextOrder()
		r.limiter = limit.NewLimiter(r.limits, len(r.key) > 0, r.store.notify(config.KindRateLimit, "", func(limit.Event) string { return "" }))
	default:
		r.limiter, r.limiterOrder = old.limiter, old.limiterOrder
		changes = append(changes, func() { r.limiter.SetLimits(r.limits) })
	}
	switch {
	case r.config.Concurrency == nil:
	case old.semaphore == nil || old.isBroken(config.KindConcurrency):
		r.semaphore, r.semaphoreOrder = limit.NewSemaphore(r.maximum, r.queue), l.nextOrder()
		if r.bounds != nil {
			r.adaptive = limit.NewAdaptive(r.semaphore, *r.bounds, r.maximum)
		}
	default:
		r.semaphore, r.semaphoreOrder = old.semaphore, old.semaphoreOrder
		changes = append(changes, r.inheritLimit(old)...)
	}
	return changes
}

// inheritLimit takes over a limit of calls in flight. One that begins to adapt begins where it was.
func (r *rule) inheritLimit(old *rule) (changes []func()) {
	if r.bounds != nil {
		r.adaptive = old.adaptive
		if r.adaptive == nil {
			r.adaptive = limit.NewAdaptive(r.semaphore, *r.bounds, old.maximum)
		}
		return []func(){func() { r.adaptive.SetBounds(*r.bounds, r.queue) }}
	}
	if old.maximum != r.maximum || old.queue != r.queue || old.bounds != nil {
		changes = append(changes, func() { r.semaphore.SetLimits(r.maximum, r.queue) })
	}
	return changes
}

// comparedKinds returns the kinds of a rule that can refuse or end calls, apart from the breakers of calls to upstreams: what
// these have learned from the endpoints cannot be copied.
func (r *rule) comparedKinds() []config.Kind {
	if !r.enforced {
		return nil
	}
	return slices.DeleteFunc(r.config.Kinds(), func(k config.Kind) bool {
		return k.ClientOnly() || r.clientSide() && k == config.KindCircuitBreaker
	})
}

// copyState gives r a copy of the state of another rule. The calls in flight under live, which has taken over that state (nil: none
// has), count for r, too.
func (r *rule) copyState(of, live *rule) {
	if live != nil && live.semaphore != nil && live.semaphore == of.semaphore && config.SameCalls(live.config, of.config) {
		r.semaphore.Beside(live.semaphore)
	}
	if r.adaptive != nil { // it cannot learn from the calls, which run under live
		r.adaptive = nil
		r.semaphore.SetMax(of.semaphore.Max())
	}
	if r.limiter != nil {
		r.limiter = of.limiter.Copy()
		r.limiter.SetLimits(r.limits) // those of a later edit apply already
	}
}

// intends reports whether refusals by the rule are meant for that very caller or peer, or are never a reason to roll back.
func (r *rule) intends(kind config.Kind, method, caller string, peer netip.Addr) bool {
	alone := func(n netip.Prefix) bool { return n.IsSingleIP() && n.Contains(peer) }
	switch {
	case r.config.AutoRollback == config.RollbackOff, slices.ContainsFunc(r.peers, alone):
		return true
	case kind == config.KindCircuitBreaker && r.store.holds.Load() != nil: // by an operator
		return true
	case caller == "" || caller == Anonymous:
		return false
	}
	return r.callers.exact[caller] || kind == config.KindAccess && callersOf(r.config.Access.Deny, method).exact[caller]
}

// copyBreakers gives r, which is not in force, breakers that are open if those of a store are.
func (r *rule) copyBreakers(of *store) {
	if r.breaker == nil {
		return
	}
	of.mu.Lock()
	before := maps.Clone(of.breakers)
	of.mu.Unlock()
	for key, was := range before {
		b := r.store.breakers[key]
		if b == nil { // of a method that calls have found
			b = r.store.newBreaker(r.breaker, key.upstream, key.target.String())
			r.store.breakers[key] = b
		}
		b.CopyPhase(was)
	}
}

// stateFor describes the state of a kind for the calls of a method that are like one: "0 of 1000 tokens".
func (r *rule) stateFor(kind config.Kind, of *subject, c *Call) string {
	switch {
	case r.isBroken(kind):
	case kind == config.KindRateLimit && r.limiter != nil && r.key.byCaller() && (c.Claims != nil || !r.key.has(keyClaim)):
		key := r.key.appendTo(nil, &Call{Caller: c.Caller, Claims: c.Claims, target: of.target})
		return fmt.Sprintf("%d of %d tokens", r.limiter.Level(key), r.limits.Rate.Burst)
	case kind == config.KindCircuitBreaker && r.breaker != nil:
		return r.breakersFor(of)
	}
	return r.state(kind, of.upstream)
}

// state describes the state of a kind for all calls, or for those to one upstream.
func (r *rule) state(kind config.Kind, upstream string) string {
	switch {
	case r.isBroken(kind):
	case kind == config.KindRateLimit && r.limiter != nil:
		n := r.limiter.Stats()
		if n.Keyed {
			return keysInShort(&n, r.limits.MaxKeys)
		}
		return fmt.Sprintf("%v of %d tokens", n.Tokens, r.limits.Rate.Burst)
	case kind == config.KindConcurrency && r.semaphore != nil:
		inFlight, waiting := r.semaphore.Counts()
		return fmt.Sprintf("%d of %d in flight, %d of %d queued%s", inFlight, r.semaphore.Max(), waiting, r.queue, adaptiveState(r.adaptive, "; "))
	case kind == config.KindShed:
		return shedState(&r.spec, r.meter)
	case kind == config.KindCircuitBreaker && r.breaker != nil:
		return breakersInShort(r.store.breakersOf(&r.added, nil))
	case kind == config.KindOutlierDetection && r.outlier != nil:
		return endpointsInShort(r.store.outlierStats(upstream))
	case kind == config.KindRetry && r.retry != nil:
		calls, retries := r.store.retries(upstream)
		return fmt.Sprintf("%d of %d calls retried within %s", retries, calls, config.Duration(limit.BudgetWindow))
	}
	return ""
}

// maxListed bounds the breakers or endpoints that are listed one by one.
const maxListed = 8

// breakersFor describes the state of the breakers that calls of a method are subject to.
func (r *rule) breakersFor(of *subject) string {
	breakers := r.store.breakersOf(&r.added, func(upstream string, t Target) bool {
		return upstream == of.upstream && (t == Target{} || t == of.counted)
	})
	switch {
	case len(breakers) == 0:
		return "not called yet"
	case r.scope != config.ScopeEndpoint:
		return breakerText(breakers[0])
	}
	var words []string
	for _, b := range breakers {
		words = append(words, b.Name()+" "+breakerText(b))
	}
	return fewWords(words)
}

// breakersInShort returns the breakers that are not closed.
func breakersInShort(breakers []namedBreaker) string {
	var open []string
	for _, b := range breakers {
		if n := b.Stats(); n.State != limit.StateClosed {
			open = append(open, b.Name()+" "+strings.ReplaceAll(n.State, "_", "-"))
		}
	}
	if len(open) == 0 {
		return "closed"
	}
	slices.Sort(open)
	return strings.Join(open, ", ")
}

// endpointsInShort returns the endpoints that are ejected.
func endpointsInShort(endpoints []OutlierStats) string {
	var words []string
	for i := range endpoints {
		if e := &endpoints[i]; e.Ejected {
			words = append(words, fmt.Sprintf("%s ejected for another %s: %s", e.Target, limit.RoundUp(e.EjectedFor), e.Cause))
		}
	}
	if healthy := len(endpoints) - len(words); healthy > 0 || len(words) == 0 {
		words = append(words, fmt.Sprintf("%d healthy", healthy))
	}
	return fewWords(words)
}

func fewWords(words []string) string {
	if more := len(words) - maxListed; more > 0 {
		words = append(words[:maxListed], fmt.Sprintf("%d more", more))
	}
	return strings.Join(words, "; ")
}

// breakerText describes the state of a breaker.
func breakerText(b namedBreaker) string {
	switch s := b.Stats(); s.State {
	case limit.StateOpen:
		if s.Held != nil {
			return fmt.Sprintf("open since %s, kept open until %s: %s", s.Since.UTC().Format(time.RFC3339), s.Held.Until.UTC().Format(time.RFC3339), s.Held.Cause)
		}
		return fmt.Sprintf("open since %s, next probe in %s: %s", s.Since.UTC().Format(time.RFC3339), limit.RoundUp(s.OpenFor), s.Cause)
	case limit.StateHalfOpen:
		return "half-open, opened by: " + s.Cause
	default:
		text := fmt.Sprintf("closed, %d of %d calls failed", s.Failures, s.Calls)
		if s.Held != nil {
			text += fmt.Sprintf(", kept closed until %s: %s", s.Held.Until.UTC().Format(time.RFC3339), s.Held.Cause)
		}
		return text
	}
}

// keysInShort returns how many keys have a bucket, and how many calls did not have one of their own.
func keysInShort(n *limit.LimiterStats, maximum int) string {
	text := fmt.Sprintf("%d of %d keys", n.Keys, maximum)
	if n.Overflow > 0 {
		text += fmt.Sprintf(", %d calls beyond them shared a bucket", n.Overflow)
	}
	if n.MissingKey > 0 {
		text += fmt.Sprintf(", %d calls without the key", n.MissingKey)
	}
	return text
}

// candidate is a rule that matches a method.
type candidate struct {
	rule *rule
	rank rank
}

// compareCandidates orders the narrowest first, and equally narrow ones by name, which is the same on every host.
func compareCandidates(a, b candidate) int {
	if n := compareRanks(a.rank, b.rank); n != 0 {
		return n
	}
	return strings.Compare(a.rule.name, b.rule.name)
}

// index finds the rules for a method. Most rules name their service or their upstream, and are found by it.
type index struct {
	named map[string][]*rule
	wide  []*rule
}

// newIndexes returns the index of the rules for incoming calls, by service, and for outgoing calls, by upstream.
func newIndexes(rules []*rule) (inbound, outbound index) {
	for _, r := range rules {
		if r.clientSide() {
			outbound.add(r, r.upstreams)
		} else {
			inbound.add(r, r.services)
		}
	}
	return inbound, outbound
}

func (x *index) add(r *rule, by []glob) {
	if !allExact(by) {
		x.wide = append(x.wide, r)
		return
	}
	if x.named == nil {
		x.named = make(map[string][]*rule)
	}
	for _, g := range by {
		if list := x.named[g.text]; len(list) == 0 || list[len(list)-1] != r {
			x.named[g.text] = append(list, r)
		}
	}
}

func (x *index) empty() bool { return len(x.named)+len(x.wide) == 0 }

// match returns the rules for a method, of an upstream for outgoing calls.
func (x *index) match(t Target, upstream string) (matching []candidate) {
	name := t.Service
	if upstream != "" {
		name = upstream
	}
	for _, rules := range [][]*rule{x.named[name], x.wide} {
		for _, r := range rules {
			if at, ok := r.matchesTarget(t, upstream); ok {
				matching = append(matching, candidate{r, at})
			}
		}
	}
	return matching
}
