package policies

import (
	"cmp"
	"iter"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/client"
)

// Snapshot is a compiled set of rules. It is not changed once made and may be shared; the state of its rules lives on.
type Snapshot struct {
	revision      int
	host          string
	rules         []*rule
	byName        map[string]*rule
	guards        map[Target]*Guard
	nothing       *Guard            // of what is no target
	aliases       map[string]string // to the name of the service
	sink          *sink
	orders        uint64 // given to limiters and semaphores of this snapshot and those before it
	remote        func(service string) bool
	upstreamNames []string // nil: any
	allowed       []glob   // services behind a gateway; nil: any

	inbound   index // of the rules about calls that come in
	outbound  index // of those about calls that go out
	pool      *client.Pool
	upstreams *ClientRules
	resolved  readMostlyMap[Target, *Guard]  // of services that are not this host's
	calling   readMostlyMap[calling, *Guard] // of upstreams
	compiling sync.Mutex                     // held while one of these is made, or forgotten
	flights   sync.Pool                      // of *flight, empty ones

	active     atomic.Bool
	activating sync.Once
	changes    []func()
}

// Activate puts the limits that the snapshot changes into force: they are those of the state that it shares with the
// snapshots before it, so calls that still run under those are held to them, too. Call it right after the swap; else
// the first call that enters one of the guards does it.
func (s *Snapshot) Activate() {
	if s == nil || s.active.Load() {
		return
	}
	s.activating.Do(func() {
		for _, change := range s.changes {
			change()
		}
		s.changes = nil
		s.pool.OnChange(s.endpointsChanged)
		s.active.Store(true)
	})
}

// nextOrder is the place of a new limiter or semaphore in the one order in which calls lock them.
func (s *Snapshot) nextOrder() uint64 {
	s.orders++
	return s.orders
}

// Guard is that of one method. It is never nil, but for a nil Snapshot.
func (s *Snapshot) Guard(t Target) *Guard {
	if s == nil {
		return nil
	}
	if g := s.guards[t]; g != nil {
		return g
	}
	return s.nothing
}

// Revision is the one it was compiled for.
func (s *Snapshot) Revision() int { return s.revision }

// subject is what a guard is made for.
type subject struct {
	target   Target // by which rules match
	upstream string // of calls that go out
	counted  Target // by which it is counted: target, or Other for all beyond the bound
}

// calling is a method of an upstream.
type calling struct {
	upstream string
	target   Target
}

// Resolve is the Guard of a method, of this host or of a service that is reached through it: that of the latter is
// compiled when it is first asked for, and kept. Beyond 10,000 methods the others are compiled for each call, and share
// breakers and counters under the name Other; the rules that hold for them are their own all the same. It is never nil,
// but for a nil Snapshot.
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
	// What a peer sent must not be kept alive by its name.
	t = Target{Service: strings.Clone(t.Service), Method: strings.Clone(t.Method)}
	of := subject{target: t, counted: t}
	if s.resolved.full(maxFound) {
		of.counted = Target{Method: Other}
	}
	s.compiling.Lock()
	defer s.compiling.Unlock()
	return s.resolved.add(t, s.compileLate(of, &s.inbound), maxFound)
}

// guardOf is the guard of a method of an upstream.
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
	s.compiling.Lock() // until it is in: what forget drops must not be in a guard that comes after
	defer s.compiling.Unlock()
	return s.calling.add(key, s.compileLate(of, &s.outbound), maxFound)
}

// compileLate is called with compiling held.
func (s *Snapshot) compileLate(of subject, rules *index) *Guard {
	matching := rules.match(of.target, of.upstream)
	if len(matching) == 0 {
		return s.nothing
	}
	return newGuard(s, of, matching, time.Now())
}

// Explain says which rules decide about a call of caller (empty: anonymous) from peer (zero: unknown), in the order
// asked, and which rules about the method do not, and why.
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
	if s.guards[t] == nil && s.remote != nil && s.remote(t.Service) {
		matching = s.inbound.match(t, "")
	}
	explain(s, &x, serverKinds, withLeftOut(s, matching, &of), &of, c)
	return x
}

// ExplainUpstream says which client-side rules decide about a call of caller (empty: anonymous) to a method of an
// upstream, in the order in which a client asks, and which do not, and why.
func (s *Snapshot) ExplainUpstream(upstream, service, method, caller string) Explanation {
	c := &Call{Caller: cmp.Or(caller, Anonymous)}
	x := Explanation{Upstream: upstream, Service: service, Method: method, Caller: c.Caller, Kinds: []KindExplanation{}}
	if s == nil {
		return x
	}
	t := Target{Service: service, Method: method}
	of := subject{target: t, upstream: upstream, counted: t}
	explain(s, &x, clientKinds, withLeftOut(s, s.outbound.match(t, upstream), &of), &of, c)
	return x
}

// KeyText returns the key under which the rate limit of a rule counts a call of a method, for people:
// "caller=web, metadata.tenant=acme". It is empty for a rule without a key. Two keys have one text only if they are the
// same. Of a value that may be a secret, or is long, or is no text, a mark is shown that tells it from others.
func (s *Snapshot) KeyText(rule string, t Target, c *Call) string {
	if s == nil || s.byName[rule] == nil {
		return ""
	}
	if l := s.byName[rule].config.RateLimit; l != nil && len(l.Key) > 0 {
		return keyText(l.Key, t, c)
	}
	return ""
}

