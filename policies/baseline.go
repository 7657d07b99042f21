package policies

import (
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
)

// Baseline decides on calls as the rules of an earlier snapshot would have, to compare a new snapshot with it. It has the
// enforced rules that differ between the two, with copies of their state, and never makes a call wait or go into debt.
type Baseline struct {
	rules   *Snapshot
	next    *Snapshot
	callers bool             // are identified in another way
	changed map[pair]bool    // of next, under all names that a refusal can have
	heirs   map[string]*rule // of next, by the rule of old that applies to the same calls

	outgoing map[*store]map[*limit.Breaker]bool // breakers of rules for calls to upstreams, and whether each was open before
	learned  []*rule                            // for calls to upstreams, of both sides, whose breaker or timeout differs
}

// pair is one kind of a rule.
type pair struct {
	rule string
	kind config.Kind
}

// NewBaseline returns a Baseline of the rules of old that differ in next; changes are those between their sets. callers says that
// callers are identified in another way: then all rules count as different. methods says that methods are gone: then all rules are
// asked about calls of these. before is the Baseline of an earlier edit that was compared with old, and has its tokens; nil: none
// was. NewBaseline returns nil if there is no difference. Call it before next is activated.
func NewBaseline(old, next *Snapshot, changes config.Changes, before *Baseline, callers, methods bool) (*Baseline, error) {
	b := &Baseline{next: next, callers: callers, changed: make(map[pair]bool), heirs: make(map[string]*rule)}
	all := callers || methods
	was, edited := predecessors(next.rules, old), changes.Subjects()
	same := make(map[pair]bool) // of old
	anew := make(map[config.Kind]bool)
	for _, r := range next.rules {
		if w := was[r]; w != nil && (!edited[r.name] || config.SameCalls(w.config, r.config)) {
			b.heirs[w.name] = r
		}
		for _, kind := range r.comparedKinds() {
			if w := was[r]; w != nil && (!edited[r.name] || config.Same(w.config, r.config, kind)) {
				same[pair{w.name, kind}] = true
				continue
			}
			b.changed[pair{r.name, kind}], anew[kind] = true, true
		}
	}
	for _, r := range old.rules {
		for _, kind := range r.comparedKinds() {
			if !same[pair{r.name, kind}] {
				anew[kind] = true
			}
		}
	}
	if len(anew) == 0 && !all {
		return nil, nil //nolint:nilnil // there is nothing to compare
	}
	if anew[config.KindTimeout] {
		anew[config.KindCircuitBreaker] = true // it opens because of other timeouts
	}
	if anew[config.KindPriority] || anew[config.KindShed] { // it refuses other calls because of other priorities
		anew[config.KindPriority], anew[config.KindShed] = true, true
	}
	var rules []config.Rule
	for _, r := range old.rules {
		var kinds []config.Kind
		for _, kind := range r.comparedKinds() {
			// All rules of a kind take part if it has no state, or if one of them wins.
			if all || !same[pair{r.name, kind}] || anew[kind] && (kind == config.KindShed || !kind.ByNumber()) {
				kinds = append(kinds, kind)
			}
		}
		if len(kinds) > 0 {
			rules = append(rules, config.ForBaseline(r.config, kinds))
		}
	}
	for _, kind := range [...]config.Kind{config.KindTimeout, config.KindCircuitBreaker, config.KindShed} {
		for _, r := range next.rules {
			if anew[kind] && slices.Contains(r.comparedKinds(), kind) {
				b.changed[pair{r.name, kind}] = true // unchanged, but it may decide on other calls
			}
		}
	}
	var targets []Target
	for t := range old.guards {
		targets = append(targets, t)
	}
	var err error
	b.rules, err = Compile(rules, targets, nil, Options{
		Host: old.host, Revision: old.revision, Aliases: old.neighbours.aliases, Upstreams: old.neighbours.upstreams, Remote: old.neighbours.remote,
		CPU: next.meter.cpu, // old may be compiled for the comparison only, without one
	})
	if err != nil {
		return nil, err
	}
	b.copyState(old, before)
	b.noteOutgoing(old, was, before)
	return b, nil
}

// copyState gives the rules the state that those before the edit have, or had before the earlier edit that before is for.
func (b *Baseline) copyState(old *Snapshot, before *Baseline) {
	for _, r := range b.rules.rules {
		was := old.byName[r.name]
		r.copyState(was, b.heirs[r.name])
		breakers := was.store
		if before != nil {
			if earlier := before.rules.byName[r.name]; earlier != nil {
				if r.limiter != nil && earlier.limiter != nil {
					r.limiter = earlier.limiter.Copy()
				}
				if earlier.breaker != nil {
					breakers = earlier.store // those in force may be open because of the earlier edit
				}
			}
		}
		r.copyBreakers(breakers)
	}
}

