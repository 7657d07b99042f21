package policies

import (
	"cmp"
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

	compiling sync.Mutex  // held while a guard below is compiled or dropped
	resolved  foundGuards // of methods of other hosts' services
	calling   foundGuards // of methods of upstreams

	clientRules ClientRules
	calls       sync.Pool // of empty *clientCall
	facts       func() *facts
}

// Activate applies the limits of the snapshot to the state that it shares with the snapshots before it, so that they apply to
// calls that still run under those, too. Call it right after the swap; otherwise the first call that enters a guard does.
func (s *Snapshot) Activate() {
	if s != nil {
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
	return s.found(&s.resolved, &s.inbound, calling{target: t})
}

// guardOf returns the guard of a method of an upstream.
func (s *Snapshot) guardOf(upstream, service, method string) *Guard {
	return s.found(&s.calling, &s.outbound, calling{upstream, Target{service, method}})
}

// found returns the guard of a method from guards, or compiles it with rules.
func (s *Snapshot) found(guards *foundGuards, rules *index, key calling) *Guard {
	if g, ok := guards.find(key); ok {
		return g
	}
	// The names must not keep the message of a peer alive.
	key = calling{strings.Clone(key.upstream), Target{strings.Clone(key.target.Service), strings.Clone(key.target.Method)}}
	of := subject{target: key.target, upstream: key.upstream, counted: key.target}
	if guards.full() {
		of.counted = Target{Method: Other}
	}
	s.compiling.Lock() // until it is added: a later guard must not hold what forget drops
	defer s.compiling.Unlock()
	return guards.add(key, s.compile(&of, rules.match(of.target, of.upstream)))
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
	return s.ExplainCall(t, &Call{Caller: caller, Peer: peer})
}

// ExplainCall is Explain for a call of which more may be known: the claims of its caller.
func (s *Snapshot) ExplainCall(t Target, c *Call) Explanation {
	return explain(s, &subject{target: t, counted: t}, &Call{Caller: cmp.Or(c.Caller, Anonymous), Claims: c.Claims, Peer: c.Peer.Unmap()})
}

// ExplainUpstream returns which client-side rules apply to a call of caller (empty: anonymous) to a method of an upstream, in
// evaluation order, and why others do not.
func (s *Snapshot) ExplainUpstream(upstream, service, method, caller string) Explanation {
	t := Target{Service: service, Method: method}
	return explain(s, &subject{target: t, upstream: upstream, counted: t}, &Call{Caller: cmp.Or(caller, Anonymous)})
}

// Meet returns the rules that apply to incoming calls. It evaluates none of them, and changes no state.
func (s *Snapshot) Meet(calls *Calls) Meeting { return newMeeting(s.Resolve(calls.Target), calls) }

// Intends reports whether refusals by a rule are meant for those very callers or peers, or are never a reason to roll back.
func (s *Snapshot) Intends(rule string, kind config.Kind, calls *Calls) bool {
	r := s.byName[rule]
	return r != nil && r.intends(kind, calls.Method, calls.Caller, calls.Peer.Unmap())
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
		state.Status, state.Detail = s.facts().status(r, r.config.Kinds(), now)
		for _, kind := range r.config.Kinds() {
			k := KindState{
				Kind: kind, Position: r.config.Position(string(kind)).String(), Setting: settingOf(&r.spec, kind), State: r.state(kind, ""),
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

// Statuses calls yield with the status of each rule.
func (s *Snapshot) Statuses(yield func(rule string, mode config.Mode, status string)) {
	if s == nil {
		return
	}
	now := time.Now()
	for _, r := range s.rules {
		status, _ := s.facts().status(r, r.config.Kinds(), now)
		yield(r.name, r.mode, status)
	}
}

// Alters reports whether a kind of a rule that may be asked, in shadow too, is new or differs from old.
func (s *Snapshot) Alters(old *Snapshot) bool {
	before := predecessors(s.rules, old)
	return slices.ContainsFunc(s.live(), func(r *rule) bool {
		was := before[r]
		return !s.facts().idle[r] && slices.ContainsFunc(r.config.Kinds(), func(kind config.Kind) bool {
			return was == nil || was.off || !config.Same(was.config, r.config, kind)
		})
	})
}

// Broken returns the kinds of rules that have panicked.
func (s *Snapshot) Broken() (list []Broken) {
	if s == nil {
		return nil
	}
	for _, r := range s.rules {
		for _, kind := range r.config.Kinds() {
			if p := r.health[kind].Panic(); p != nil {
				list = append(list, r.brokenBy(kind, p))
			}
		}
	}
	return list
}

// IsBroken reports whether a kind of a rule has panicked.
func (s *Snapshot) IsBroken(rule string, kind config.Kind) bool {
	return s != nil && s.byName[rule] != nil && s.byName[rule].isBroken(kind)
}

// State describes the state of one kind of a rule: "0 of 1000 tokens", "open since …". It is empty for kinds without state.
func (s *Snapshot) State(rule string, kind config.Kind, t Target, caller string) string {
	if s == nil || s.byName[rule] == nil {
		return ""
	}
	return s.byName[rule].stateFor(kind, &subject{target: t, counted: t}, &Call{Caller: cmp.Or(caller, Anonymous)})
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

// Limiters returns the rate limiters of all rules that are neither off nor broken.
func (s *Snapshot) Limiters() (list []LimiterStats) {
	for _, r := range s.live() {
		if r.limiter != nil && !r.isBroken(config.KindRateLimit) {
			n := r.limiter.Stats()
			list = append(list, LimiterStats{r.name, r.mode, n.Keyed, n.Tokens, n.Burst, n.Keys, n.Overflow, n.MissingKey})
		}
	}
	return list
}

// AdaptiveLimits returns the concurrency limits that adapt, of all rules that are neither off nor broken.
func (s *Snapshot) AdaptiveLimits() (list []AdaptiveLimit) {
	for _, r := range s.live() {
		if r.adaptive != nil && !r.isBroken(config.KindConcurrency) {
			list = append(list, AdaptiveLimit{r.name, r.mode, r.adaptive.Limit()})
		}
	}
	return list
}

// Sheds reports whether a rule that is neither off nor expired needs the CPU utilization.
func (s *Snapshot) Sheds() bool {
	return slices.ContainsFunc(s.live(), func(r *rule) bool { return r.config.Shed != nil })
}

// Load returns the CPU utilization, if a rule needs it and it is measured.
func (s *Snapshot) Load() (load Load, ok bool) {
	if !s.Sheds() || s.meter.cpu == nil {
		return Load{}, false
	}
	load = s.meter.cpu()
	return load, load.Cores > 0
}

// Breakers returns the circuit breakers of all rules that are neither off nor broken. Depending on the scope, the target is
// Service/Method, the address of an endpoint or the name of an upstream, after the name of the upstream if the rule is for several.
func (s *Snapshot) Breakers() (list []BreakerStats) {
	for _, r := range s.live() {
		if r.breaker == nil || r.isBroken(config.KindCircuitBreaker) {
			continue
		}
		for _, b := range r.store.breakersOf(&r.added, nil) {
			list = append(list, breakerStats(r, b))
		}
	}
	return list
}

// ResetBreakers closes the breakers of a rule that which selects by their target, for a reason, and has them forget what they have
// counted, unless they are held.
func (s *Snapshot) ResetBreakers(rule, why string, which func(target string) bool) {
	r := s.byName[rule]
	for _, b := range r.store.breakersOf(&r.added, nil) {
		if which(b.Name()) {
			b.Reset(why)
			b.Notify()
		}
	}
}

// Outliers returns the endpoints under outlier detection of all rules that are neither off nor broken.
func (s *Snapshot) Outliers() (list []OutlierStats) {
	for _, r := range s.live() {
		if r.outlier != nil && !r.isBroken(config.KindOutlierDetection) {
			list = append(list, r.store.outlierStats("")...)
		}
	}
	return list
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

// endpointsChanged drops the state of endpoints that are gone, and of an upstream that is, with its guards.
func (s *Snapshot) endpointsChanged(c client.Change) {
	for _, r := range s.rules {
		if r.clientSide() {
			r.store.keep(c)
		}
	}
	if !c.Over {
		return
	}
	s.compiling.Lock()
	defer s.compiling.Unlock()
	for _, r := range s.rules {
		if r.clientSide() {
			r.store.forget(c.Upstream)
		}
	}
	s.calling.drop(func(of calling) bool { return of.upstream == c.Upstream })
}
