package policies

import (
	"cmp"
	"iter"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/client"
)

// Snapshot is a compiled set of rules. It is immutable and safe for concurrent use; the state of its rules outlives it.
type Snapshot struct {
	activation
	lineage

	revision   int
	host       string
	rules      []*rule
	byName     map[string]*rule
	guards     map[Target]*Guard
	nothing    *Guard // for methods without rules
	neighbours neighbours
	inbound    index // of the rules about calls that come in
	outbound   index // of those about calls that go out

	compiling sync.Mutex                     // held while a guard below is compiled or dropped
	resolved  readMostlyMap[Target, *Guard]  // of services that are not this host's
	calling   readMostlyMap[calling, *Guard] // of methods of upstreams

	clientRules ClientRules
	calls       sync.Pool // of empty *clientCall
}

// Activate applies the limits of the snapshot to the state that it shares with the snapshots before it, so that they apply to
// calls that still run under those, too. Call it right after the swap; otherwise the first call that enters a guard does.
func (s *Snapshot) Activate() {
	if s != nil && !s.active.Load() {
		s.activate()
	}
}

// Guard returns the guard of a method: never nil, except for a nil Snapshot.
func (s *Snapshot) Guard(t Target) *Guard {
	if s == nil {
		return nil
	}
	if g := s.guards[t]; g != nil {
		return g
	}
	return s.nothing
}

// Revision returns the revision that the snapshot was compiled for.
func (s *Snapshot) Revision() int { return s.revision }

// calling is a method of an upstream.
type calling struct {
	upstream string
	target   Target
}

// Resolve returns the guard of a method of this host, or of a service that is reached through it: the latter is compiled on
// first use, and kept. Beyond 10,000 methods guards are compiled for each call, with their own rules, but share breakers and
// counters under the name Other. It is never nil, except for a nil Snapshot.
func (s *Snapshot) Resolve(t Target) *Guard {
	if s == nil {
		return nil
	}
	if g := s.guards[t]; g != nil {
		return g
	}
	if s.inbound.empty() {
		return s.nothing
	}
	if g, ok := s.resolved.find(t); ok {
		return g
	}
	// The name must not keep the message of a peer alive.
	t = Target{Service: strings.Clone(t.Service), Method: strings.Clone(t.Method)}
	of := subject{target: t, counted: t}
	if s.resolved.full(maxFound) {
		of.counted = Target{Method: Other}
	}
	s.compiling.Lock()
	defer s.compiling.Unlock()
	return s.resolved.add(t, s.compile(&of, s.inbound.match(t, "")), maxFound)
}

// guardOf returns the guard of a method of an upstream.
func (s *Snapshot) guardOf(upstream, service, method string) *Guard {
	key := calling{upstream: upstream, target: Target{Service: service, Method: method}}
	if g, ok := s.calling.find(key); ok {
		return g
	}
	key = calling{upstream: strings.Clone(upstream), target: Target{Service: strings.Clone(service), Method: strings.Clone(method)}}
	of := subject{target: key.target, upstream: key.upstream, counted: key.target}
	if s.calling.full(maxFound) {
		of.counted = Target{Method: Other}
	}
	s.compiling.Lock() // until it is added: a later guard must not hold what forget drops
	defer s.compiling.Unlock()
	return s.calling.add(key, s.compile(&of, s.outbound.match(of.target, of.upstream)), maxFound)
}

// compile returns the guard of a method that rules match. Once the snapshot is shared, the caller holds compiling.
func (s *Snapshot) compile(of *subject, matching []candidate) *Guard {
	if len(matching) == 0 {
		return s.nothing
	}
	return newGuard(&s.activation, s.host, of, matching)
}

// Explain returns which rules apply to a call of caller (empty: anonymous) from peer (zero: unknown), in evaluation order,
// and why other rules for the method do not.
func (s *Snapshot) Explain(t Target, caller string, peer netip.Addr) Explanation {
	c := &Call{Caller: cmp.Or(caller, Anonymous), Peer: peer.Unmap()}
	x := Explanation{Service: t.Service, Method: t.Method, Caller: c.Caller, Kinds: []KindExplanation{}}
	if peer.IsValid() {
		x.Peer = c.Peer.String()
	}
	if s == nil {
		return x
	}
	matching := s.Guard(t).matching
	of := subject{target: t, counted: t}
	if s.guards[t] == nil && s.neighbours.remote != nil && s.neighbours.remote(t.Service) {
		matching = s.inbound.match(t, "")
	}
	x.Revision = s.revision
	explain(&x, config.ServerKinds(), withExcepted(s.rules, matching, &of), &of, c)
	return x
}

// ExplainUpstream returns which client-side rules apply to a call of caller (empty: anonymous) to a method of an upstream, in
// evaluation order, and why others do not.
func (s *Snapshot) ExplainUpstream(upstream, service, method, caller string) Explanation {
	c := &Call{Caller: cmp.Or(caller, Anonymous)}
	x := Explanation{Upstream: upstream, Service: service, Method: method, Caller: c.Caller, Kinds: []KindExplanation{}}
	if s == nil {
		return x
	}
	t := Target{Service: service, Method: method}
	of := subject{target: t, upstream: upstream, counted: t}
	x.Revision = s.revision
	explain(&x, config.ClientKinds(), withExcepted(s.rules, s.outbound.match(t, upstream), &of), &of, c)
	return x
}

