package policies

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/policies/outgoing"
	"github.com/easymicro/easymicro/wire/code"
)

// spec is a rule as compiled from its configuration, without state.
type spec struct {
	limit.Origin

	config   *config.Rule
	health   map[config.Kind]*limit.Health
	name     string
	mode     config.Mode
	enforced bool
	off      bool
	share    float64 // of the callers for whom it is enforced
	expires  time.Time

	services, methods []glob
	upstreams         []glob // not empty: the rule is client-side
	callers           patternSet
	claims            claimSet
	peers             []netip.Prefix
	except            []*exception
	targets           []Target               // methods of this host that it matches
	access            map[string]*accessList // by method

	key           limitKey
	refuseKeyless bool // calls without the metadata of the key
	limits        limit.RateLimits
	maxWait       time.Duration // 0: reject at once
	priority      limit.Priority
	cpuAbove      float64
	maximum       int                   // of calls in flight; of a limit that adapts, with which it begins
	bounds        *limit.AdaptiveBounds // nil: it does not adapt
	queue         int
	queueTimeout  time.Duration
	breaker       *limit.BreakerSettings
	scope         string // of breakers
	timeout       time.Duration
	retry         *outgoing.RetrySettings
	hedge         *outgoing.HedgeSettings
	outlier       *limit.OutlierSettings
}

