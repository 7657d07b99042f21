// Package outgoing sends calls to upstreams: it retries and hedges them, and asks circuit breakers and outlier detection
// about each attempt.
package outgoing

import "github.com/easymicro/easymicro/policies/limit"

// Breaker is a rule's circuit breaker for calls to one upstream: one of scope method or upstream, or those of the
// endpoints.
type Breaker struct {
	*limit.Origin
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
