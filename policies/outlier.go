package policies

import (
	"cmp"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
)

// outlierRule is what a rule says about endpoints that fail.
type outlierRule struct {
	failures                int32
	interval, base, longest time.Duration
	percent                 int
}

func newOutlierRule(c *config.OutlierDetection) *outlierRule {
	return &outlierRule{
		failures: int32(cmp.Or(c.ConsecutiveFailures, 5)), percent: cmp.Or(c.MaxEjectionPercent, 50),
		interval: cmp.Or(c.Interval.Std(), 10*time.Second),
		base:     cmp.Or(c.BaseEjectionTime.Std(), 30*time.Second),
		longest:  cmp.Or(c.MaxEjectionTime.Std(), 5*time.Minute),
	}
}

func (r *outlierRule) setting() string {
	return fmt.Sprintf("an endpoint with %d failures in a row is left out for %s, then longer up to %s; at most %d%% of them",
		r.failures, config.Duration(r.base), config.Duration(r.longest), r.percent)
}

// outliers are the endpoints of one upstream under one rule, and which of them are left out.
type outliers struct {
	rule      func() *rule // for its name
	upstream  string
	known     func() int // endpoints of the upstream
	herald    herald
	epoch     time.Time
	endpoints byAddress[*outlier]
	mu        sync.Mutex // taken to eject and to take back
}

// outlier is one endpoint.
type outlier struct {
	address     string
	until       atomic.Int64 // it is ejected until, since epoch; 0: it is not
	consecutive atomic.Int32

	// Under the lock of outliers:
	times    int // ejections that are not forgiven
	returned time.Time
	since    time.Time
	cause    string
	total    uint64 // ejections ever
}

// The states of an endpoint.
const (
	stateHealthy = "healthy"
	stateEjected = "ejected"
)

func newOutliers(owner func() *rule, upstream string, h *hub, known func() int) *outliers {
	now := time.Now()
	o := &outliers{rule: owner, upstream: upstream, known: known, herald: herald{hub: h}, epoch: now}
	o.endpoints.fresh = func(address string) *outlier {
		return &outlier{address: address, since: time.Now()}
	}
	return o
}

// admits tells whether an endpoint is in use. One whose time is over is from now on.
func (o *outliers) admits(e *outlier) bool {
	until := e.until.Load()
	if until == 0 {
		return true
	}
	now := time.Now()
	if now.Sub(o.epoch) < time.Duration(until) {
		return false
	}
	o.mu.Lock()
	if e.until.CompareAndSwap(until, 0) {
		e.consecutive.Store(0)
		e.returned, e.since = o.epoch.Add(time.Duration(until)), now
		o.tell(e, stateEjected, stateHealthy, "", now)
	}
	o.mu.Unlock()
	o.herald.deliver()
	return true
}

// report tells what came of a call: nil, errExcluded, or a failure.
func (o *outliers) report(e *outlier, r *outlierRule, outcome error) {
	switch {
	case outcome == errExcluded: //nolint:errorlint // our own sentinel, never wrapped
	case outcome == nil:
		if e.consecutive.Load() != 0 {
			e.consecutive.Store(0)
		}
	case e.consecutive.Add(1) >= r.failures && e.until.Load() == 0:
		o.eject(e, r, outcome)
	}
}

func (o *outliers) eject(e *outlier, r *outlierRule, why error) {
	now := time.Now()
	o.mu.Lock()
	defer o.herald.deliver()
	defer o.mu.Unlock()
	if e.until.Load() != 0 || o.endpoints.all()[e.address] != e || !o.mayEject(r, now) {
		return
	}
	if !e.returned.IsZero() {
		// What it did well since it came back is set off against its ejections.
		e.times = max(e.times-int(now.Sub(e.returned)/r.interval), 0)
	}
	e.times++
	e.total++
	d := r.longest
	if time.Duration(e.times) <= r.longest/r.base {
		d = r.base * time.Duration(e.times)
	}
	e.until.Store(max(int64(now.Add(d).Sub(o.epoch)), 1))
	e.since = now
	e.cause = fmt.Sprintf("%d failures in a row, the last: %s", e.consecutive.Load(), describe(why))
	o.tell(e, stateHealthy, stateEjected, fmt.Sprintf("%s; for %s", e.cause, config.Duration(d)), now)
}

// mayEject keeps a share of the endpoints in use, and always one.
func (o *outliers) mayEject(r *outlierRule, now time.Time) bool {
	known, ejected := o.known(), 0
	all := o.endpoints.all()
	if known == 0 {
		known = len(all) // nobody has told
	}
	for _, e := range all {
		if until := e.until.Load(); until != 0 && now.Sub(o.epoch) < time.Duration(until) {
			ejected++
		}
	}
	return ejected < min(known*r.percent/100, known-1)
}

func (o *outliers) tell(e *outlier, from, to, cause string, now time.Time) {
	r := o.rule()
	o.herald.add(Transition{
		Rule: r.name, Mode: r.mode(), Kind: config.KindOutlierDetection, Target: r.targetText(o.upstream, e.address), Upstream: o.upstream,
		From: from, To: to, Cause: cause, At: now,
	})
}

func (o *outliers) stats(e *outlier) OutlierStats {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.rule()
	s := OutlierStats{
		Rule: r.name, Target: r.targetText(o.upstream, e.address), Upstream: o.upstream, Address: e.address, Enforced: r.enforced,
		Since: e.since, Cause: e.cause, Ejections: e.total,
	}
	if until := e.until.Load(); until != 0 {
		s.EjectedFor = max(time.Duration(until)-time.Since(o.epoch), 0)
		s.Ejected = s.EjectedFor > 0
	}
	return s
}
