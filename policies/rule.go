package policies

import (
	"cmp"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"time"

	"github.com/easymicro/easymicro/config"
)

// rule is a rule of one snapshot. What it points to by limiter, places, breakers and counts is state, which snapshots
// have in common.
type rule struct {
	config   *config.Rule
	name     string
	label    string // name@rN, as refusals say it
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

func newRule(c *config.Rule, revision int) (*rule, error) {
	r := &rule{
		config: c, name: c.Name, label: c.Name + "@r" + strconv.Itoa(revision),
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

// burst is never 0 for a rule with a rate limit.
func (l limits) isZero() bool { return l.rate.burst == 0 }

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
