package policies

import "slices"

// predecessors finds the rule of prev that each rule goes on from: the one of its name, or the one that it was, unless
// that name is still in use.
func predecessors(rules []*rule, prev *Snapshot) map[*rule]*rule {
	if prev == nil {
		return nil
	}
	names := make(map[string]bool, len(rules))
	for _, r := range rules {
		names[r.name] = true
	}
	old := make(map[*rule]*rule, len(rules))
	for _, r := range rules {
		was := r.config.Was
		switch {
		case prev.byName[r.name] != nil:
			old[r] = prev.byName[r.name]
		case was != "" && !names[was] && prev.byName[was] != nil:
			old[r] = prev.byName[was]
			names[was] = true
		}
	}
	return old
}

// inherit gives r the state of old (nil: none), kind by kind, or a new one. Rules that are off or in shadow have state,
// too. It returns what has to happen to that state when the snapshot comes into force.
func (r *rule) inherit(old *rule, s *Snapshot) (changes []func()) {
	if old == nil || old.clientSide() != r.clientSide() {
		old = new(rule) // calls that go out have nothing to do with those that come in
	}
	changes = append(changes, r.inheritLimiter(old, s)...)
	changes = append(changes, r.inheritPlaces(old, s)...)
	changes = append(changes, r.inheritBreakers(old, s.transitions)...)
	changes = append(changes, r.inheritLate(old, s)...)
	r.inheritCounts(old)
	return changes
}

func (r *rule) inheritLimiter(old *rule, s *Snapshot) []func() {
	switch {
	case r.limits.isZero():
		return nil
	case old.limiter == nil || !slices.Equal(old.key, r.key):
		// Other keys have nothing to do with the old ones.
		r.limiter = newLimiter(r, s.nextOrder(), s.transitions)
		return nil
	}
	r.limiter = old.limiter
	return []func(){func() { r.limiter.adopt(r) }}
}

func (r *rule) inheritPlaces(old *rule, s *Snapshot) []func() {
	if r.config.Concurrency == nil {
		return nil
	}
	if old.places == nil {
		r.places = newPlaces(r.maximum, r.queue, s.nextOrder())
		return nil
	}
	r.places = old.places
	if old.maximum == r.maximum && old.queue == r.queue {
		return nil
	}
	return []func(){func() { r.places.adopt(r.maximum, r.queue) }}
}

func (r *rule) inheritBreakers(old *rule, h *hub) []func() {
	if r.breakerRule == nil {
		return nil
	}
	if old.breakerRule != nil && *old.breakerRule == *r.breakerRule {
		r.breakerRule = old.breakerRule
	}
	var changes []func()
	r.breakers = make(map[Target]*breaker, len(r.targets))
	for _, t := range r.targets {
		b := old.breakers[t]
		if b == nil {
			r.breakers[t] = newBreaker(t.String(), r.breakerRule, h)
			continue
		}
		r.breakers[t] = b
		if old.breakerRule != r.breakerRule {
			changes = append(changes, func() { b.adopt(r.breakerRule) })
		}
	}
	return changes
}

// inheritLate takes over what grew while calls came. What of it a later snapshot has no use for is dropped once that is
// in force.
func (r *rule) inheritLate(old *rule, s *Snapshot) []func() {
	if old.late == nil {
		r.late = newLate(r, s)
		return nil
	}
	r.late = old.late
	return []func(){func() { r.late.adopt(r) }}
}

func (r *rule) inheritCounts(old *rule) {
	kinds := r.config.Kinds()
	r.counts = make(map[countsKey]*counts, len(kinds)*len(r.targets))
	for _, kind := range kinds {
		for _, t := range r.targets {
			key := countsKey{kind, t}
			n := old.counts[key]
			if n == nil {
				n = new(counts)
			}
			r.counts[key] = n
		}
	}
}
