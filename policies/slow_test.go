package policies_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// slowFrom opens when half of at least ten calls take d.
func slowFrom(d time.Duration) config.CircuitBreaker {
	return config.CircuitBreaker{
		SlowCallDuration: config.Duration(d), SlowCallRate: 0.5, MinRequests: 10, HalfOpenRequests: 1,
		OpenTimeout: config.Duration(openTime),
	}
}

// serveLate serves a call as a host does: it is answered at its deadline, and its handler returns when it likes.
func (c *chain) serveLate(call policies.Call, runs time.Duration, err error) {
	c.t.Helper()
	ticket, refused := c.enter(mul, call)
	if refused != nil {
		return
	}
	if deadline, ok := ticket.Deadline(); ok && time.Until(deadline) < runs {
		runs -= time.Until(deadline)
		time.Sleep(time.Until(deadline))
		_ = ticket.Late()
	}
	time.Sleep(runs)
	ticket.Done(err)
}

func TestACallIsSlowHoweverItEnded(t *testing.T) {
	refused := code.Remote(code.Refuse(code.ResourceExhausted, code.ReasonRateLimited, "rate limited", "far@r1", "far", 0))
	for _, test := range []struct {
		name          string
		slow          time.Duration
		callers, rule time.Duration // deadlines; 0: none
		runs          time.Duration
		err           error
		opens         bool
	}{
		{"the caller's deadline ends what is slow already", 100 * time.Millisecond, 300 * time.Millisecond, 0, 3 * time.Second, context.DeadlineExceeded, true},
		{"and with a timeout that is longer", 100 * time.Millisecond, 300 * time.Millisecond, time.Minute, 3 * time.Second, context.DeadlineExceeded, true},
		{"the handler runs on, and is slow in the end", time.Second, 300 * time.Millisecond, 0, 3 * time.Second, nil, true},
		{"it returns soon after the deadline", time.Second, 300 * time.Millisecond, 0, 400 * time.Millisecond, nil, false},
		{"it heeds the deadline", time.Second, 300 * time.Millisecond, 0, 300 * time.Millisecond, context.DeadlineExceeded, false},
		{"the rule's timeout ends what is slow already", 100 * time.Millisecond, 0, 300 * time.Millisecond, 3 * time.Second, context.DeadlineExceeded, true},
		{"the handler runs on behind the rule's timeout", time.Second, 0, 300 * time.Millisecond, 3 * time.Second, context.DeadlineExceeded, true},
		{"it heeds the rule's timeout", time.Second, 0, 300 * time.Millisecond, 300 * time.Millisecond, context.DeadlineExceeded, false},
		{"the caller cancels what is slow already", 100 * time.Millisecond, 0, 0, 300 * time.Millisecond, context.Canceled, true},
		{"the caller cancels in time", 100 * time.Millisecond, 0, 0, 50 * time.Millisecond, context.Canceled, false},
		{"a peer of the handler refuses in the end", 100 * time.Millisecond, 0, 0, 300 * time.Millisecond, refused, true},
		{"a peer of the handler refuses at once", 100 * time.Millisecond, 0, 0, time.Millisecond, refused, false},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				var more []func(*config.Rule)
				if test.rule > 0 {
					more = append(more, timeout(test.rule))
				}
				c := breakerChain(t, slowFrom(test.slow), more...)
				for range 16 {
					call := policies.Call{Arrived: time.Now()}
					if test.callers > 0 {
						call.Deadline = time.Now().Add(test.callers)
					}
					go c.serveLate(call, test.runs, test.err)
				}
				time.Sleep(max(test.slow, test.runs) + time.Millisecond)
				if test.opens {
					c.breaker("open")
				} else {
					c.breaker("closed")
				}
				time.Sleep(test.runs)
			})
		})
	}
}