// Rules are all rules, in the order of the set, each with its state.
func (s *Snapshot) Rules() []RuleState {
	states := []RuleState{}
	if s == nil {
		return states
	}
	now := time.Now()
	for _, r := range s.rules {
		state := RuleState{
			Name: r.name, Description: r.config.Description, Mode: r.mode, EnforceShare: r.shareText(),
			Position: r.config.Position("").String(), Expires: r.expires, Expired: r.expired(now), Targets: len(r.store.targets(r)), Kinds: []KindState{},
		}
		for _, kind := range r.config.Kinds() {
			k := KindState{
				Kind: kind, Position: r.config.Position(string(kind)).String(), Setting: settingOf(r, kind), State: overallState(r, kind),
			}
			for _, t := range r.store.targets(r) {
				k.Decisions.add(r.store.decisions(r, kind, t))
			}
			state.Kinds = append(state.Kinds, k)
		}
		states = append(states, state)
	}
	return states
}

// State is the live state of one kind of a rule, for people: "0 of 1000 tokens", "open since …". It is empty for what
// has none.
func (s *Snapshot) State(rule string, kind config.Kind, t Target, caller string) string {
	if s == nil || s.byName[rule] == nil {
		return ""
	}
	r := s.byName[rule]
	return stateFor(r, kind, &subject{target: t, counted: t}, cmp.Or(caller, Anonymous))
}

// Limiters are the rate limiters of all rules that are not off.
func (s *Snapshot) Limiters() iter.Seq[LimiterStats] {
	return func(yield func(LimiterStats) bool) {
		for _, r := range liveRules(s) {
			if r.limiter == nil {
				continue
			}
			if !yield(limiterStats(r)) {
				return
			}
		}
	}
}

// Breakers are the circuit breakers of all rules that are not off. The target is Service/Method, the address of an
// endpoint or the name of an upstream, by the scope; the upstream stands before it if the rule is about several.
func (s *Snapshot) Breakers() iter.Seq[BreakerStats] {
	return func(yield func(BreakerStats) bool) {
		for _, r := range liveRules(s) {
			if r.breaker == nil {
				continue
			}
			for _, b := range r.store.breakersOf(r, nil) {
				if !yield(breakerStats(r, b)) {
					return
				}
			}
		}
	}
}

// Outliers are the endpoints under outlier detection of all rules that are not off.
func (s *Snapshot) Outliers() iter.Seq[OutlierStats] {
	return func(yield func(OutlierStats) bool) {
		for _, r := range liveRules(s) {
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

// Decisions yields how often each rule decided what about which method: allow, reject, wait or shadow_reject. The
// counters survive edits. Methods of upstreams, and of services that are reached through this host, stand among them
// once they were called; beyond 10,000 they are _OTHER.
//
// Of calls that go out, circuitBreaker of scope endpoint and outlierDetection count endpoints that were used (allow) and
// passed over (reject); retry and hedge count attempts beyond the first that were sent (allow) and that the budget
// forbade (reject). shadow_reject is what they would have done.
func (s *Snapshot) Decisions(yield func(rule string, kind config.Kind, method, decision string, n uint64)) {
	if s == nil {
		return
	}
	for _, r := range s.rules {
		for _, kind := range r.config.Kinds() {
			for _, t := range r.store.targets(r) {
				d, method := r.store.decisions(r, kind, t), t.String()
				yield(r.name, kind, method, "allow", d.Allow)
				yield(r.name, kind, method, "reject", d.Reject)
				yield(r.name, kind, method, "wait", d.Wait)
				yield(r.name, kind, method, "shadow_reject", d.ShadowReject)
			}
		}
	}
}

// Unmatched are warnings about rules that match no target, or no upstream, with what was probably meant.
func (s *Snapshot) Unmatched() config.Problems {
	if s == nil {
		return nil
	}
	known := make(map[string][]string) // methods by service
	for t := range s.guards {
		known[t.Service] = append(known[t.Service], t.Method)
	}
	var problems config.Problems
	for _, r := range s.rules {
		switch {
		case r.clientSide():
			if p, idle := noUpstream(s, r); idle {
				problems = append(problems, p)
			}
		case len(r.targets) == 0 && !mayBeRemote(s, r):
			if leftOut(s, r) {
				problems = append(problems, r.warning("match.except", "leaves out every method of this host that the rule matches: rule "+r.name+" does nothing here"))
				continue
			}
			p, isAlias := namesAlias(r, s.aliases)
			if !isAlias {
				suggest := len(problems) < mostSuggestions
				p = unmatchedBy(r, known, suggest)
				for i := 0; suggest && i < len(r.services) && p.Suggestion == ""; i++ {
					p.Suggestion = config.Suggest(r.services[i].text, allowedNames(s))
				}
			}
			problems = append(problems, p)
		}
	}
	return problems
}

// ClientRules are the client-side rules of the snapshot.
func (s *Snapshot) ClientRules() *ClientRules {
	if s == nil {
		return nil
	}
	return s.upstreams
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
