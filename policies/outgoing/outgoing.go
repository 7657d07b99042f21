// Package outgoing sends calls to upstreams: it retries and hedges them, and asks circuit breakers and outlier detection
// about each attempt.
package outgoing

import (
	"math/rand/v2"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/code"
)

// Breaker is a rule's circuit breaker for calls to one upstream: one of scope method or upstream, or those of the
// endpoints.
type Breaker struct {
	*limit.Origin
	*limit.Health
	Counts    *limit.Counter
	Shared    *limit.Breaker
	Endpoints *limit.PerEndpoint[*limit.Breaker]
}

// BreakerCheck is a Breaker, if there is one, and whether it is enforced for a call or in shadow.
type BreakerCheck struct {
	*Breaker
	Enforced bool
}

// Outliers is a rule's outlier detection for calls to one upstream.
type Outliers struct {
	*limit.Health
	Counts   *limit.Counter
	Settings *limit.OutlierSettings
	State    *limit.Outliers
}

// OutlierCheck is an Outliers, if there is one, and whether it is enforced for a call or in shadow.
type OutlierCheck struct {
	*Outliers
	Enforced bool
}

// Retry is a rule's retry for calls to one upstream.
type Retry struct {
	*RetrySettings
	*limit.Origin
	*limit.Health
	Counts *limit.Counter
	Budget *limit.Budget
}

// spend takes a retry out of the budget, and reports whether it is allowed.
func (r *Retry) spend() bool {
	if r.Budget.Spend(r.share) {
		return true
	}
	r.Counts.Reject.Add(1)
	return false
}

// Hedge is a rule's hedge for calls to one upstream.
type Hedge struct {
	*HedgeSettings
	*limit.Health
	Counts *limit.Counter
	Budget *limit.Budget
}

// SpentError is the error of the last attempt of a call that was not retried because the budget of its rule is spent.
type SpentError struct {
	Rule string // as name@r42
	err  error
}

// Error returns the error of the attempt.
func (s *SpentError) Error() string { return s.err.Error() }

// Unwrap returns the error of the attempt.
func (s *SpentError) Unwrap() error { return s.err }

// RetrySettings are the settings of a rule's retry.
type RetrySettings struct {
	maxAttempts          int
	perTry               time.Duration // 0: as long as the call
	minBackoff, maxPause time.Duration
	on                   uint32 // a bit for each code
	failMode             string
	share                float64 // of the calls, for retries
}

// NewRetrySettings returns the settings of c, for failures with the codes in on, a bit for each.
func NewRetrySettings(c *config.Retry, on uint32) *RetrySettings {
	return &RetrySettings{
		maxAttempts: c.MaxAttempts, perTry: c.PerTryTimeout.Std(), minBackoff: c.InitialBackoff.Std(), maxPause: c.MaxBackoff.Std(),
		on: on, failMode: c.FailMode, share: float64(c.Budget),
	}
}

// outcome is the result of an attempt.
type outcome struct {
	err     error
	refused bool // by a rule of this host: nothing was sent
	perTry  bool // it exceeded perTryTimeout
}

// wants reports whether to retry after an outcome: its code is listed, and the call was not run or may be run twice. An
// attempt that exceeded perTryTimeout may have run, as one that lost its connection, and counts as UNAVAILABLE, too.
func (r *RetrySettings) wants(o *outcome, idempotent bool) bool {
	e := code.From(o.err)
	on := e.Code < 32 && r.on&(1<<e.Code) != 0
	if o.perTry {
		on = on || r.on&(1<<code.Unavailable) != 0
	}
	return on && e.Code != code.Cancelled && (idempotent || code.NotRun(e.Reason)) && r.failMode != config.Failfast
}

// maxPeerPause bounds how long a peer may have a call without a deadline wait.
const maxPeerPause = 30 * time.Second

// pause returns how long to wait before the attempt after n: random, below a bound that doubles with each attempt, but
// at least what the peer asks for.
func (r *RetrySettings) pause(n int, err error) time.Duration {
	bound := r.maxPause
	if n < 32 && r.minBackoff < r.maxPause>>(n-1) {
		bound = r.minBackoff << (n - 1)
	}
	return max(rand.N(bound+1), code.From(err).RetryAfter)
}

// HedgeSettings are the settings of a rule's hedge.
type HedgeSettings struct {
	delay       time.Duration
	maxAttempts int
}

// NewHedgeSettings returns the settings of c.
func NewHedgeSettings(c *config.Hedge) *HedgeSettings {
	return &HedgeSettings{delay: c.Delay.Std(), maxAttempts: c.MaxAttempts}
}

// level is the strictness with which an attempt selects endpoints. It decreases while there is none.
type level int

const (
	strict         level = iota
	reuseTried           // allows endpoints that were tried or are in use
	includeEjected       // allows ejected ones, too
)