func newSpec(c *config.Rule, revision int, host string) (*spec, error) {
	r := &spec{
		config: c, name: c.Name, mode: c.Mode, Origin: limit.Origin{Rule: c.Name + "@r" + strconv.Itoa(revision), Host: host},
		enforced: c.Mode != config.Shadow && c.Mode != config.Off, off: c.Mode == config.Off,
		share: 1, expires: c.Expires,
		services: compileGlobs(c.Match.Service), methods: compileGlobs(c.Match.Method), callers: newPatternSet(c.Match.Caller),
		upstreams: compileGlobs(c.Match.Upstream), claims: newClaimSet(c.Match.Identity),
		access: make(map[string]*accessList),
		scope:  config.ScopeMethod,
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
	r.setRateLimit(c.RateLimit)
	if k := c.Concurrency; k != nil {
		r.maximum, r.queue, r.queueTimeout = k.Max, k.Queue, k.QueueTimeout.Std()
		if a := k.Adaptive; a != nil {
			r.maximum, r.bounds = a.Min, &limit.AdaptiveBounds{Min: a.Min, Max: a.Max}
		}
	}
	if c.Shed != nil {
		r.cpuAbove = float64(c.Shed.CPUAbove)
	}
	if c.Priority != nil {
		r.priority = priorityOf[*c.Priority]
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

// watch makes the health of each kind of the rule.
func (r *spec) watch(o *Options) {
	r.health = make(map[config.Kind]*limit.Health)
	for _, kind := range r.config.Kinds() {
		var fault func(limit.Moment)
		if o.Fault != nil {
			fault = func(at limit.Moment) { o.Fault(r.name, kind, at) }
		}
		r.health[kind] = limit.NewHealth(func(p *limit.Panic) {
			if o.OnBroken != nil {
				o.OnBroken(r.brokenBy(kind, p))
			}
		}, fault)
		r.health[kind].Meet(limit.AtCompile)
	}
}

func (r *spec) brokenBy(kind config.Kind, p *limit.Panic) Broken {
	return Broken{
		Rule: r.name, Kind: kind, Mode: r.mode, Position: r.config.Position(string(kind)), Panic: code.PanicText(p.Value), Stack: string(p.Stack),
	}
}

// isBroken reports whether a kind has panicked.
func (r *spec) isBroken(kind config.Kind) bool {
	h := r.health[kind]
	return h != nil && h.Broken()
}

func (r *spec) setRateLimit(c *config.RateLimit) {
	if c == nil {
		return
	}
	r.key, r.refuseKeyless = newLimitKey(c.Key), c.OnMissingKey == config.OnMissingKeyRefuse
	r.limits = limit.RateLimits{Rate: limit.NewRate(float64(c.Rate), c.Per.Std(), c.Burst), MaxKeys: c.MaxKeys}
	if c.OnExceed == config.OnExceedWait {
		r.maxWait = c.MaxWait.Std()
	}
}

// setClientSide compiles the kinds that only calls to upstreams have.
func (r *spec) setClientSide(c *config.Rule) error {
	if c.CircuitBreaker != nil {
		r.scope = cmp.Or(c.CircuitBreaker.Scope, config.ScopeEndpoint)
	}
	if c.Retry != nil {
		on, err := codeBits(c.Retry.RetryOn)
		if err != nil {
			return fmt.Errorf("retry.retryOn: %w", err)
		}
		r.retry = outgoing.NewRetrySettings(c.Retry, on)
	}
	if c.Hedge != nil {
		r.hedge = outgoing.NewHedgeSettings(c.Hedge)
	}
	if o := c.OutlierDetection; o != nil {
		r.outlier = &limit.OutlierSettings{
			Failures: int32(o.ConsecutiveFailures), Interval: o.Interval.Std(), BaseEjection: o.BaseEjectionTime.Std(),
			MaxEjection: o.MaxEjectionTime.Std(), MaxEjectPercent: o.MaxEjectionPercent,
		}
	}
	return nil
}

// priorityOf has the order of the priorities.
var priorityOf = map[config.Priority]limit.Priority{
	config.PriorityHigh: limit.PriorityHigh, config.PriorityNormal: limit.PriorityNormal, config.PriorityLow: limit.PriorityLow,
}

func newBreakerSettings(c *config.CircuitBreaker) (*limit.BreakerSettings, error) {
	on, err := codeBits(c.FailOn)
	if err != nil {
		return nil, fmt.Errorf("circuitBreaker.failOn: %w", err)
	}
	return &limit.BreakerSettings{
		Window: c.Window.Std(), OpenTimeout: c.OpenTimeout.Std(), HalfOpenRequests: c.HalfOpenRequests, MinRequests: c.MinRequests,
		FailureRate: float64(c.FailureRate), ConsecutiveFailures: c.ConsecutiveFailures,
		SlowCallDuration: c.SlowCallDuration.Std(), SlowCallRate: float64(c.SlowCallRate), FailOn: on,
	}, nil
}

// codeBits returns a bit for each code.
func codeBits(names []string) (bits uint32, err error) {
	for _, name := range names {
		c, ok := code.Parse(name)
		if !ok {
			return 0, fmt.Errorf("unknown code %q", name)
		}
		bits |= 1 << c
	}
	return bits, nil
}

// clientSide reports whether the rule is for calls to upstreams.
func (r *spec) clientSide() bool { return len(r.upstreams) > 0 }

// targetText returns the name of a target of an upstream, after the upstream unless the rule is for that one only.
func (r *spec) targetText(upstream, name string) string {
	if len(r.upstreams) == 1 && r.upstreams[0].exact {
		return name
	}
	return upstream + " " + name
}

// matchesTarget returns how narrowly the rule matches a method, of an upstream for client-side rules, if it does.
func (r *spec) matchesTarget(t Target, upstream string) (rank, bool) {
	at, ok := r.names(t, upstream)
	return at, ok && !r.leavesOut(t, upstream)
}

// names is matchesTarget, but ignores exceptions.
func (r *spec) names(t Target, upstream string) (rank, bool) {
	called := 0
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

// wins reports whether r is narrower than o for some calls that both match. The names are the patterns of method and service.
func (r *spec) wins(o *spec, ours, theirs [2][]glob) bool {
	narrower := 0
	note := func(n int, overlap bool) bool {
		narrower = cmp.Or(narrower, n)
		return overlap
	}
	return note(compareGlobs(ours[0], theirs[0])) && note(compareGlobs(ours[1], theirs[1])) &&
		note(compareGlobs(r.callers.list(), o.callers.list())) &&
		note(r.claims.compare(o.claims)) && note(compareNetworks(r.peers, o.peers)) &&
		note(compareGlobs(r.upstreams, o.upstreams)) && narrower > 0
}

// expired is config.Rule.Expired for the path of a call, which does not read the configuration.
func (r *spec) expired(now time.Time) bool { return !r.expires.IsZero() && !now.Before(r.expires) }

// accessFor returns the access list for a method: one for all methods if no entry names any, since lists may be long and
// methods many.
func (r *spec) accessFor(method string) *accessList {
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

// leavesOut reports whether exceptions exclude all calls of a method.
func (r *spec) leavesOut(t Target, upstream string) bool {
	return slices.ContainsFunc(r.except, func(x *exception) bool { return x.ofAll() && x.matchesTarget(t, upstream) })
}

// exceptionsOf returns the exceptions for some of the calls of a method.
func (r *spec) exceptionsOf(t Target, upstream string) (list []*exception) {
	for _, x := range r.except {
		if x.matchesTarget(t, upstream) {
			list = append(list, x)
		}
	}
	return list
}

// enforcedFor reports whether the rule is enforced for a call: by its mode, and with enforceShare by the caller, or the peer
// of anonymous callers.
func (r *spec) enforcedFor(c *Call) bool {
	if r.share >= 1 || !r.enforced {
		return r.enforced
	}
	return config.ShareOf(r.name, c.Caller, c.Peer) < r.share
}

// undecided returns why a kind of the rule treats calls differently that have the same Calls; empty if it does not.
func (r *spec) undecided(kind config.Kind, calls *Calls) string {
	limit := kind == config.KindRateLimit
	if limit {
		for _, part := range r.config.RateLimit.Key {
			if strings.HasPrefix(part, config.KeyMetadata) || calls.mayHaveClaims() && strings.HasPrefix(part, config.KeyIdentity) {
				return "its key has " + part
			}
		}
	}
	if name := r.usesClaim(); name != "" && calls.mayHaveClaims() {
		return "it matches by " + config.KeyIdentity + name
	}
	callers := kind == config.KindAccess || limit && r.key.has(keyCaller) || !r.callers.empty() || r.share < 1 ||
		slices.ContainsFunc(r.except, func(x *exception) bool { return !x.callers.empty() })
	peers := limit && r.key.has(keyPeer) || len(r.peers) > 0 || slices.ContainsFunc(r.except, func(x *exception) bool { return len(x.peers) > 0 })
	const lost = "there are too many %s to count the calls of each"
	switch {
	case callers && calls.AnyCaller:
		return fmt.Sprintf(lost, "callers")
	case (peers || r.share < 1 && cmp.Or(calls.Caller, Anonymous) == Anonymous) && calls.AnyPeer:
		return fmt.Sprintf(lost, "peers")
	}
	return ""
}

// usesClaim returns the name of a claim by which the rule matches calls, or "".
func (r *spec) usesClaim() string {
	if len(r.claims) > 0 {
		return r.claims[0].name
	}
	for _, x := range r.except {
		if len(x.claims) > 0 {
			return x.claims[0].name
		}
	}
	return ""
}

func (r *spec) shareText() string {
	if r.config.EnforceShare == nil {
		return ""
	}
	return r.config.EnforceShare.String()
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
	var callers []string
	for _, e := range entries {
		if len(e.Methods) == 0 || matchesAny(compileGlobs(e.Methods), method) {
			callers = append(callers, e.Caller...)
		}
	}
	return newPatternSet(callers)
}
