package policies

import (
	"slices"
	"time"

	"github.com/easymicro/easymicro/policies/limit"
)

// BreakerHold keeps breakers of a rule open or closed, whatever the calls return. It ends in time by itself; breakers that it kept
// open are half-open then.
type BreakerHold struct {
	Rule   string
	Target string // as BreakerStats has it; empty: all breakers of the rule that no other hold names
	Open   bool
	Until  time.Time
	Cause  string // of the transition
}

// holdsOf returns the holds of breakers of a rule; nil: none.
func holdsOf(list []BreakerHold, rule string) []BreakerHold {
	var of []BreakerHold
	for _, h := range list {
		if h.Rule == rule {
			of = append(of, h)
		}
	}
	return of
}

// holdOf returns the hold of a breaker; nil: none.
func holdOf(list *[]BreakerHold, name string) *limit.Hold {
	if list == nil {
		return nil
	}
	i := slices.IndexFunc(*list, func(h BreakerHold) bool { return h.Target == name })
	if i < 0 {
		i = slices.IndexFunc(*list, func(h BreakerHold) bool { return h.Target == "" })
	}
	if i < 0 {
		return nil
	}
	h := (*list)[i]
	return &limit.Hold{Open: h.Open, Until: h.Until, Cause: h.Cause}
}

// namedBreaker is a breaker with its upstream.
type namedBreaker struct {
	*limit.Breaker
	upstream string
}

// breakerStats returns the state of a breaker of a rule.
func breakerStats(r *rule, b namedBreaker) BreakerStats {
	n := b.Stats()
	v := BreakerStats{
		Rule: r.name, Mode: r.mode, Upstream: b.upstream, Target: b.Name(), State: n.State, Since: n.Since, OpenFor: n.OpenFor, Cause: n.Cause,
		Transitions: n.Transitions, Calls: n.Calls, Failures: n.Failures, Probing: n.Probing, Probes: n.Probes, Outcomes: n.Last,
		LastFailure: n.LastFailure,
	}
	if n.OpenFor > 0 {
		v.OpenUntil = time.Now().Add(n.OpenFor).Round(0)
	}
	if n.Held != nil {
		v.HeldUntil, v.HeldBy = n.Held.Until, n.Held.Cause
	}
	return v
}
