package limit

import (
	"errors"
	"fmt"
	"time"

	"github.com/sony/gobreaker/v2"
)

// breakerCore is a gobreaker with the state of its callbacks. They run inside its lock, which guards these fields, and
// must not call it.
type breakerCore struct {
	breaker     *Breaker
	mu          mutex // taken around gobreaker's lock, on which calls would sleep
	gobreaker   *gobreaker.TwoStepCircuitBreaker[struct{}]
	consecutive int     // gobreaker's own count of failures in a row decays with the window
	last        error   // the last failure
	cause       string  // why it opens
	slow        *window // with SlowCallRate
	tripping    bool

	outcomes uint32 // of the last calls, the last in the lowest bits
	failure  error  // the last one, whatever the state
}

// Outcomes of calls as breakerCore.outcomes has them.
const (
	outcomeOK = 1 + iota
	outcomeFailed
	outcomeSlow

	outcomeBits = 2
)

var outcomeNames = [...]string{outcomeOK: "ok", outcomeFailed: "failed", outcomeSlow: "slow"}

func newBreakerCore(b *Breaker, r *BreakerSettings) *breakerCore {
	c := &breakerCore{breaker: b}
	c.gobreaker = gobreaker.NewTwoStepCircuitBreaker[struct{}](gobreaker.Settings{
		MaxRequests: uint32(r.HalfOpenRequests),
		// An interval of zero would never forget, and without buckets all would be forgotten at once.
		Interval:     r.Window,
		BucketPeriod: max(r.Window/windowBuckets, 1),
		// Breaker keeps the open time.
		Timeout:       1,
		ReadyToTrip:   c.readyToTrip,
		OnStateChange: c.onStateChange,
		IsSuccessful:  c.isSuccessful,
		IsExcluded:    func(err error) bool { return err == ErrExcluded }, //nolint:errorlint // our own sentinel, never wrapped
	})
	return c
}

// allow asks gobreaker to make a call. The caller hands the outcome to report, with done.
func (c *breakerCore) allow() (done func(error), err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gobreaker.Allow()
}

// report reports the outcome of a call.
func (c *breakerCore) report(done func(error), outcome error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	done(outcome)
}

// counts returns what gobreaker has counted.
func (c *breakerCore) counts() gobreaker.Counts {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.gobreaker.Counts()
}

// newTrippedCore returns a core that is open.
func newTrippedCore(b *Breaker, r *BreakerSettings) *breakerCore {
	c := newBreakerCore(b, r)
	c.tripping = true
	if done, err := c.gobreaker.Allow(); err == nil {
		done(ErrProbeTimeout)
	}
	c.tripping, c.consecutive, c.last, c.outcomes, c.failure = false, 0, nil, 0, nil
	return c
}

// lastOutcomes returns the outcomes of the last calls, the oldest first, and the last failure.
func (c *breakerCore) lastOutcomes() (list []string, failure string) {
	c.mu.Lock()
	last, err := c.outcomes, c.failure
	c.mu.Unlock()
	for shift := 32 - outcomeBits; shift >= 0; shift -= outcomeBits {
		if o := last >> shift & (1<<outcomeBits - 1); o != 0 {
			list = append(list, outcomeNames[o])
		}
	}
	if err != nil {
		failure = describe(err)
	}
	return list, failure
}

// remember takes over what another core shows of the last calls.
func (c *breakerCore) remember(o *breakerCore) {
	o.mu.Lock()
	defer o.mu.Unlock()
	c.outcomes, c.failure = o.outcomes, o.failure
}

func (c *breakerCore) note(outcome uint32) { c.outcomes = c.outcomes<<outcomeBits | outcome }

func (c *breakerCore) isSuccessful(err error) bool {
	r := c.breaker.settings.Load()
	if err == errRanSlow { //nolint:errorlint // our own sentinel, never wrapped
		if c.slow != nil {
			c.slow.addSlow(time.Now())
		}
		return false
	}
	slow, failed := err == errSlow, isFailure(err) //nolint:errorlint // our own sentinel, never wrapped
	switch {
	case failed:
		c.note(outcomeFailed)
		c.consecutive++
		c.last, c.failure = err, err
		var s *slowError
		slow = errors.As(err, &s)
	case slow:
		c.note(outcomeSlow)
		c.consecutive = 0
	default:
		c.note(outcomeOK)
		c.consecutive = 0
	}
	if r.SlowCallRate > 0 {
		if c.slow == nil {
			c.slow = newWindow(r.Window)
		}
		c.slow.add(time.Now(), failed, slow)
	}
	return err == nil
}

// readyToTrip decides when a closed breaker opens, and keeps the cause: the counts are reset with the state.
func (c *breakerCore) readyToTrip(n gobreaker.Counts) bool {
	if c.tripping {
		return true
	}
	if h := c.breaker.Held(); h != nil && !h.Open {
		return false
	}
	r := c.breaker.settings.Load()
	// Requests would include the calls in flight.
	total, failed, slow := int(n.TotalSuccesses+n.TotalFailures), int(n.TotalFailures), 0
	if r.SlowCallRate > 0 && c.slow != nil {
		// gobreaker counts slow calls as failures; the window distinguishes them.
		total, failed, slow = c.slow.sum(time.Now())
	}
	switch {
	case r.ConsecutiveFailures > 0 && c.consecutive >= r.ConsecutiveFailures:
		c.cause = fmt.Sprintf("%d consecutive failures, the last: %s", c.consecutive, describe(c.last))
	case total < r.MinRequests:
		return false
	case r.FailureRate > 0 && float64(failed) >= r.FailureRate*float64(total):
		c.cause = fmt.Sprintf("%d of %d calls failed within %s, the last: %s",
			failed, total, short(r.Window), describe(c.last))
	case r.SlowCallRate > 0 && float64(slow) >= r.SlowCallRate*float64(total):
		c.cause = fmt.Sprintf("%d of %d calls took %s or longer within %s",
			slow, total, short(r.SlowCallDuration), short(r.Window))
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
			c.cause = "a probe failed: " + describe(c.last)
		}
		c.breaker.changed(c, phaseOpen, c.cause)
	case gobreaker.StateClosed:
		c.breaker.changed(c, phaseClosed, "")
	case gobreaker.StateHalfOpen:
		// Breaker decides when.
	}
	c.last = nil
}
