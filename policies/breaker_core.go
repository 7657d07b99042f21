package policies

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/sony/gobreaker/v2"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/code"
)

// windowBuckets are the parts of a breaker's window; one part at a time is forgotten.
const windowBuckets = 10

// breakerCore is a gobreaker and what its callbacks need. They all run inside its lock, which guards these fields; they
// must not call it back.
type breakerCore struct {
	breaker     *breaker
	gobreaker   *gobreaker.TwoStepCircuitBreaker[struct{}]
	consecutive int     // gobreaker's own count of failures in a row decays with the window
	last        error   // the last failure
	cause       string  // why it opens
	slow        *window // of the rules with slowCallRate
	tripping    bool
}

func newBreakerCore(b *breaker, r *breakerRule) *breakerCore {
	c := &breakerCore{breaker: b}
	c.gobreaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: uint32(r.halfOpenRequests),
		// An interval of zero would never forget, and without buckets all would be forgotten at once.
		Interval:     r.window,
		BucketPeriod: max(r.window/windowBuckets, 1),
		// The breaker around it keeps the open time; see there.
		Timeout:       1,
		ReadyToTrip:   c.readyToTrip,
		OnStateChange: c.onStateChange,
		IsSuccessful:  c.isSuccessful,
		IsExcluded:    func(err error) bool { return err == errExcluded }, //nolint:errorlint // our own sentinel, never wrapped
	})
	return c
}

// trip opens a new core before anybody else sees it.
func (c *breakerCore) trip() {
	c.tripping = true
	if done, err := c.gobreaker.Allow(); err == nil {
		done(errTrialHangs)
	}
	c.tripping, c.consecutive, c.last = false, 0, nil
}

func (c *breakerCore) isSuccessful(err error) bool {
	r := c.breaker.rule.Load()
	if err == errRanSlow { //nolint:errorlint // our own sentinel, never wrapped
		if c.slow != nil {
			c.slow.addSlow(time.Now())
		}
		return false
	}
	slow, failed := err == errSlow, isFailure(err) //nolint:errorlint // our own sentinel, never wrapped
	if failed {
		c.consecutive++
		c.last = err
		var s *slowError
		slow = errors.As(err, &s)
	} else {
		c.consecutive = 0
	}
	if r.slowCallRate > 0 {
		if c.slow == nil {
			c.slow = newWindow(r.window)
		}
		c.slow.add(time.Now(), failed, slow)
	}
	return err == nil
}

// readyToTrip decides when a closed breaker opens, and keeps why: when the state has changed the counts are gone.
func (c *breakerCore) readyToTrip(n gobreaker.Counts) bool {
	if c.tripping {
		return true
	}
	r := c.breaker.rule.Load()
	// Requests would include the calls in flight.
	total, failed, slow := int(n.TotalSuccesses+n.TotalFailures), int(n.TotalFailures), 0
	if r.slowCallRate > 0 && c.slow != nil {
		// Slow calls went to gobreaker as failures, and are told apart here.
		total, failed, slow = c.slow.sum(time.Now())
	}
	switch {
	case r.consecutiveFailures > 0 && c.consecutive >= r.consecutiveFailures:
		c.cause = fmt.Sprintf("%d failures in a row, the last: %s", c.consecutive, describe(c.last))
	case total < r.minRequests:
		return false
	case r.failureRate > 0 && float64(failed) >= r.failureRate*float64(total):
		c.cause = fmt.Sprintf("%d of %d calls failed within %s, the last: %s",
			failed, total, config.Duration(r.window), describe(c.last))
	case r.slowCallRate > 0 && float64(slow) >= r.slowCallRate*float64(total):
		c.cause = fmt.Sprintf("%d of %d calls took %s or longer within %s",
			slow, total, config.Duration(r.slowCallDuration), config.Duration(r.window))
	default:
		return false
	}
	return true
}

func (c *breakerCore) onStateChange(_ string, from, to gobreaker.State) {
	c.consecutive, c.slow = 0, nil
	switch to {
	case gobreaker.StateOpen:
		if from == gobreaker.StateHalfOpen {
			c.cause = "a trial call failed: " + describe(c.last)
		}
		c.breaker.changed(c, phaseOpen, c.cause)
	case gobreaker.StateClosed:
		c.breaker.changed(c, phaseClosed, "")
	case gobreaker.StateHalfOpen:
		// When that happens is decided by the breaker around it.
	}
	c.last = nil
}

// describe is an error for a log line: the code and a bounded text.
func describe(err error) string {
	if err == nil {
		return "a slow call"
	}
	e := code.From(err)
	text := code.Clip(strings.TrimPrefix(e.Message, e.Code.String()+": "), 200) // refusals begin with it
	if e.Code == code.Unknown {
		return text
	}
	return e.Code.String() + ": " + text
}