// What still hangs when it has taken too long is slow: its end may never come.
func TestACallThatNeverReturnsIsSlowOnceItHasTakenSoLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := breakerChain(t, slowFrom(time.Second))
		for range 10 {
			ticket, err := c.enter(mul, policies.Call{Deadline: time.Now().Add(300 * time.Millisecond)})
			if err != nil {
				t.Fatal(err)
			}
			time.AfterFunc(300*time.Millisecond, func() { _ = ticket.Late() })
		}
		time.Sleep(time.Second - 1)
		c.breaker("closed")
		time.Sleep(2 * time.Nanosecond)
		if s := c.breaker("open"); s.Cause != "10 of 10 calls took 1s or longer within 10s" {
			t.Error(s.Cause)
		}
	})
}

// A timeout is a failure at once, and one call, though it turns out to be slow as well.
func TestAFailureThatTurnsOutToBeSlowIsBothAndOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cb := slowFrom(time.Second)
		cb.FailureRate, cb.MinRequests = 0.9, 20
		c := breakerChain(t, cb, timeout(200*time.Millisecond))
		c.calls(9, nil)
		for range 10 {
			go c.serveLate(policies.Call{Arrived: time.Now()}, 3*time.Second, nil)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		c.breaker("closed") // ten of 19 are slow: one call is missing
		c.calls(1, nil)
		go c.serveLate(policies.Call{Arrived: time.Now()}, 3*time.Second, nil)
		time.Sleep(1100 * time.Millisecond)
		if s := c.breaker("open"); s.Cause != "11 of 21 calls took 1s or longer within 10s" {
			t.Error(s.Cause)
		}
		time.Sleep(3 * time.Second)
	})
}

func TestASlowProbeFailsWhoseverDeadlineEndsIt(t *testing.T) {
	for _, slow := range []time.Duration{100 * time.Millisecond, time.Second} {
		for name, runs := range map[string]time.Duration{"slow": 3 * time.Second, "ended by its caller": 50 * time.Millisecond} {
			synctest.Test(t, func(t *testing.T) {
				c := breakerChain(t, slowFrom(slow))
				for range 10 {
					go c.serveLate(policies.Call{Arrived: time.Now()}, 2*time.Second, nil)
				}
				time.Sleep(2 * time.Second)
				synctest.Wait()
				c.breaker("open")
				time.Sleep(openTime * 11 / 10)
				go c.serveLate(policies.Call{Arrived: time.Now(), Deadline: time.Now().Add(300 * time.Millisecond)}, runs, context.Canceled)
				time.Sleep(max(slow, 300*time.Millisecond) + time.Millisecond)
				want := "half_open"
				if runs > slow {
					want = "open"
				}
				if s := c.breaker(want); want == "open" && s.Cause != "a probe failed: a slow call" {
					t.Error(s.Cause)
				}
				if refused := c.call(mul, policies.Call{}, nil); (refused == nil) != (want == "half_open") {
					t.Errorf("%s, slow from %v: the next probe: %v", name, slow, refused)
				}
				time.Sleep(3 * time.Second)
			})
		}
	}
}

func TestAnOutgoingCallIsSlowHoweverItEnded(t *testing.T) {
	for _, test := range []struct {
		name  string
		slow  time.Duration
		end   func(context.Context) (context.Context, context.CancelFunc)
		opens bool
	}{
		{"the caller's deadline", 100 * time.Millisecond, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 300*time.Millisecond)
		}, true},
		{"the caller's deadline, in time", time.Second, func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 300*time.Millisecond)
		}, false},
		{"the caller hangs up", 100 * time.Millisecond, func(ctx context.Context) (context.Context, context.CancelFunc) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(300*time.Millisecond, cancel)
			return ctx, cancel
		}, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			cb := slowFrom(test.slow)
			cb.Scope = config.ScopeUpstream
			b := newBilling(t, toBilling("calls", circuit(cb)))
			b.answer = func(ctx context.Context, _ string, _ int) error { return until(ctx) }
			for range 10 {
				ctx, cancel := test.end(t.Context())
				_ = b.call(ctx)
				cancel()
			}
			if opened := len(b.transitions()) == 1; opened != test.opens {
				t.Errorf("%s: %+v", test.name, b.transitions())
			}
		})
	}
}

