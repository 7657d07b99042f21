package policies

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/cespare/xxhash/v2"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/code"
)

// rule is a rule of one snapshot. Its limiter, its semaphore and its store are state, which it shares with the rules of its
// name in other snapshots.
type rule struct {
	config *config.Rule
	name   string
	mode   config.Mode
	origin
	enforced bool
	off      bool
	share    float64 // of the callers for whom it is enforced
	expires  time.Time

	services, methods []glob
	upstreams         []glob // not empty: the rule is client-side
	callers           patternSet
	peers             []netip.Prefix
	except            []*exception
	targets           []Target // methods of this host that it matches
	access            map[string]*accessList

	limiter        *limit.Limiter
	limiterOrder   uint64 // in which calls lock limiters
	key            limitKey
	refuseKeyless  bool // calls without the metadata of the key
	limits         limit.RateLimits
	maxWait        time.Duration // 0: reject at once
	semaphore      *limit.Semaphore
	semaphoreOrder uint64 // in which calls lock semaphores
	maximum        int
	queue          int
	queueTimeout   time.Duration
	breaker        *limit.BreakerSettings
	scope          string // of breakers
	timeout        time.Duration
	retry          *retryRule
	hedge          *hedgeRule
	outlier        *limit.OutlierSettings
	store          *store
	added          methods // state for the store, until the snapshot comes into force
}

func newRule(c *config.Rule, revision int, host string) (*rule, error) {
	r := &rule{
		config: c, name: c.Name, mode: c.Mode, origin: origin{label: c.Name + "@r" + strconv.Itoa(revision), host: host},
		enforced: c.Mode != config.Shadow && c.Mode != config.Off, off: c.Mode == config.Off,
		share: 1, expires: c.Expires,
		services: compileGlobs(c.Match.Service), methods: compileGlobs(c.Match.Method), callers: newPatternSet(c.Match.Caller),
		upstreams: compileGlobs(c.Match.Upstream),
		access:    make(map[string]*accessList),
		scope:     config.ScopeMethod,
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
		r.maximum, r.queue, r.queueTimeout = max(k.Max, 1), max(k.Queue, 0), k.QueueTimeout.Std()
	}
	if c.CircuitBreaker != nil {
		if r.breaker, err = newBreakerSettings(c.CircuitBreaker); err != nil {
			return nil, err
		}
	}
	if c.Timeout != nil {
		r.timeout = c.Timeout.Std()
	}
	if r.clientSide() {
		if err := r.setClientSide(c); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// setClientSide compiles the kinds that only calls to upstreams have.
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
	if o := c.OutlierDetection; o != nil {
		r.outlier = &limit.OutlierSettings{
			Failures: int32(o.ConsecutiveFailures), Interval: o.Interval.Std(), BaseEjection: o.BaseEjectionTime.Std(),
			MaxEjection: o.MaxEjectionTime.Std(), MaxEjectPercent: o.MaxEjectionPercent,
		}
		if r.outlier.Interval <= 0 || r.outlier.BaseEjection <= 0 {
			return errors.New("outlierDetection: interval or baseEjectionTime is not positive")
		}
	}
	return nil
}

func newBreakerSettings(c *config.CircuitBreaker) (*limit.BreakerSettings, error) {
	s := &limit.BreakerSettings{
		Window: c.Window.Std(), OpenTimeout: c.OpenTimeout.Std(), HalfOpenRequests: c.HalfOpenRequests, MinRequests: c.MinRequests,
		FailureRate: float64(c.FailureRate), ConsecutiveFailures: c.ConsecutiveFailures,
		SlowCallDuration: c.SlowCallDuration.Std(), SlowCallRate: float64(c.SlowCallRate),
	}
	if s.Window <= 0 || s.OpenTimeout <= 0 || s.HalfOpenRequests <= 0 {
		return nil, errors.New("circuitBreaker: window, openTimeout or halfOpenRequests is not positive")
	}
	if s.SlowCallDuration <= 0 {
		s.SlowCallRate = 0
	}
	for _, name := range c.FailOn {
		failure, ok := code.Parse(name)
		if !ok {
			return nil, fmt.Errorf("circuitBreaker.failOn: unknown code %q", name)
		}
		s.FailOn |= 1 << failure
	}
	return s, nil
}

// clientSide reports whether the rule is for calls to upstreams.
func (r *rule) clientSide() bool { return len(r.upstreams) > 0 }

// targetText names a target of an upstream: by itself if the rule is for one upstream, otherwise after the upstream.
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
	rate, per, burst := float64(c.Rate), c.Per.Std(), c.Burst
	// The library panics out of bounds. They are a little wider here: 1 per 24h is not exactly one a day.
	a := rate / per.Seconds()
	if !(rate > 0) || per <= 0 || math.IsInf(rate, 0) || a < leastRate*0.999 || a > mostRate*1.001 {
		return fmt.Errorf("rateLimit.rate: %v for each %v is not from 1 a day to 10^8 a second", c.Rate, c.Per)
	}
	if burst < 1 || burst > 1e9 {
		return fmt.Errorf("rateLimit.burst: %d is not from 1 to 10^9", burst)
	}
	r.key, r.refuseKeyless = newLimitKey(c.Key), c.OnMissingKey == config.OnMissingKeyRefuse
	r.limits = limit.RateLimits{Rate: limit.NewRate(rate, per, burst), MaxKeys: c.MaxKeys}
	if c.OnExceed == config.OnExceedWait {
		r.maxWait = c.MaxWait.Std()
	}
	return nil
}

