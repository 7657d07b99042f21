package policies

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/easymicro/easymicro/config"
)

// Calls describes calls that rules cannot tell apart, unless by their metadata or the claims of their caller.
type Calls struct {
	Target
	Caller string     // empty: anonymous
	Peer   netip.Addr // the zero Addr: none

	AnyCaller, AnyPeer bool // Caller, or Peer, is not known
}

// mayHaveClaims reports whether the caller of some of the calls may have claims.
func (c *Calls) mayHaveClaims() bool { return c.AnyCaller || c.Caller != "" && c.Caller != Anonymous }

// Meeting is the enforced rules that apply to calls.
type Meeting struct {
	Access      []*config.Rule
	Denied      *config.Rule // the one of Access that refuses them; nil: none does
	RateLimits  []MetLimit
	Breaker     *config.Rule // nil: none
	Concurrency []*config.Rule
	Timeout     *config.Rule // nil: none

	Undecided []Undecided // they are not in the lists above
}

// MetLimit is a rate limit with the bucket of the calls.
type MetLimit struct {
	*config.Rule
	Bucket string
}

// Undecided is a kind of a rule that treats calls differently that have the same Calls.
type Undecided struct {
	*config.Rule
	Kind config.Kind
	Why  string // "its key has metadata.tenant"
}

func newMeeting(g *Guard, calls *Calls) (m Meeting) {
	if g.empty() {
		return m
	}
	c, now := &Call{Caller: cmp.Or(calls.Caller, Anonymous), Peer: calls.Peer.Unmap(), target: calls.Target}, time.Now()
	lost := calls.AnyCaller || calls.AnyPeer
	byClaim := func(r *rule) bool { return r.usesClaim() != "" && calls.mayHaveClaims() }
	if lost { // rules that name callers or peers are not all in the plan
		m.addUndecided(g.matching, calls, now)
	} else {
		m.addUndecided(slices.DeleteFunc(slices.Clone(g.matching), func(of candidate) bool { return !byClaim(of.rule) }), calls, now)
	}
	applies := func(e *entry) bool {
		if byClaim(e.rule) || !e.applies(c, now) || !e.rule.enforcedFor(c) {
			return false
		}
		why := e.rule.undecided(e.kind, calls)
		if why != "" && !lost {
			m.Undecided = append(m.Undecided, Undecided{e.rule.config, e.kind, why})
		}
		return why == ""
	}
	p := g.plan(c.Caller)
	for _, e := range p.access {
		if applies(e) {
			m.Access = append(m.Access, e.rule.config)
			if m.Denied == nil && !e.access.allows(c.Caller) {
				m.Denied = e.rule.config
			}
		}
	}
	for _, e := range p.rateLimit {
		if applies(e) {
			m.RateLimits = append(m.RateLimits, MetLimit{e.rule.config, string(e.rule.key.appendTo(nil, c))})
		}
	}
	for _, e := range p.concurrency {
		if applies(e) {
			m.Concurrency = append(m.Concurrency, e.rule.config)
		}
	}
	first := func(list []*entry) *config.Rule {
		i := slices.IndexFunc(list, func(e *entry) bool { return e.matches(c, now) })
		if i < 0 || !applies(list[i]) {
			return nil
		}
		return list[i].rule.config
	}
	m.Breaker, m.Timeout = first(p.breaker), first(p.timeout)
	return m
}

// addUndecided adds the rules that apply to some of the calls only.
func (m *Meeting) addUndecided(matching []candidate, calls *Calls, now time.Time) {
	for _, of := range matching {
		r := of.rule
		if !r.enforced || r.expired(now) || !calls.AnyCaller && !r.callers.empty() && !r.callers.match(cmp.Or(calls.Caller, Anonymous)) ||
			len(r.claims) > 0 && !calls.mayHaveClaims() || len(r.peers) > 0 && !calls.AnyPeer && !contains(r.peers, calls.Peer.Unmap()) {
			continue
		}
		for _, kind := range r.config.Kinds() {
			if why := r.undecided(kind, calls); why != "" {
				m.Undecided = append(m.Undecided, Undecided{r.config, kind, why})
			}
		}
	}
}