// A deadline that a rule of this host set for the call within which another is made is not the caller's.
func TestADeadlineOfOurOwnRulesCountsAgainstAnUpstream(t *testing.T) {
	for _, test := range []struct {
		name   string
		within bool
		rule   func(*config.Rule)
	}{
		{"breaker", true, circuit(config.CircuitBreaker{ConsecutiveFailures: 3, Scope: config.ScopeUpstream})},
		{"breaker", false, circuit(config.CircuitBreaker{ConsecutiveFailures: 3, Scope: config.ScopeUpstream})},
		{"outliers", true, outlying(config.OutlierDetection{ConsecutiveFailures: 3})},
		{"outliers", false, outlying(config.OutlierDetection{ConsecutiveFailures: 3})},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBilling(t, toBilling("calls", timeout(time.Second), test.rule))
			b.answer = func(ctx context.Context, _ string, _ int) error { return until(ctx) }
			for range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
				deadline := time.Time{}
				if test.within {
					deadline, _ = ctx.Deadline()
				}
				call := &outCall{upstream: "billing", service: "Billing", method: "Get", attempt: b.attempt}
				_, _, err := b.guard.DoWithin(ctx, call, deadline)
				cancel()
				if code.Of(err) != code.DeadlineExceeded {
					t.Fatal(err)
				}
			}
			if told := b.transitions(); (len(told) == 1) != test.within {
				t.Errorf("%s, within a deadline of ours %v: %+v", test.name, test.within, told)
			}
		})
	}
}

func TestAProbeThatEndsAtADeadlineOfOurOwnRulesFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", circuit(config.CircuitBreaker{
			ConsecutiveFailures: 1, Scope: config.ScopeUpstream, HalfOpenRequests: 1, OpenTimeout: config.Duration(openTime),
		})))
		b.answer = always(errDown)
		b.fail(1)
		time.Sleep(openTime * 11 / 10)
		b.answer = func(ctx context.Context, _ string, _ int) error { return until(ctx) }
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		deadline, _ := ctx.Deadline()
		_, _, _ = b.guard.DoWithin(ctx, &outCall{upstream: "billing", service: "Billing", method: "Get", attempt: b.attempt}, deadline)
		if told := b.transitions(); len(told) != 3 || told[2].To != "open" {
			t.Errorf("%+v", told)
		}
	})
}

// perTryTimeout is ours, be it that the caller's deadline is right behind it.
func TestPerTryTimeoutJustBeforeTheCallersDeadlineIsAFailure(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", outlying(config.OutlierDetection{ConsecutiveFailures: 1}), retry(config.Retry{
			MaxAttempts: 2, PerTryTimeout: config.Duration(298 * time.Millisecond),
		})))
		b.answer = func(ctx context.Context, _ string, _ int) error { return until(ctx) }
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_ = b.call(ctx)
		if told := b.transitions(); len(told) != 1 || told[0].To != "ejected" {
			t.Errorf("%+v", told)
		}
	})
}

// What config goes by: with slow calls to count, the end of a call decides in which part of the window it counts.
func TestABreakerThatCountsSlowCallsSeesThoseThatOutlastItsWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cb := slowFrom(time.Second)
		cb.FailureRate, cb.Window = 0.5, config.Duration(2*time.Second)
		c := breakerChain(t, cb, timeout(30*time.Second))
		for range 10 {
			go c.serveLate(policies.Call{Arrived: time.Now()}, 30*time.Second, context.DeadlineExceeded)
		}
		time.Sleep(31 * time.Second)
		if s := c.breaker("open"); s.Cause != "10 of 10 calls failed within 2s, the last: DEADLINE_EXCEEDED: context deadline exceeded" {
			t.Error(s.Cause)
		}
	})
}
