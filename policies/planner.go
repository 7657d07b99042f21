package policies

import (
	"cmp"
	"encoding/binary"
	"net/netip"
	"slices"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/policies/outgoing"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// step is a rule in a plan: for the callers and peers of one narrowness, its entries by kind.
type step struct {
	candidate
	everyRule[*entry] // nil: not of that kind
	winners[*entry]
}

func compareSteps(a, b *step) int { return compareCandidates(a.candidate, b.candidate) }

// planner makes the plans of one method. Plans share their entries, and callers with the same entries share a plan, since a
// set may name very many callers.
type planner struct {
	subject  *subject
	forAll   []*step          // of the rules for all callers, in order
	named    []candidate      // the rules for some callers
	byCaller map[string][]int // indices in named, by a caller that they name
	globs    []int            // indices in named of those with globs
	resolved map[candidate][]*step
	plans    map[string]*plan
}

func newPlanner(of *subject, all []candidate) *planner {
	p := &planner{
		subject: of, byCaller: make(map[string][]int), resolved: make(map[candidate][]*step), plans: make(map[string]*plan),
	}
	for _, c := range all {
		if c.rule.callers.empty() {
			p.forAll = append(p.forAll, p.steps(c, nil)...)
			continue
		}
		if len(c.rule.callers.globs) > 0 {
			p.globs = append(p.globs, len(p.named))
		}
		for caller := range c.rule.callers.exact {
			p.byCaller[caller] = append(p.byCaller[caller], len(p.named))
		}
		p.named = append(p.named, c)
	}
	slices.SortFunc(p.forAll, compareSteps)
	return p
}

// exact returns the plan for the calls of one caller.
func (p *planner) exact(caller string) *plan {
	var some []*step
	var key []byte
	about := slices.Concat(p.globs, p.byCaller[caller])
	slices.Sort(about)
	for _, i := range slices.Compact(about) {
		c := p.named[i]
		narrowness, ok := c.rule.callers.narrowest(caller)
		if !ok {
			continue
		}
		c.rank.caller = narrowness
		key = binary.AppendUvarint(binary.AppendUvarint(key, uint64(i)), uint64(narrowness))
		steps, ok := p.resolved[c]
		if !ok {
			steps = p.steps(c, nil)
			p.resolved[c] = steps
		}
		some = append(some, steps...)
	}
	if made, ok := p.plans[string(key)]; ok {
		return made
	}
	made := p.assemble(some)
	p.plans[string(key)] = made
	return made
}

// others returns the plan for all callers that no rule names exactly.
func (p *planner) others() *plan {
	var some []*step
	for _, c := range p.named {
		var made []*step
		for narrowness, globs := range byNarrowness(c.rule.callers.globs, func(g glob) int { return g.narrowness }) {
			c.rank.caller = narrowness
			made = append(made, p.steps(c, globs)...)
		}
		slices.SortFunc(made, compareSteps)
		linkEarlier(made)
		some = append(some, made...)
	}
	return p.assemble(some)
}

// steps returns the steps of a rule for some callers: one for each narrowness of the rule's claims and
// networks.
func (p *planner) steps(c candidate, callers []glob) []*step {
	if len(c.rule.peers)+len(c.rule.claims) == 0 {
		return []*step{p.step(c, callers, nil, nil)}
	}
	networks := byNarrowness(c.rule.peers, config.NetworkNarrowness)
	if len(networks) == 0 {
		networks = map[int][]netip.Prefix{0: nil}
	}
	var made []*step
	for _, claims := range c.rule.claims.byWidth() {
		for narrowness, peers := range networks {
			c.rank.claims, c.rank.peer = claims.narrowness, narrowness
			made = append(made, p.step(c, callers, claims.claimSet, peers))
		}
	}
	slices.SortFunc(made, compareSteps)
	linkEarlier(made)
	return made
}

func (p *planner) step(c candidate, callers []glob, claims claimSet, peers []netip.Prefix) *step {
	r, s, of := c.rule, &step{candidate: c}, p.subject
	except := r.exceptionsOf(of.target, of.upstream)
	entryOf := func(kind config.Kind) *entry {
		return &entry{
			rule: r, kind: kind, health: r.health[kind], rank: c.rank, counts: r.store.counter(&r.added, kind, of.counted),
			callers: callers, claims: claims, peers: peers, except: except,
		}
	}
	if r.config.RateLimit != nil {
		s.rateLimit = entryOf(config.KindRateLimit)
	}
	if r.config.Priority != nil {
		s.priority = entryOf(config.KindPriority)
	}
	if r.config.Timeout != nil {
		s.timeout = entryOf(config.KindTimeout)
	}
	if r.config.CircuitBreaker != nil {
		s.breaker = entryOf(config.KindCircuitBreaker)
		var endpoints *limit.PerEndpoint[*limit.Breaker]
		if r.scope == config.ScopeEndpoint {
			endpoints = r.store.endpointBreakers(&r.spec, of.upstream)
		} else {
			s.breaker.breaker = r.store.breaker(&r.spec, &r.added, of.upstream, of.counted)
		}
		if r.clientSide() {
			s.breaker.outgoing = &outgoing.Breaker{
				Origin: &r.Origin, Health: s.breaker.health, Counts: s.breaker.counts, Shared: s.breaker.breaker, Endpoints: endpoints,
			}
		}
	}
	if r.config.Concurrency != nil {
		s.concurrency = entryOf(config.KindConcurrency)
	}
	if r.clientSide() {
		p.clientSide(s, entryOf)
		return s
	}
	if r.config.Access != nil {
		s.access = entryOf(config.KindAccess)
		s.access.access = r.accessFor(of.target.Method)
	}
	if r.config.Shed != nil {
		s.shed = entryOf(config.KindShed)
	}
	return s
}

// clientSide adds the kinds that only calls to upstreams have.
func (p *planner) clientSide(s *step, entryOf func(config.Kind) *entry) {
	r, upstream := s.rule, p.subject.upstream
	if r.retry != nil {
		s.retry = entryOf(config.KindRetry)
		s.retry.retry = &outgoing.Retry{
			RetrySettings: r.retry, Origin: &r.Origin, Health: s.retry.health, Counts: s.retry.counts, Budget: r.store.budget(upstream),
		}
	}
	if r.hedge != nil && wildcard.MatchAny(r.config.Hedge.Methods, p.subject.target.Method) {
		s.hedge = entryOf(config.KindHedge)
		s.hedge.hedge = &outgoing.Hedge{HedgeSettings: r.hedge, Health: s.hedge.health, Counts: s.hedge.counts, Budget: r.store.budget(upstream)}
	}
	if r.outlier != nil {
		s.outlier = entryOf(config.KindOutlierDetection)
		s.outlier.outliers = &outgoing.Outliers{
			Health: s.outlier.health, Counts: s.outlier.counts, Settings: r.outlier, State: r.store.outliersOf(upstream),
		}
	}
}

// linkEarlier links the entries of one rule, which is evaluated once even if it matches a call in several ways. Kinds of which
// one rule wins need no link: their first entry that matches decides.
func linkEarlier(ofOneRule []*step) {
	for i := 1; i < len(ofOneRule); i++ {
		before := ofOneRule[i-1].everyRule.each()
		for j, e := range ofOneRule[i].everyRule.each() {
			if *e != nil {
				(*e).earlier = *before[j]
			}
		}
	}
}

func (p *planner) assemble(some []*step) *plan {
	steps := slices.Concat(p.forAll, some)
	if len(some) > 0 {
		slices.SortFunc(steps, compareSteps)
	}
	made := new(plan)
	for _, s := range steps {
		made.timed = made.timed || !s.rule.expires.IsZero()
		one := &made.winners
		if !s.rule.enforced {
			one = &made.shadow
		}
		push(made.everyRule.each(), s.everyRule.each())
		push(one.each(), s.winners.each())
	}
	slices.SortStableFunc(made.rateLimit, func(a, b *entry) int { return cmp.Compare(a.rule.limiterOrder, b.rule.limiterOrder) })
	slices.SortStableFunc(made.concurrency, func(a, b *entry) int { return cmp.Compare(a.rule.semaphoreOrder, b.rule.semaphoreOrder) })
	return made
}

// push appends the entries of a step to the lists of their kinds.
func push(lists []*[]*entry, entries []**entry) {
	for i, e := range entries {
		if *e != nil {
			*lists[i] = append(*lists[i], *e)
		}
	}
}

func byNarrowness[T any](list []T, narrowness func(T) int) map[int][]T {
	groups := make(map[int][]T, 1)
	for _, one := range list {
		n := narrowness(one)
		groups[n] = append(groups[n], one)
	}
	return groups
}
