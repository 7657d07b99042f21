package policies

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/code"
)

// breakerRule is what a rule says about breakers. It is not changed once made.
type breakerRule struct {
	name                string
	mode                config.Mode
	window              time.Duration
	openTimeout         time.Duration
	halfOpenRequests    int
	minRequests         int
	failureRate         float64
	consecutiveFailures int
	slowCallDuration    time.Duration
	slowCallRate        float64
	failOn              uint32 // a bit for each code
}

// usualFailures says what is a failure where no rule says it.
var usualFailures = &breakerRule{failOn: usualFailOn}

const usualFailOn = 1<<code.Unavailable | 1<<code.DeadlineExceeded | 1<<code.Internal

func newBreakerRule(name string, mode config.Mode, c *config.CircuitBreaker) (*breakerRule, error) {
	r := &breakerRule{
		name:                name,
		mode:                cmp.Or(mode, config.Enforce),
		window:              cmp.Or(c.Window.Std(), 10*time.Second),
		openTimeout:         cmp.Or(c.OpenTimeout.Std(), 5*time.Second),
		halfOpenRequests:    cmp.Or(c.HalfOpenRequests, 3),
		minRequests:         cmp.Or(c.MinRequests, 20),
		failureRate:         float64(c.FailureRate),
		consecutiveFailures: c.ConsecutiveFailures,
		slowCallDuration:    c.SlowCallDuration.Std(),
		slowCallRate:        float64(c.SlowCallRate),
	}
	if r.window < 0 || r.openTimeout < 0 || r.halfOpenRequests < 0 {
		return nil, errors.New("circuitBreaker: negative window, openTimeout or halfOpenRequests")
	}
	if r.slowCallDuration <= 0 {
		r.slowCallRate = 0
	}
	if len(c.FailOn) == 0 {
		r.failOn = usualFailOn
	}
	for _, name := range c.FailOn {
		failure, ok := code.Parse(name)
		if !ok {
			return nil, fmt.Errorf("circuitBreaker.failOn: unknown code %q", name)
		}
		r.failOn |= 1 << failure
	}
	return r, nil
}

// sameCore tells that r and o differ at most in what can be changed live.
func (r *breakerRule) sameCore(o *breakerRule) bool {
	return r.window == o.window && r.openTimeout == o.openTimeout && r.halfOpenRequests == o.halfOpenRequests
}

// trialRetry is when to ask again while the trial calls are out: nobody knows, but soon compared to the open time.
func (r *breakerRule) trialRetry() time.Duration {
	return min(max(r.openTimeout/10, time.Millisecond), time.Second)
}

var (
	errExcluded = errors.New("not counted")
	errSlow     = errors.New("slow")
	errRanSlow  = errors.New("counted, and slow as it turns out")
)

// slowError is a failure that was slow, too.
type slowError struct{ error }

func (s *slowError) Unwrap() error { return s.error }

// slow reports whether a call that took so long is slow, whatever came of it.
func (r *breakerRule) slow(took time.Duration) bool {
	return r.slowCallRate > 0 && took >= r.slowCallDuration
}

// outcome is what the end of a call means to the breaker: nil, errSlow, errExcluded or the failure. callers says that the
// deadline that the caller set, shorter than the rule's, has passed. Who ended a call that was slow already is not asked.
func (r *breakerRule) outcome(err error, took time.Duration, callers bool) error {
	verdict := r.verdict(err, callers)
	switch {
	case !r.slow(took):
		return verdict
	case isFailure(verdict):
		return &slowError{verdict}
	}
	return errSlow
}

// verdict is what an error means to the breaker, however long the call took: nil, errExcluded or the failure.
func (r *breakerRule) verdict(err error, callers bool) error {
	if err == nil {
		return nil
	}
	e := code.From(err)
	switch {
	case e.Code == code.Cancelled:
		return errExcluded
	case callers && e.Code == code.DeadlineExceeded:
		return errExcluded
	case code.NotRun(e.Reason) && e.Reason != code.ReasonOverloaded && e.Reason != code.ReasonNoEndpoint:
		// A refusal says nothing about the health of what refused; that nobody was there to ask does.
		return errExcluded
	case e.Code >= 32 || r.failOn&(1<<e.Code) == 0:
		return nil
	}
	return err
}

func isFailure(outcome error) bool {
	return outcome != nil && outcome != errSlow && outcome != errExcluded //nolint:errorlint // our own sentinels, never wrapped
}

func (r *breakerRule) setting() string {
	var when []string
	if r.failureRate > 0 {
		when = append(when, fmt.Sprintf("%s of at least %d calls within %s fail",
			config.Share(r.failureRate), r.minRequests, config.Duration(r.window)))
	}
	if r.consecutiveFailures > 0 {
		when = append(when, fmt.Sprintf("%d in a row fail", r.consecutiveFailures))
	}
	if r.slowCallRate > 0 {
		when = append(when, fmt.Sprintf("%s of at least %d calls within %s take %s",
			config.Share(r.slowCallRate), r.minRequests, config.Duration(r.window), config.Duration(r.slowCallDuration)))
	}
	return fmt.Sprintf("opens for %s when %s", config.Duration(r.openTimeout), strings.Join(when, " or "))
}
