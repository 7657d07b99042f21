package policies

import (
	"cmp"
	"fmt"
	"iter"
	"maps"
	"slices"
	"time"

	"github.com/easymicro/easymicro/config"
)

// RuleState is a rule as it stands.
type RuleState struct {
	Name         string          `json:"name"`
	Description  string          `json:"description,omitempty"`
	Mode         config.Mode     `json:"mode"`
	EnforceShare string          `json:"enforce_share,omitempty"`
	Position     config.Position `json:"position"`
	Expires      *time.Time      `json:"expires,omitempty"`
	Expired      bool            `json:"expired,omitempty"`
	Targets      int             `json:"targets"` // methods that it matches; of those known only once they are called, the ones that were
	Kinds        []KindState     `json:"kinds"`
}

// KindState is one kind of a rule as it stands.
type KindState struct {
	Kind      config.Kind     `json:"kind"`
	Position  config.Position `json:"position"`
	Setting   string          `json:"setting"`
	State     string          `json:"state,omitempty"`
	Decisions Decisions       `json:"decisions"` // for all methods
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
			Name: r.name, Description: r.config.Description, Mode: r.mode(), EnforceShare: r.shareText(),
			Position: r.config.Position(""), Expired: r.expired(now), Targets: r.matched(), Kinds: []KindState{},
		}
		if !r.expires.IsZero() {
			state.Expires = &r.expires
		}
		for _, kind := range r.config.Kinds() {
			k := KindState{
				Kind: kind, Position: r.config.Position(string(kind)), Setting: r.setting(kind), State: r.overall(kind),
			}
			for _, d := range r.decided(kind) {
				k.Decisions.add(d)
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
	_, known := r.counts[countsKey{kind, t}]
	return r.state(kind, &subject{target: t, late: !known, counted: t}, cmp.Or(caller, Anonymous))
}

// Limiters are the rate limiters of all rules that are not off.
func (s *Snapshot) Limiters() iter.Seq[LimiterStats] {
	return func(yield func(LimiterStats) bool) {
		for _, r := range s.live() {
			if r.limiter == nil {
				continue
			}
			stats := r.limiter.stats()
			stats.Rule, stats.Mode = r.name, r.mode()
			if !yield(stats) {
				return
			}
		}
	}
}

// Breakers are the circuit breakers of all rules that are not off. The target is Service/Method, the address of an
// endpoint or the name of an upstream, by the scope; the upstream stands before it if the rule is about several.
func (s *Snapshot) Breakers() iter.Seq[BreakerStats] {
	return func(yield func(BreakerStats) bool) {
		for _, r := range s.live() {
			if r.breakerRule == nil {
				continue
			}
			for _, t := range r.targets {
				if b := r.breakers[t]; b != nil && !yield(b.stats()) {
					return
				}
			}
			for _, b := range r.lateBreakers() {
				if !yield(b.stats()) {
					return
				}
			}
		}
	}
}

// lateBreakers are those of what Compile does not know. Those that are left from when it did not are not among them.
func (r *rule) lateBreakers() []*breaker {
	late := r.late.breakersOf(nil)
	if len(late) == 0 {
		return nil
	}
	known := make(map[string]bool, len(r.targets))
	for _, t := range r.targets {
		known[t.String()] = true
	}
	return slices.DeleteFunc(late, func(b *breaker) bool { return b.upstream == "" && known[b.target] })
}

// matched is the number of methods that the rule matches, as far as they are known.
func (r *rule) matched() int {
	known := make(map[Target]bool, len(r.targets))
	for _, t := range r.targets {
		known[t] = true
	}
	for _, t := range r.late.seen() {
		known[t] = true
	}
	return len(known)
}

// Outliers are the endpoints under outlier detection of all rules that are not off.
func (s *Snapshot) Outliers() iter.Seq[OutlierStats] {
	return func(yield func(OutlierStats) bool) {
		for _, r := range s.live() {
			if r.outlier == nil {
				continue
			}
			for _, o := range r.late.outlierStats("") {
				if !yield(o) {
					return
				}
			}
		}
	}
}

func (s *Snapshot) live() []*rule {
	if s == nil {
		return nil
	}
	var live []*rule
	now := time.Now()
	for _, r := range s.rules {
		if !r.off && !r.expired(now) {
			live = append(live, r)
		}
	}
	return live
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
			for t, d := range r.decided(kind) {
				method := t.String()
				yield(r.name, kind, method, "allow", d.Allow)
				yield(r.name, kind, method, "reject", d.Reject)
				yield(r.name, kind, method, "wait", d.Wait)
				yield(r.name, kind, method, "shadow_reject", d.ShadowReject)
			}
		}
	}
}

// decided are the decisions by method.
func (r *rule) decided(kind config.Kind) iter.Seq2[Target, Decisions] {
	return func(yield func(Target, Decisions) bool) {
		for _, t := range r.targets {
			if !yield(t, r.counts[countsKey{kind, t}].decisions()) {
				return
			}
		}
		for _, t := range r.late.seen() {
			if r.counts[countsKey{kind, t}] == nil && !yield(t, r.late.decisions(kind, t)) {
				return
			}
		}
	}
}

// decisionsOf are those about one method.
func (r *rule) decisionsOf(kind config.Kind, of *subject) Decisions {
	if of.late {
		return r.late.decisions(kind, of.counted)
	}
	return r.counts[countsKey{kind, of.target}].decisions()
}

func (r *rule) mode() config.Mode { return cmp.Or(r.config.Mode, config.Enforce) }

func (r *rule) shareText() string {
	if r.config.EnforceShare == nil {
		return ""
	}
	return r.config.EnforceShare.String()
}

// state is that of one kind for a call.
func (r *rule) state(kind config.Kind, of *subject, caller string) string {
	switch {
	case kind == config.KindRateLimit && r.limiter != nil:
		if !r.key.byCaller() {
			return r.overall(kind)
		}
		key := r.key.appendTo(nil, &Call{Caller: caller, target: of.target})
		return fmt.Sprintf("%d of %d tokens", r.limiter.level(key), r.limits.rate.burst)
	case kind == config.KindCircuitBreaker && of.late:
		return r.breakersFor(of)
	case kind == config.KindCircuitBreaker && r.breakers[of.target] != nil:
		return r.breakers[of.target].state()
	case kind == config.KindOutlierDetection && r.outlier != nil:
		return endpointsInShort(r.late.outlierStats(of.upstream))
	case kind == config.KindRetry && r.retry != nil:
		return retriesInShort(r.late.retries(of.upstream))
	}
	return r.overall(kind)
}

// overall is the state of one kind for all calls.
func (r *rule) overall(kind config.Kind) string {
	switch {
	case kind == config.KindRateLimit && r.limiter != nil:
		n := r.limiter.stats()
		if n.Keyed {
			return n.keysInShort(r.limits.maxKeys)
		}
		return fmt.Sprintf("%v of %d tokens", n.Tokens, r.limits.rate.burst)
	case kind == config.KindConcurrency && r.places != nil:
		inFlight, waiting := r.places.counts()
		return fmt.Sprintf("%d of %d in flight, %d of %d queued", inFlight, r.maximum, waiting, r.queue)
	case kind == config.KindCircuitBreaker && r.breakerRule != nil:
		return breakersInShort(slices.AppendSeq(r.lateBreakers(), maps.Values(r.breakers)))
	case kind == config.KindOutlierDetection && r.outlier != nil:
		return endpointsInShort(r.late.outlierStats(""))
	case kind == config.KindRetry && r.retry != nil:
		return retriesInShort(r.late.retries(""))
	}
	return ""
}
