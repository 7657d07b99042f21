package policies

import (
	"encoding/binary"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
)

// plan is what is asked for the calls of one method: those of a caller that a rule names exactly, or those of all others.
type plan struct {
	access, rateLimit, concurrency []entry // every one that applies is asked
	breaker, timeout               []entry // the first that applies wins
	shadowBreaker, shadowTimeout   []entry // likewise, and only counts
	timed                          bool    // an entry expires
}

// entry is one kind of a rule in a plan, with what of its match is left to be decided for each call.
type entry struct {
	rule    *rule
	counts  *counts
	callers []glob         // empty: all
	peers   []netip.Prefix // empty: all
	earlier *entry         // of the same rule, with narrower conditions

	access  *accessList
	breaker *breaker
}

// candidate is a rule that matches a method.
type candidate struct {
	rule *rule
	rank rank // of method and service
}

// applies tells whether the entry is about a call, and no narrower entry of its rule is.
func (e *entry) applies(c *Call, now time.Time) bool {
	if !e.matches(c, now) {
		return false
	}
	for o := e.earlier; o != nil; o = o.earlier {
		if o.matches(c, now) {
			return false
		}
	}
	return true
}

func (e *entry) matches(c *Call, now time.Time) bool {
	return (len(e.callers) == 0 || matchesAny(e.callers, c.Caller)) &&
		(len(e.peers) == 0 || contains(e.peers, c.Peer)) &&
		!e.rule.expired(now)
}

// draft is an entry before it is sorted into a plan.
type draft struct {
	candidate
	callers []glob
	peers   []netip.Prefix
}

// planner makes the plans of one method.
type planner struct {
	target Target
	plans  map[string]*plan // by what they are made of: most callers of a long list have the same
	access map[*rule]*accessList
}

// exact is the plan for the calls of one caller.
func (p *planner) exact(all []candidate, caller string) *plan {
	var drafts []draft
	var key []byte
	for i, c := range all {
		narrowness, ok := narrowest(c.rule.callers, caller)
		if !ok {
			continue
		}
		c.rank.caller = narrowness
		key = binary.AppendUvarint(binary.AppendUvarint(key, uint64(i)), uint64(narrowness))
		drafts = appendByPeer(drafts, c, nil)
	}
	if made, ok := p.plans[string(key)]; ok {
		return made
	}
	made := p.assemble(drafts)
	p.plans[string(key)] = made
	return made
}

// others is the plan for the calls of all callers that no rule names exactly.
func (p *planner) others(all []candidate) *plan {
	var drafts []draft
	for _, c := range all {
		if len(c.rule.callers) == 0 {
			drafts = appendByPeer(drafts, c, nil)
			continue
		}
		byNarrowness := make(map[int32][]glob)
		for _, g := range c.rule.callers {
			if !g.exact {
				byNarrowness[g.narrowness()] = append(byNarrowness[g.narrowness()], g)
			}
		}
		for narrowness, globs := range byNarrowness {
			c.rank.caller = narrowness
			drafts = appendByPeer(drafts, c, globs)
		}
	}
	return p.assemble(drafts)
}

// appendByPeer appends a draft for each narrowness of the rule's networks.
func appendByPeer(drafts []draft, c candidate, callers []glob) []draft {
	if len(c.rule.peers) == 0 {
		return append(drafts, draft{c, callers, nil})
	}
	byNarrowness := make(map[int32][]netip.Prefix)
	for _, n := range c.rule.peers {
		byNarrowness[networkNarrowness(n)] = append(byNarrowness[networkNarrowness(n)], n)
	}
	for narrowness, networks := range byNarrowness {
		c.rank.peer = narrowness
		drafts = append(drafts, draft{c, callers, networks})
	}
	return drafts
}

func (p *planner) assemble(drafts []draft) *plan {
	slices.SortStableFunc(drafts, func(a, b draft) int { return compareCandidates(a.candidate, b.candidate) })
	made := new(plan)
	for _, d := range drafts {
		made.timed = made.timed || !d.rule.expires.IsZero()
		p.place(made, d)
	}
	for _, list := range [][]entry{made.access, made.rateLimit, made.concurrency} {
		linkEarlier(list)
	}
	return made
}

// compareCandidates orders the narrowest first, and equals by name: the same on every host, wherever the rules stand.
func compareCandidates(a, b candidate) int {
	if n := compareRanks(a.rank, b.rank); n != 0 {
		return n
	}
	return strings.Compare(a.rule.name, b.rule.name)
}

func (p *planner) place(made *plan, d draft) {
	r := d.rule
	add := func(list *[]entry, kind config.Kind) *entry {
		*list = append(*list, entry{
			rule: r, counts: r.counts[countsKey{kind, p.target}], callers: d.callers, peers: d.peers,
		})
		return &(*list)[len(*list)-1]
	}
	breakers, timeouts := &made.breaker, &made.timeout
	if !r.enforced {
		breakers, timeouts = &made.shadowBreaker, &made.shadowTimeout
	}
	if r.config.Access != nil {
		add(&made.access, config.KindAccess).access = p.accessList(r)
	}
	if r.config.RateLimit != nil {
		add(&made.rateLimit, config.KindRateLimit)
	}
	if r.config.CircuitBreaker != nil {
		add(breakers, config.KindCircuitBreaker).breaker = r.breakers[p.target]
	}
	if r.config.Concurrency != nil {
		add(&made.concurrency, config.KindConcurrency)
	}
	if r.config.Timeout != nil {
		add(timeouts, config.KindTimeout)
	}
}

func (p *planner) accessList(r *rule) *accessList {
	l, ok := p.access[r]
	if !ok {
		l = newAccessList(r.config.Access, p.target.Method)
		p.access[r] = l
	}
	return l
}

// linkEarlier keeps a rule that matches a call in several ways from being asked several times.
func linkEarlier(list []entry) {
	last := make(map[*rule]*entry, len(list))
	for i := range list {
		e := &list[i]
		e.earlier, last[e.rule] = last[e.rule], e
	}
}

func winner(list []entry, c *Call, now time.Time) *entry {
	for i := range list {
		if e := &list[i]; e.matches(c, now) {
			return e
		}
	}
	return nil
}
