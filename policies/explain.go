package policies

import (
	"cmp"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
)

// Explanation says what happens to a call and why.
type Explanation struct {
	Upstream string            `json:"upstream,omitempty"` // of a call that goes out
	Service  string            `json:"service"`
	Method   string            `json:"method"`
	Caller   string            `json:"caller"`
	Peer     string            `json:"peer,omitempty"`
	Revision int               `json:"revision"`
	Kinds    []KindExplanation `json:"kinds"` // in the order in which a server, or a client, asks; only those with rules
}

// KindExplanation has the rules of one kind.
type KindExplanation struct {
	Kind    config.Kind   `json:"kind"`
	Applies []AppliedRule `json:"applies"` // in the order asked; those in shadow only count
	Losers  []LosingRule  `json:"losers"`
}

// AppliedRule is a rule that decides about the call.
type AppliedRule struct {
	Rule         string          `json:"rule"`
	Mode         config.Mode     `json:"mode"`
	EnforceShare string          `json:"enforce_share,omitempty"`
	Enforced     bool            `json:"enforced"` // refusals are carried out for this caller
	Position     config.Position `json:"position"`
	Setting      string          `json:"setting"` // "500 per 1s, burst 1000"
	State        string          `json:"state,omitempty"`
	Decisions    Decisions       `json:"decisions"` // of the rule for this method
}

// LosingRule is a rule about the method that does not decide.
type LosingRule struct {
	Rule     string          `json:"rule"`
	Mode     config.Mode     `json:"mode"`
	Position config.Position `json:"position"`
	Reason   string          `json:"reason"` // "less specific than arith-mul"
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
	of := subject{target: t}
	if s.guards[t] == nil && s.remote != nil && s.remote(t.Service) {
		of.late, of.counted = true, t
		matching = s.inbound.match(t, "")
	}
	s.explain(&x, serverKinds, s.withLeftOut(matching, &of), &of, c)
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
	of := subject{target: t, upstream: upstream, late: true, counted: t}
	s.explain(&x, clientKinds, s.withLeftOut(s.outbound.match(t, upstream), &of), &of, c)
	return x
}

// withLeftOut adds the rules that would match a method but for their exceptions.
func (s *Snapshot) withLeftOut(matching []candidate, of *subject) []candidate {
	matching = slices.Clone(matching)
	for _, r := range s.rules {
		if len(r.except) == 0 || r.clientSide() != (of.upstream != "") || !r.leavesOut(of.target, of.upstream) {
			continue
		}
		if at, ok := r.names(of.target, of.upstream); ok {
			matching = append(matching, candidate{r, at})
		}
	}
	return matching
}

func (s *Snapshot) explain(x *Explanation, kinds []config.Kind, matching []candidate, of *subject, c *Call) {
	x.Revision = s.revision
	for _, kind := range kinds {
		k := explainKind(kind, matching, of, c)
		if len(k.Applies)+len(k.Losers) > 0 {
			x.Kinds = append(x.Kinds, k)
		}
	}
}

func explainKind(kind config.Kind, matching []candidate, of *subject, c *Call) KindExplanation {
	k := KindExplanation{Kind: kind, Applies: []AppliedRule{}, Losers: []LosingRule{}}
	var applying []candidate
	now := time.Now()
	for _, m := range matching {
		if !slices.Contains(m.rule.config.Kinds(), kind) {
			continue
		}
		why := m.narrow(of, c, now)
		if h := m.rule.hedge; why == "" && kind == config.KindHedge && !matchesAny(h.methods, of.target.Method) {
			why = "methods " + listed(h.names) + " do not match " + of.target.Method
		}
		if why != "" {
			k.Losers = append(k.Losers, m.rule.loses(kind, why))
			continue
		}
		applying = append(applying, m)
	}
	slices.SortStableFunc(applying, compareCandidates)
	var winners [2]*candidate // enforced, in shadow
	for i := range applying {
		m := &applying[i]
		slot := 0
		if !m.rule.enforced {
			slot = 1
		}
		if w := winners[slot]; w != nil && oneWins(kind) {
			k.Losers = append(k.Losers, m.rule.loses(kind, behind(m, w)))
			continue
		}
		winners[slot] = m
		k.Applies = append(k.Applies, m.rule.applied(kind, of, c))
	}
	return k
}

// behind says why m loses to w. Only rules in shadow can be as specific as each other.
func behind(m, w *candidate) string {
	if compareRanks(m.rank, w.rank) == 0 {
		return "as specific as " + w.rule.name + ", which is first by name"
	}
	return "less specific than " + w.rule.name
}

// narrow adds to the rank what matched of the call, or says why the rule does not.
func (m *candidate) narrow(of *subject, c *Call, now time.Time) (why string) {
	r := m.rule
	switch {
	case r.off:
		return "mode: off"
	case r.expired(now):
		return "expired " + r.expires.UTC().Format(time.RFC3339)
	}
	narrowness, ok := r.callers.narrowest(c.Caller)
	if !ok {
		return "caller " + listed(r.config.Match.Caller) + " does not match " + c.Caller
	}
	m.rank.caller = narrowness
	if why := m.narrowPeer(c); why != "" {
		return why
	}
	for _, x := range r.exceptionsOf(of.target, of.upstream) {
		if x.matchesCall(c) {
			return x.text(of, c)
		}
	}
	return ""
}

func (m *candidate) narrowPeer(c *Call) (why string) {
	r := m.rule
	if len(r.peers) == 0 {
		return ""
	}
	if !contains(r.peers, c.Peer) {
		if !c.Peer.IsValid() {
			return "peer " + listed(r.config.Match.Peer) + " matches only calls whose peer is known (give --peer)"
		}
		return "peer " + listed(r.config.Match.Peer) + " does not match " + c.Peer.String()
	}
	for i := range r.peers {
		if r.peers[i].Contains(c.Peer) {
			m.rank.peer = max(m.rank.peer, networkNarrowness(&r.peers[i]))
		}
	}
	return ""
}

// listed shortens long lists.
func listed(patterns []string) string {
	const most = 5
	if len(patterns) > most {
		return strings.Join(patterns[:most], ", ") + ", …"
	}
	return strings.Join(patterns, ", ")
}

func (r *rule) loses(kind config.Kind, why string) LosingRule {
	return LosingRule{Rule: r.name, Mode: r.mode(), Position: r.config.Position(string(kind)), Reason: why}
}

func (r *rule) applied(kind config.Kind, of *subject, c *Call) AppliedRule {
	return AppliedRule{
		Rule: r.name, Mode: r.mode(), EnforceShare: r.shareText(), Enforced: r.carriesOut(c),
		Position: r.config.Position(string(kind)), Setting: r.setting(kind), State: r.state(kind, of, c.Caller),
		Decisions: r.decisionsOf(kind, of),
	}
}