// KeyText returns the key under which the rate limit of a rule counts a call of a method, as readable text:
// "caller=web, metadata.tenant=acme". It is empty for a rule without a key. Different keys have different texts.
// A value that is long or not printable is shortened, and one that may be a secret is hidden; a hash distinguishes them.
func (s *Snapshot) KeyText(rule string, t Target, c *Call) string {
	if s == nil || s.byName[rule] == nil {
		return ""
	}
	if l := s.byName[rule].config.RateLimit; l != nil && len(l.Key) > 0 {
		return keyText(l.Key, t, c)
	}
	return ""
}

// Rules returns all rules with their state, in the order of the set.
func (s *Snapshot) Rules() []RuleState {
	states := []RuleState{}
	if s == nil {
		return states
	}
	now := time.Now()
	for _, r := range s.rules {
		state := RuleState{
			Name: r.name, Description: r.config.Description, Mode: r.mode, EnforceShare: r.shareText(),
			Position: r.config.Position("").String(), Expires: r.expires, Expired: r.expired(now),
			Targets: len(r.store.targets(&r.spec, &r.added)), Kinds: []KindState{},
		}
		for _, kind := range r.config.Kinds() {
			k := KindState{
				Kind: kind, Position: r.config.Position(string(kind)).String(), Setting: settingOf(&r.spec, kind), State: r.state(kind),
			}
			for _, t := range r.store.targets(&r.spec, &r.added) {
				k.Decisions.add(r.store.decisions(&r.added, kind, t))
			}
			state.Kinds = append(state.Kinds, k)
		}
		states = append(states, state)
	}
	return states
}

// State describes the state of one kind of a rule: "0 of 1000 tokens", "open since …". It is empty for kinds without state.
func (s *Snapshot) State(rule string, kind config.Kind, t Target, caller string) string {
	if s == nil || s.byName[rule] == nil {
		return ""
	}
	return s.byName[rule].stateFor(kind, &subject{target: t, counted: t}, cmp.Or(caller, Anonymous))
}

// live returns the rules that are neither off nor expired.
func (s *Snapshot) live() []*rule {
	if s == nil {
		return nil
	}
	now := time.Now()
	var live []*rule
	for _, r := range s.rules {
		if !r.off && !r.expired(now) {
			live = append(live, r)
		}
	}
	return live
}

// Limiters returns the rate limiters of all rules that are not off.
func (s *Snapshot) Limiters() iter.Seq[LimiterStats] {
	return func(yield func(LimiterStats) bool) {
		for _, r := range s.live() {
			if r.limiter == nil {
				continue
			}
			if !yield(r.limiterStats()) {
				return
			}
		}
	}
}

// Breakers returns the circuit breakers of all rules that are not off. Depending on the scope, the target is Service/Method,
// the address of an endpoint or the name of an upstream, after the name of the upstream if the rule is for several.
func (s *Snapshot) Breakers() iter.Seq[BreakerStats] {
	return func(yield func(BreakerStats) bool) {
		for _, r := range s.live() {
			if r.breaker == nil {
				continue
			}
			for _, b := range r.store.breakersOf(&r.added, nil) {
				if !yield(r.breakerStats(b)) {
					return
				}
			}
		}
	}
}

// Outliers returns the endpoints under outlier detection of all rules that are not off.
func (s *Snapshot) Outliers() iter.Seq[OutlierStats] {
	return func(yield func(OutlierStats) bool) {
		for _, r := range s.live() {
			if r.outlier == nil {
				continue
			}
			for _, o := range r.store.outlierStats("") {
				if !yield(o) {
					return
				}
			}
		}
	}
}

// Decisions yields the counters of each rule and method: allow, reject, wait and shadow_reject. They survive edits. Methods
// of upstreams, and of services that are reached through this host, are included once called; those beyond 10,000 are
// _OTHER.
//
// For calls to upstreams, circuitBreaker of scope endpoint and outlierDetection count endpoints that were used (allow) and
// skipped (reject); retry and hedge count further attempts that were sent (allow) and that the budget prevented (reject).
// shadow_reject counts what they would have rejected.
func (s *Snapshot) Decisions(yield func(rule string, kind config.Kind, method, decision string, n uint64)) {
	if s == nil {
		return
	}
	for _, r := range s.rules {
		for _, kind := range r.config.Kinds() {
			for _, t := range r.store.targets(&r.spec, &r.added) {
				d, method := r.store.decisions(&r.added, kind, t), t.String()
				yield(r.name, kind, method, "allow", d.Allow)
				yield(r.name, kind, method, "reject", d.Reject)
				yield(r.name, kind, method, "wait", d.Wait)
				yield(r.name, kind, method, "shadow_reject", d.ShadowReject)
			}
		}
	}
}

// Unmatched returns warnings about rules that match no target, or no upstream, with the name that was probably meant.
func (s *Snapshot) Unmatched() config.Problems {
	if s == nil {
		return nil
	}
	return s.neighbours.unmatched(s.rules, slices.Collect(maps.Keys(s.guards)))
}

// ClientRules returns the client-side rules of the snapshot.
func (s *Snapshot) ClientRules() *ClientRules {
	if s == nil {
		return nil
	}
	if s.clientRules.current.Load() == nil {
		s.clientRules.current.Store(s)
	}
	return &s.clientRules
}

// endpointsChanged drops the state of endpoints that are gone.
func (s *Snapshot) endpointsChanged(c client.Change) {
	for _, r := range s.rules {
		if r.clientSide() {
			r.store.keep(c)
		}
	}
	if c.Over {
		s.forget(c.Upstream)
	}
}

// forget drops the state of an upstream, and the guards that have it.
func (s *Snapshot) forget(upstream string) {
	s.compiling.Lock()
	defer s.compiling.Unlock()
	for _, r := range s.rules {
		if r.clientSide() {
			r.store.forget(upstream)
		}
	}
	s.calling.drop(func(c calling) bool { return c.upstream == upstream })
}