// matchesTarget returns how narrowly the rule matches a method, of an upstream for client-side rules, if it does.
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

// accessFor returns the access list for a method: one for all methods if no entry names any, since lists may be long and
// methods many.
func (r *rule) accessFor(method string) *accessList {
	a := r.config.Access
	namesMethods := func(e config.AccessEntry) bool { return len(e.Methods) > 0 }
	if !slices.ContainsFunc(a.Allow, namesMethods) && !slices.ContainsFunc(a.Deny, namesMethods) {
		method = ""
	}
	l := r.access[method]
	if l == nil {
		l = &accessList{allow: callersOf(a.Allow, method), deny: callersOf(a.Deny, method), onlyAllowed: len(a.Allow) > 0}
		if len(r.access) < maxFound {
			r.access[method] = l
		}
	}
	return l
}

// inherit gives r the state of old (nil: none), kind by kind, or a new one. Rules that are off or in shadow have state,
// too. It returns the changes to that state for when the snapshot comes into force.
func (r *rule) inherit(old *rule, s *Snapshot) (changes []func()) {
	if old == nil || old.clientSide() != r.clientSide() {
		old = new(rule) // calls that come in share no state with calls to upstreams
	}
	if old.store == nil {
		r.store = newStore(r, s)
		r.added = r.store.prepare(r)
		r.store.add(&r.added)
	} else {
		r.store = old.store
		r.added = r.store.prepare(r)
		changes = append(changes, func() { r.store.adopt(r) })
	}
	switch {
	case r.limits.IsZero():
	case old.limiter == nil || !slices.Equal(old.key, r.key): // another key: unrelated buckets
		r.limiterOrder = s.nextOrder()
		r.limiter = limit.NewLimiter(r.limits, len(r.key) > 0, r.store.notify(config.KindRateLimit, "", func(limit.Event) string { return "" }))
	default:
		r.limiter, r.limiterOrder = old.limiter, old.limiterOrder
		changes = append(changes, func() { r.limiter.SetLimits(r.limits) })
	}
	switch {
	case r.config.Concurrency == nil:
	case old.semaphore == nil:
		r.semaphore, r.semaphoreOrder = limit.NewSemaphore(r.maximum, r.queue), s.nextOrder()
	default:
		r.semaphore, r.semaphoreOrder = old.semaphore, old.semaphoreOrder
		if old.maximum != r.maximum || old.queue != r.queue {
			changes = append(changes, func() { r.semaphore.SetLimits(r.maximum, r.queue) })
		}
	}
	return changes
}

// leavesOut reports whether exceptions leave no call of a method to the rule.
func (r *rule) leavesOut(t Target, upstream string) bool {
	return slices.ContainsFunc(r.except, func(x *exception) bool { return x.ofAll() && x.matchesTarget(t, upstream) })
}

// exceptionsOf returns the exceptions for some of the calls of a method.
func (r *rule) exceptionsOf(t Target, upstream string) (list []*exception) {
	for _, x := range r.except {
		if x.matchesTarget(t, upstream) {
			list = append(list, x)
		}
	}
	return list
}

// enforcedFor reports whether the rule is enforced for a call: by its mode, and with enforceShare by the caller, or the peer
// of anonymous callers. The hash includes the name of the rule, so that rules affect different callers.
func (r *rule) enforcedFor(c *Call) bool {
	if r.share >= 1 || !r.enforced {
		return r.enforced
	}
	return shareOf(r.name, c) < r.share
}

// shareOf maps a call to a number from 0 to 1.
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

// accessList is the access rule of one method.
type accessList struct {
	allow, deny patternSet
	onlyAllowed bool // the rule has an allow list, even if without entries for this method
}

func (l *accessList) allows(caller string) bool {
	if l.deny.match(caller) {
		return false
	}
	return !l.onlyAllowed || l.allow.match(caller)
}

// callersOf returns the callers of the entries for a method.
func callersOf(entries []config.AccessEntry, method string) patternSet {
	var who []string
	for _, e := range entries {
		if len(e.Methods) == 0 || matchesAny(compileGlobs(e.Methods), method) {
			who = append(who, e.Caller...)
		}
	}
	return newPatternSet(who)
}
