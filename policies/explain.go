package policies

import (
	"slices"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// explain is the Explain of a snapshot, which may be nil.
func explain(s *Snapshot, of *subject, c *Call) Explanation {
	t := of.target
	x := Explanation{Upstream: of.upstream, Service: t.Service, Method: t.Method, Caller: c.Caller, Kinds: []KindExplanation{}}
	if c.Peer.IsValid() {
		x.Peer = c.Peer.String()
	}
	x.Identity = c.Claims
	if s == nil {
		return x
	}
	x.Revision = s.revision
	kinds, matching := config.ServerKinds(), s.Guard(t).matching
	switch {
	case of.upstream != "":
		kinds, matching = config.ClientKinds(), s.outbound.match(t, of.upstream)
	case s.guards[t] == nil && s.neighbours.remote != nil && s.neighbours.remote(t.Service):
		matching = s.inbound.match(t, "")
	}
	matching = withExcepted(s.rules, matching, of)
	for _, kind := range kinds {
		k := explainKind(kind, matching, of, c)
		if len(k.Applies)+len(k.Losers) == 0 {
			continue
		}
		for i := range k.Applies {
			a := &k.Applies[i]
			a.Status, a.Detail = s.facts().status(s.byName[a.Rule], []config.Kind{kind}, time.Now())
		}
		x.Kinds = append(x.Kinds, k)
	}
	return x
}

// withExcepted adds the rules that would match a method but for their exceptions.
func withExcepted(rules []*rule, matching []candidate, of *subject) []candidate {
	matching = slices.Clone(matching)
	for _, r := range rules {
		if len(r.except) == 0 || r.clientSide() != (of.upstream != "") || !r.leavesOut(of.target, of.upstream) {
			continue
		}
		if at, ok := r.names(of.target, of.upstream); ok {
			matching = append(matching, candidate{r, at})
		}
	}
	return matching
}

func explainKind(kind config.Kind, matching []candidate, of *subject, c *Call) KindExplanation {
	k := KindExplanation{Kind: kind, Applies: []AppliedRule{}, Losers: []LosingRule{}}
	var applying []candidate
	now := time.Now()
	for _, m := range matching {
		if !slices.Contains(m.rule.config.Kinds(), kind) {
			continue
		}
		if why := narrow(&m, kind, of, c, now); why != "" {
			k.Losers = append(k.Losers, losing(m.rule, kind, why))
			continue
		}
		applying = append(applying, m)
	}
	slices.SortStableFunc(applying, compareCandidates)
	var winners [2]*candidate // limit.Enforced and limit.Shadow
	for i := range applying {
		m := &applying[i]
		which := limit.Enforced
		if !m.rule.enforced {
			which = limit.Shadow
		}
		if w := winners[which]; w != nil && kind.OneWins() {
			k.Losers = append(k.Losers, losing(m.rule, kind, behind(m, w)))
			continue
		}
		winners[which] = m
		k.Applies = append(k.Applies, applied(m.rule, kind, of, c))
	}
	return k
}

// behind returns why m loses to w. Only rules in shadow can be equally specific.
func behind(m, w *candidate) string {
	if compareRanks(m.rank, w.rank) == 0 {
		return "as specific as " + w.rule.name + ", which is first by name"
	}
	return "less specific than " + w.rule.name
}

// narrow adds the fields of the call to the rank, or returns why that kind of the rule does not apply to it.
func narrow(m *candidate, kind config.Kind, of *subject, c *Call, now time.Time) (why string) {
	r := m.rule
	switch {
	case r.off:
		return "mode: off"
	case r.expired(now):
		return "expired " + r.expires.UTC().Format(time.RFC3339)
	}
	narrowness, ok := r.callers.narrowest(c.Caller)
	if !ok {
		return "caller " + shortList(r.config.Match.Caller) + " does not match " + c.Caller
	}
	m.rank.caller = narrowness
	if why := r.claims.mismatch(c.Claims); why != "" {
		return why
	}
	m.rank.claims, _ = r.claims.narrowest(c.Claims)
	if why := narrowPeer(m, c); why != "" {
		return why
	}
	for _, x := range r.exceptionsOf(of.target, of.upstream) {
		if x.matchesCall(c) {
			return x.text(of, c)
		}
	}
	if h := r.config.Hedge; kind == config.KindHedge && !wildcard.MatchAny(h.Methods, of.target.Method) {
		return "methods " + shortList(h.Methods) + " do not match " + of.target.Method
	}
	return ""
}

func narrowPeer(m *candidate, c *Call) (why string) {
	r := m.rule
	if len(r.peers) == 0 {
		return ""
	}
	if !contains(r.peers, c.Peer) {
		if !c.Peer.IsValid() {
			return "peer " + shortList(r.config.Match.Peer) + " matches only calls whose peer is known (give --peer)"
		}
		return "peer " + shortList(r.config.Match.Peer) + " does not match " + c.Peer.String()
	}
	for i := range r.peers {
		if r.peers[i].Contains(c.Peer) {
			m.rank.peer = max(m.rank.peer, config.NetworkNarrowness(r.peers[i]))
		}
	}
	return ""
}

func losing(r *rule, kind config.Kind, why string) LosingRule {
	return LosingRule{Rule: r.name, Mode: r.mode, Position: r.config.Position(string(kind)).String(), Reason: why}
}

func applied(r *rule, kind config.Kind, of *subject, c *Call) AppliedRule {
	return AppliedRule{
		Rule: r.name, Mode: r.mode, EnforceShare: r.shareText(), Enforced: r.enforcedFor(c),
		Position: r.config.Position(string(kind)).String(), Setting: settingOf(&r.spec, kind), State: r.stateFor(kind, of, c),
		Decisions: r.store.decisions(&r.added, kind, of.counted),
	}
}
