package limit

import (
	"errors"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// BreakerSettings are the thresholds of a circuit breaker.
type BreakerSettings struct {
	Window              time.Duration
	OpenTimeout         time.Duration
	HalfOpenRequests    int
	MinRequests         int
	FailureRate         float64
	ConsecutiveFailures int
	SlowCallDuration    time.Duration
	SlowCallRate        float64 // 0: slow calls are not counted
	FailOn              uint32  // a bit for each code
}

// DefaultFailOn are the codes that count as failures unless a rule lists others.
const DefaultFailOn = 1<<code.Unavailable | 1<<code.DeadlineExceeded | 1<<code.Internal

// sameCore reports whether s and o differ at most in what can be changed live.
func (s *BreakerSettings) sameCore(o *BreakerSettings) bool {
	return s.Window == o.Window && s.OpenTimeout == o.OpenTimeout && s.HalfOpenRequests == o.HalfOpenRequests
}

// probeRetry returns the time after which to ask again while all probes are in flight: short compared to the open time.
func (s *BreakerSettings) probeRetry() time.Duration {
	return min(max(s.OpenTimeout/10, time.Millisecond), time.Second)
}

// Outcomes other than nil and a failure.
var (
	ErrExcluded     = errors.New("not counted")
	ErrProbeTimeout = errors.New("the probe did not finish in time")
	errSlow         = errors.New("slow")
	errRanSlow      = errors.New("slow, and counted before")
)

// slowError is a failure that was slow, too.
type slowError struct{ error }

func (s *slowError) Unwrap() error { return s.error }

// slow reports whether a call that took so long is slow, whatever its result.
func (s *BreakerSettings) slow(took time.Duration) bool {
	return s.SlowCallRate > 0 && took >= s.SlowCallDuration
}

// outcome returns what the end of a call means to a breaker: nil, errSlow, ErrExcluded or the failure. callerTimedOut
// reports that a deadline passed which the caller had set, and no rule. It does not excuse a call that was slow already.
func (s *BreakerSettings) outcome(err error, took time.Duration, callerTimedOut bool) error {
	verdict := Verdict(err, s.FailOn, callerTimedOut)
	switch {
	case !s.slow(took):
		return verdict
	case isFailure(verdict):
		return &slowError{verdict}
	}
	return errSlow
}

// Verdict returns what an error means, however long the call took: nil, ErrExcluded or the failure. failOn has a bit for
// each code that is a failure.
func Verdict(err error, failOn uint32, callerTimedOut bool) error {
	if err == nil {
		return nil
	}
	e := code.From(err)
	switch {
	case e.Code == code.Cancelled:
		return ErrExcluded
	case callerTimedOut && e.Code == code.DeadlineExceeded:
		return ErrExcluded
	case code.NotRun(e.Reason) && e.Reason != code.ReasonOverloaded && e.Reason != code.ReasonNoEndpoint:
		// A refusal does not show whether the refusing host is healthy; that none could be reached does.
		return ErrExcluded
	case e.Code >= 32 || failOn&(1<<e.Code) == 0:
		return nil
	}
	return err
}

func isFailure(outcome error) bool {
	return outcome != nil && outcome != errSlow && outcome != ErrExcluded //nolint:errorlint // our own sentinels, never wrapped
}
