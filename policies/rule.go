package policies

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/easymicro/easymicro/config"
)

// rule is a rule of one snapshot. What it points to by limiter, places, breakers and counts is state, which snapshots
// have in common.
type rule struct {
	config *config.Rule
	name   string
	origin
	enforced bool
	off      bool
	share    float64 // of the callers for whom refusals are carried out
	expires  time.Time

	services, methods []glob
	upstreams         []glob // not empty: the rule is client-side
	callers           patternSet
	peers             []netip.Prefix
	except            []*exception
	targets           []Target // that it matches
	access            map[string]*accessList

	limiter       *limiter
	key           limitKey
	refuseKeyless bool // calls without the metadata of the key
	limits        limits
	maxWait       time.Duration // 0: reject at once
	places        *places
	maximum       int
	queue         int
	queueTimeout  time.Duration
	breakerRule   *breakerRule
	scope         string // of breakers
	breakers      map[Target]*breaker
	timeout       time.Duration
	retry         *retryRule
	hedge         *hedgeRule
	outlier       *outlierRule
	counts        map[countsKey]*counts
	late          *late // what else there is, once it is called
}

func newRule(c *config.Rule, revision int, host string) (*rule, error) {
	r := &rule{
		config: c, name: c.Name, origin: origin{label: c.Name + "@r" + strconv.Itoa(revision), host: host},
		enforced: c.Mode == config.Enforce || c.Mode == "", off: c.Mode == config.Off,
		share: 1, expires: c.Expires,
		services: compileGlobs(c.Match.Service), methods: compileGlobs(c.Match.Method), callers: newPatternSet(c.Match.Caller),
		upstreams: compileGlobs(c.Match.Upstream),
		access:    make(map[string]*accessList),
	}
	if c.EnforceShare != nil {
		r.share = float64(*c.EnforceShare)
	}
	var err error
	if r.peers, err = parseNetworks(c.Match.Peer); err != nil {
		return nil, err
	}
	if r.except, err = compileExceptions(c.Match.Except); err != nil {
		return nil, err
	}
	if err := r.setRateLimit(c.RateLimit); err != nil {
		return nil, err
	}
	if k := c.Concurrency; k != nil {
		r.maximum, r.queue = max(k.Max, 1), max(k.Queue, 0)
		r.queueTimeout = cmp.Or(k.QueueTimeout.Std(), time.Second)
	}
	if c.CircuitBreaker != nil {
		if r.breakerRule, err = newBreakerRule(c.Name, c.Mode, c.CircuitBreaker); err != nil {
			return nil, err
		}
	}
	if c.Timeout != nil {
		r.timeout = c.Timeout.Std()
	}
	r.scope = config.ScopeMethod
	if r.clientSide() {
		if err := r.setClientSide(c); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// setClientSide is for what only calls that go out have.
func (r *rule) setClientSide(c *config.Rule) (err error) {
	if c.CircuitBreaker != nil {
		r.scope = cmp.Or(c.CircuitBreaker.Scope, config.ScopeEndpoint)
	}
	if c.Retry != nil {
		if r.retry, err = newRetryRule(c.Retry); err != nil {
			return err
		}
	}
	if c.Hedge != nil {
		r.hedge = newHedgeRule(c.Hedge)
	}
	if c.OutlierDetection != nil {
		r.outlier = newOutlierRule(c.OutlierDetection)
	}
	return nil
}

// clientSide tells that the rule is about calls that go out.
func (r *rule) clientSide() bool { return len(r.upstreams) > 0 }

// targetText is how people know what belongs to one of the rule's upstreams: by its own name if there is one upstream.
func (r *rule) targetText(upstream, name string) string {
	if len(r.upstreams) == 1 && r.upstreams[0].exact {
		return name
	}
	return upstream + " " + name
}

// The bounds of rate/per, in calls a second.
const (
	leastRate = 1.0 / (24 * 60 * 60)
	mostRate  = 1e8
)

func (r *rule) setRateLimit(c *config.RateLimit) error {
	if c == nil {
		return nil
	}
	rate, per := float64(c.Rate), cmp.Or(c.Per.Std(), time.Second)
	// The library panics on what is out of bounds. A little more than the bounds is let pass: 1 for each 24h is not
	// exactly one a day.
	a := rate / per.Seconds()
	if !(rate > 0) || per < 0 || math.IsInf(rate, 0) || a < leastRate*0.999 || a > mostRate*1.001 {
		return fmt.Errorf("rateLimit.rate: %v for each %v is not from 1 a day to 10^8 a second", c.Rate, c.Per)
	}
	burst := c.Burst
	if burst == 0 {
		burst = max(int64(rate), 1)
	}
	if burst < 1 || burst > 1e9 {
		return fmt.Errorf("rateLimit.burst: %d is not from 1 to 10^9", burst)
	}
	r.key, r.refuseKeyless = newLimitKey(c.Key), c.OnMissingKey == config.OnMissingKeyRefuse
	r.limits = limits{rate: newBucketRate(rate, per, burst), maxKeys: cmp.Or(c.MaxKeys, 10_000)}
	if c.OnExceed == config.OnExceedWait {
		r.maxWait = cmp.Or(c.MaxWait.Std(), 100*time.Millisecond)
	}
	return nil
}

// matchesTarget is how narrowly the rule matches a method, of an upstream for client-side rules, if it does.
func (r *rule) matchesTarget(t Target, upstream string) (rank, bool) {
	at, ok := r.names(t, upstream)
	return at, ok && !r.leavesOut(t, upstream)
}

// names is matchesTarget without the exceptions.
func (r *rule) names(t Target, upstream string) (rank, bool) {
	called := absent
	if r.clientSide() {
		var ok bool
		if called, ok = narrowest(r.upstreams, upstream); !ok {
			return rank{}, false
		}
	}
	service, ok := narrowest(r.services, t.Service)
	if !ok {
		return rank{}, false
	}
	method, ok := narrowest(r.methods, t.Method)
	return rank{service: service, method: method, upstream: called}, ok
}

func (r *rule) expired(now time.Time) bool { return !r.expires.IsZero() && !now.Before(r.expires) }

// accessFor is the rule's list for a method: the same for all of them as long as no entry names any, since a list may
// be long and the methods many.
func (r *rule) accessFor(method string) *accessList {
	a := r.config.Access
	namesMethods := func(e config.AccessEntry) bool { return len(e.Methods) > 0 }
	if !slices.ContainsFunc(a.Allow, namesMethods) && !slices.ContainsFunc(a.Deny, namesMethods) {
		method = ""
	}
	l := r.access[method]
	if l == nil {
		l = &accessList{allow: callersOf(a.Allow, method), deny: callersOf(a.Deny, method), onlyAllowed: len(a.Allow) > 0}
		if len(r.access) < mostLate {
			r.access[method] = l
		}
	}
	return l
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

// leavesOut reports whether no call of a method is left to the rule.
func (r *rule) leavesOut(t Target, upstream string) bool {
	return slices.ContainsFunc(r.except, func(x *exception) bool { return x.ofAll() && x.matchesTarget(t, upstream) })
}

// exceptionsOf are those that leave out some of the calls of a method.
func (r *rule) exceptionsOf(t Target, upstream string) (list []*exception) {
	for _, x := range r.except {
		if x.matchesTarget(t, upstream) {
			list = append(list, x)
		}
	}
	return list
}

// countsOf are the rule's for a method.
func (r *rule) countsOf(kind config.Kind, of *subject) *counts {
	if of.late {
		return r.late.countsOf(kind, of.counted)
	}
	return r.counts[countsKey{kind, of.target}]
}

// breaksBy gives an entry its breaker, or the breakers of the endpoints.
func (r *rule) breaksBy(e *entry, of *subject) {
	switch {
	case r.scope == config.ScopeEndpoint:
		e.breakers = r.late.endpointsOf(r, of.upstream)
	case of.late:
		e.breaker = r.late.breakerOf(r, of.upstream, of.counted)
	default:
		e.breaker = r.breakers[of.target]
	}
}

// carriesOut tells whether a refusal of the rule is carried out for a call: always or never by its mode, and by the
// caller (the peer of anonymous ones) when only a share of them is refused. The rule's name is hashed too, so that it
// is not the same callers that bear the trial of every rule.
func (r *rule) carriesOut(c *Call) bool {
	if r.share >= 1 || !r.enforced {
		return r.enforced
	}
	return shareOf(r.name, c) < r.share
}

// shareOf puts a call at a place from 0 to 1.
func shareOf(rule string, c *Call) float64 {
	var d xxhash.Digest
	d.Reset()
	_, _ = d.WriteString(rule)
	_, _ = d.WriteString("\x00")
	if c.Caller != Anonymous || !c.Peer.IsValid() {
		_, _ = d.WriteString(c.Caller)
	} else {
		addr := c.Peer.As16()
		_, _ = d.Write(addr[:])
	}
	return float64(d.Sum64()>>11) / (math.MaxUint64 >> 11)
}

func (r *rule) mode() config.Mode { return cmp.Or(r.config.Mode, config.Enforce) }

func (r *rule) shareText() string {
	if r.config.EnforceShare == nil {
		return ""
	}
	return r.config.EnforceShare.String()
}

func (r *rule) warning(field, message string) config.Problem {
	at := r.config.Position(field)
	return config.Problem{
		File: at.File, Line: at.Line, Column: at.Column, Path: r.config.Path() + "." + field, Warning: true, Message: message,
	}
}

// accessList is an access rule for one method.
type accessList struct {
	allow, deny patternSet
	onlyAllowed bool // there is an allow list, even if none of it is about this method
}

func (l *accessList) allows(caller string) bool {
	if l.deny.match(caller) {
		return false
	}
	return !l.onlyAllowed || l.allow.match(caller)
}

// callersOf are the callers of the entries that are about a method.
func callersOf(entries []config.AccessEntry, method string) patternSet {
	var who []string
	for _, e := range entries {
		if len(e.Methods) == 0 || matchesAny(compileGlobs(e.Methods), method) {
			who = append(who, e.Caller...)
		}
	}
	return newPatternSet(who)
}