// noteOutgoing keeps which breakers of calls to upstreams are open before the edit, and which rules may open others.
func (b *Baseline) noteOutgoing(old *Snapshot, was map[*rule]*rule, before *Baseline) {
	for _, r := range b.next.rules {
		w := was[r]
		for _, kind := range [...]config.Kind{config.KindCircuitBreaker, config.KindTimeout} {
			if r.clientSide() && r.enforced && slices.Contains(r.config.Kinds(), kind) && (w == nil || !config.Same(w.config, r.config, kind)) {
				b.learned = append(b.learned, r)
			}
		}
	}
	if before != nil {
		b.outgoing, b.learned = before.outgoing, append(b.learned, before.learned...)
		return
	}
	b.outgoing = make(map[*store]map[*limit.Breaker]bool)
	for _, r := range old.rules {
		if !r.clientSide() || r.breaker == nil {
			continue
		}
		open := make(map[*limit.Breaker]bool)
		for _, of := range r.store.breakersOf(&r.added, nil) {
			open[of.Breaker] = !of.IsClosed()
		}
		b.outgoing[r.store] = open
	}
}

// restore gives the rules of s, which are those of the baseline again, its tokens, and closes the breakers that would not have opened
// under it.
func (b *Baseline) restore(s *Snapshot) {
	for _, r := range b.rules.rules {
		to := s.byName[r.name]
		if to == nil {
			continue
		}
		if r.limiter != nil && to.limiter != nil && slices.Equal(to.key, r.key) && to.limits == r.limits {
			to.limiter.Restore(r.limiter)
		}
		if r.breaker != nil && to.breaker != nil {
			closeBreakers(to.store, func(key breakerKey, _ *limit.Breaker) bool {
				r.store.mu.Lock()
				defer r.store.mu.Unlock()
				of := r.store.breakers[key]
				return of != nil && of.IsClosed()
			})
		}
	}
	for _, r := range s.rules {
		open, known := b.outgoing[r.store]
		if !known || r.breaker == nil {
			continue
		}
		closeBreakers(r.store, func(key breakerKey, of *limit.Breaker) bool {
			return !open[of] && slices.ContainsFunc(b.learned, func(by *rule) bool {
				return by.breaker != nil && by.name == r.name || by.timeout > 0 && matchesAny(by.upstreams, key.upstream)
			})
		})
	}
}

// closeBreakers closes those of the breakers of a rule that which selects.
func closeBreakers(st *store, which func(breakerKey, *limit.Breaker) bool) {
	var list []*limit.Breaker
	add := func(key breakerKey, b *limit.Breaker) {
		if !b.IsClosed() && which(key, b) {
			list = append(list, b)
		}
	}
	st.mu.Lock()
	for key, b := range st.breakers {
		add(key, b)
	}
	for upstream, endpoints := range st.endpoints {
		for _, b := range endpoints.All() {
			add(breakerKey{scope: config.ScopeEndpoint, upstream: upstream}, b)
		}
	}
	st.mu.Unlock()
	for _, b := range list {
		closeAfterRollback(b)
	}
}

// Guard returns the guard of a method under the rules of the baseline.
func (b *Baseline) Guard(t Target) *Guard { return b.rules.Resolve(t) }

// ClientGuard returns the guard of calls to a method of an upstream.
func (b *Baseline) ClientGuard(upstream, service, method string) *Guard {
	return b.rules.guardOf(upstream, service, method)
}

// Touches reports whether a rule that differs applies to calls of a method of this host. only are the names of those to look at, nil: all.
// A nil Baseline has none.
func (b *Baseline) Touches(t Target, only map[string]bool) bool {
	if b == nil {
		return false
	}
	for p := range b.changed {
		if (only == nil || only[p.rule]) && slices.Contains(b.next.byName[p.rule].targets, t) {
			return true
		}
	}
	return slices.ContainsFunc(b.rules.rules, func(r *rule) bool {
		return (only == nil || only[r.name]) && slices.Contains(r.targets, t)
	})
}

// Differs reports whether the refusal of a call by a rule of the new snapshot (name@rN) may come from the difference.
func (b *Baseline) Differs(label string, kind config.Kind) bool {
	name, _, _ := strings.Cut(label, "@")
	return b.callers || b.changed[pair{name, kind}]
}

// Heir returns the rule of the new snapshot that has taken the place of one of the old (name@rN), for the same calls; empty for
// none. Which calls a limit lets through is a matter of chance: one that passes now makes up for one that passed before.
func (b *Baseline) Heir(label string) string {
	old, _, _ := strings.Cut(label, "@")
	if r := b.heirs[old]; r != nil {
		return r.name
	}
	return ""
}

// Intended reports whether the refusal of a call by a rule of the new snapshot (name@rN) is meant for this very caller or peer, or
// the rule is never a reason to roll back.
func (b *Baseline) Intended(label string, kind config.Kind, t Target, c *Call) bool {
	name, _, _ := strings.Cut(label, "@")
	r := b.next.byName[name]
	return r != nil && r.intends(kind, t.Method, c.Caller, c.Peer.Unmap())
}
