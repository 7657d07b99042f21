package policies

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strings"
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
	Targets      int             `json:"targets"` // methods that it matches
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
			Position: r.config.Position(""), Expired: r.expired(now), Targets: len(r.targets), Kinds: []KindState{},
		}
		if !r.expires.IsZero() {
			state.Expires = &r.expires
		}
		for _, kind := range r.config.Kinds() {
			k := KindState{
				Kind: kind, Position: r.config.Position(string(kind)), Setting: r.setting(kind), State: r.overall(kind),
			}
			for _, t := range r.targets {
				k.Decisions.add(r.counts[countsKey{kind, t}].decisions())
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
	return s.byName[rule].state(kind, t, cmp.Or(caller, Anonymous))
}

// Limiters are the rate limiters of all rules that are not off.
func (s *Snapshot) Limiters() iter.Seq[LimiterStats] {
	return func(yield func(LimiterStats) bool) {
		for _, r := range s.live() {
			if r.limiter == nil {
				continue
			}
			stats := r.limiter.stats()
			stats.Rule = r.name
			if !yield(stats) {
				return
			}
		}
	}
}

// Breakers are the circuit breakers of all rules that are not off.
func (s *Snapshot) Breakers() iter.Seq[BreakerStats] {
	return func(yield func(BreakerStats) bool) {
		for _, r := range s.live() {
			for _, t := range r.targets {
				if b := r.breakers[t]; b != nil && !yield(b.stats()) {
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
// counters survive edits.
func (s *Snapshot) Decisions(yield func(rule string, kind config.Kind, method, decision string, n uint64)) {
	if s == nil {
		return
	}
	for _, r := range s.rules {
		for _, kind := range r.config.Kinds() {
			for _, t := range r.targets {
				d, method := r.counts[countsKey{kind, t}].decisions(), t.String()
				yield(r.name, kind, method, "allow", d.Allow)
				yield(r.name, kind, method, "reject", d.Reject)
				yield(r.name, kind, method, "wait", d.Wait)
				yield(r.name, kind, method, "shadow_reject", d.ShadowReject)
			}
		}
	}
}

func (r *rule) mode() config.Mode { return cmp.Or(r.config.Mode, config.Enforce) }

func (r *rule) shareText() string {
	if r.config.EnforceShare == nil {
		return ""
	}
	return r.config.EnforceShare.String()
}

// state is that of one kind for a call.
func (r *rule) state(kind config.Kind, t Target, caller string) string {
	switch {
	case kind == config.KindRateLimit && r.limiter != nil:
		if r.key != keyNone && r.key != keyCaller {
			return r.overall(kind)
		}
		return fmt.Sprintf("%d of %d tokens", r.limiter.level(r.key.key(&Call{Caller: caller})), r.limits.rate.burst)
	case kind == config.KindCircuitBreaker && r.breakers[t] != nil:
		return r.breakers[t].state()
	}
	return r.overall(kind)
}

// overall is the state of one kind for all calls.
func (r *rule) overall(kind config.Kind) string {
	switch {
	case kind == config.KindRateLimit && r.limiter != nil:
		n := r.limiter.stats()
		if n.Keyed {
			return fmt.Sprintf("%d of %d keys, %d forgotten", n.Keys, r.limits.maxKeys, n.Evictions)
		}
		return fmt.Sprintf("%v of %d tokens", n.Tokens, r.limits.rate.burst)
	case kind == config.KindConcurrency && r.places != nil:
		inFlight, waiting := r.places.counts()
		return fmt.Sprintf("%d of %d in flight, %d of %d queued", inFlight, r.maximum, waiting, r.queue)
	case kind == config.KindCircuitBreaker && r.breakers != nil:
		return r.breakersInShort()
	}
	return ""
}

func (r *rule) breakersInShort() string {
	var open []string
	for _, b := range r.breakers {
		if n := b.stats(); n.State != phaseNames[phaseClosed] {
			open = append(open, n.Target+" "+strings.ReplaceAll(n.State, "_", "-"))
		}
	}
	if len(open) == 0 {
		return "closed"
	}
	slices.Sort(open)
	return strings.Join(open, ", ")
}
