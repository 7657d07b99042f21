package policies_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

const openTime = 5 * time.Second

// tripsAt opens after n failures in a row.
func tripsAt(n int) config.CircuitBreaker {
	return config.CircuitBreaker{ConsecutiveFailures: n, OpenTimeout: config.Duration(openTime), HalfOpenRequests: 2}
}

func halfOf(minimum int) config.CircuitBreaker {
	return config.CircuitBreaker{
		FailureRate: 0.5, MinRequests: minimum, Window: config.Duration(10 * time.Second), OpenTimeout: config.Duration(openTime),
	}
}

func (c *chain) calls(n int, err error) {
	c.t.Helper()
	for i := range n {
		if refusal := c.call(mul, policies.Call{}, err); refusal != nil {
			c.t.Fatalf("call %d of %d: %v", i, n, refusal)
		}
	}
}

// limiter returns the only rate limiter.
func (c *chain) limiter() policies.LimiterStats {
	c.t.Helper()
	list := c.now.Limiters()
	if len(list) != 1 {
		c.t.Fatalf("%d limiters, want one", len(list))
	}
	return list[0]
}

func (c *chain) breaker(want string) policies.BreakerStats {
	c.t.Helper()
	for _, s := range c.now.Breakers() {
		if s.Target == mul.String() {
			if s.State != want {
				c.t.Errorf("the breaker is %s, want %s", s.State, want)
			}
			return s
		}
	}
	c.t.Fatal("no breaker")
	return policies.BreakerStats{}
}

func breakerChain(t *testing.T, cb config.CircuitBreaker, more ...func(*config.Rule)) *chain {
	return newChain(t, newRuleOn("arith", "Arith", append(more, circuit(cb))...))
}

func TestOpenBreakerRefusesUntilItsTimeIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := breakerChain(t, tripsAt(3))
		c.calls(3, errDown)
		e := refusal(t, c.call(mul, policies.Call{}, nil))
		if e.Code != code.Unavailable || e.Reason != code.ReasonBreakerOpen ||
			!strings.HasPrefix(e.Message, "UNAVAILABLE: circuit breaker open by arith@r1 on orders-7, retry in ") {
			t.Errorf("%+v", e)
		}
		if e.RetryAfter < openTime*9/10 || e.RetryAfter > openTime*11/10 {
			t.Errorf("retry after %v", e.RetryAfter)
		}
		time.Sleep(2 * time.Second)
		later := refusal(t, c.call(mul, policies.Call{}, nil))
		if left := e.RetryAfter - 2*time.Second; later.RetryAfter != left {
			t.Errorf("retry after %v, want what is left: %v", later.RetryAfter, left)
		}
		time.Sleep(later.RetryAfter)
		c.calls(2, nil)
		c.breaker("closed")
	})
}

func TestEachMethodHasItsOwnBreaker(t *testing.T) {
	c := breakerChain(t, tripsAt(3))
	c.calls(3, errDown)
	if err := c.call(div, policies.Call{}, nil); err != nil {
		t.Error("Div is refused for the failures of Mul:", err)
	}
}

// A gobreaker with Interval 0 never forgets.
// What config warns of: the outcome of a call counts in the tenth of the window in which it began.
func TestCallsThatOutlastTheWindowDoNotCount(t *testing.T) {
	for took, counts := range map[time.Duration]bool{9 * time.Second: true, 10 * time.Second: false} {
		synctest.Test(t, func(t *testing.T) {
			c := breakerChain(t, halfOf(3))
			var running []*policies.Ticket
			for range 3 {
				ticket, err := c.enter(mul, policies.Call{})
				if err != nil {
					t.Fatal(err)
				}
				running = append(running, ticket)
			}
			time.Sleep(took)
			for _, ticket := range running {
				ticket.Done(errDown)
			}
			if open := c.call(mul, policies.Call{}, nil) != nil; open != counts {
				t.Errorf("failures after %v open a breaker with a window of 10s: %v", took, open)
			}
		})
	}
}

func TestFailuresAreForgottenAfterTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := breakerChain(t, halfOf(10))
		c.calls(9, errDown)
		time.Sleep(11 * time.Second)
		c.calls(1, errDown)
		c.breaker("closed")
	})
}

// A gobreaker without BucketPeriod forgets all at once, so that what straddles two windows never opens it.
func TestWindowSlides(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := breakerChain(t, halfOf(10))
		time.Sleep(7 * time.Second)
		c.calls(5, errDown)
		time.Sleep(5 * time.Second)
		c.calls(5, errDown)
		c.breaker("open")
	})
}

// A done that never comes jams a half-open gobreaker for ever.
func TestLostProbesDoNotBlockTheBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := breakerChain(t, tripsAt(3))
		c.calls(3, errDown)
		time.Sleep(openTime * 11 / 10)
		for range 2 {
			if _, err := c.enter(mul, policies.Call{}); err != nil { // and never done
				t.Fatal(err)
			}
		}
		if e := refusal(t, c.call(mul, policies.Call{}, nil)); e.Reason != code.ReasonBreakerOpen || e.RetryAfter <= 0 {
			t.Errorf("a third probe: %+v", e)
		}
		time.Sleep(openTime + time.Millisecond)
		c.breaker("open")
		time.Sleep(openTime * 11 / 10)
		c.calls(2, nil)
		if s := c.breaker("closed"); !strings.Contains(s.Cause, "did not finish in time") {
			t.Errorf("cause %q", s.Cause)
		}
	})
}

func TestAHangingProbeEndsAtTheTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := breakerChain(t, tripsAt(1), timeout(time.Second))
		c.calls(1, errDown)
		time.Sleep(openTime * 11 / 10)
		hanging, err := c.enter(mul, policies.Call{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(1001 * time.Millisecond)
		c.breaker("open")
		hanging.Done(nil) // comes too late to matter
		c.breaker("open")
	})
}

func TestOutcomeCountsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := breakerChain(t, tripsAt(4), timeout(time.Second))
		for range 3 {
			ticket, err := c.enter(mul, policies.Call{})
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			if e := ticket.Late(); e.Code != code.DeadlineExceeded || e.Rule != "arith@r1" {
				t.Error(e)
			}
			ticket.Done(errDown)
			ticket.Done(errDown)
			_ = ticket.Late()
		}
		c.breaker("closed")
		c.calls(1, errDown)
		c.breaker("open")
		if d := c.decisions("arith", config.KindTimeout); d.Reject != 3 || d.Allow != 1 {
			t.Errorf("%+v", d)
		}
	})
}

// gobreaker runs its callbacks inside its lock.
func TestTransitionsMayBeAskedAbout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var s *policies.Snapshot
		var seen []string
		rules := []config.Rule{newRuleOn("arith", "Arith", circuit(tripsAt(1)))}
		s, err := compile(rules, targets, nil, policies.Options{OnTransition: func(tr policies.Transition) {
			seen = append(seen, tr.From+">"+tr.To+" "+s.State("arith", config.KindCircuitBreaker, mul, ""))
			_ = s.Guard(mul).Enter(context.Background(), &policies.Call{}, new(policies.Ticket))
		}})
		if err != nil {
			t.Fatal(err)
		}
		var ticket policies.Ticket
		_ = s.Guard(mul).Enter(t.Context(), &policies.Call{}, &ticket)
		ticket.Done(errDown)
		if len(seen) != 1 || !strings.HasPrefix(seen[0], "closed>open open since ") {
			t.Errorf("%q", seen)
		}
	})
}

// gobreaker's counts are zero by the time OnStateChange runs.
func TestTransitionNamesWhatTrippedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := breakerChain(t, halfOf(4))
		c.calls(2, nil)
		c.calls(2, fmt.Errorf("orders: %w", errDown))
		time.Sleep(openTime * 11 / 10)
		c.calls(1, code.Errorf(code.Internal, "still down"))
		time.Sleep(openTime * 11 / 10)
		c.calls(3, nil)
		var got []string
		for _, tr := range c.transitions() {
			if tr.Rule != "arith" || tr.Target != "Arith/Mul" || tr.At.IsZero() {
				t.Errorf("%+v", tr)
			}
			got = append(got, strings.TrimRight(tr.From+">"+tr.To+" "+tr.Cause, " "))
		}
		want := []string{
			"closed>open 2 of 4 calls failed within 10s, the last: UNAVAILABLE: orders: db down",
			"open>half_open",
			"half_open>open a probe failed: INTERNAL: still down",
			"open>half_open",
			"half_open>closed",
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if n := c.breaker("closed").Transitions; n["open"] != 2 || n["half_open"] != 2 || n["closed"] != 1 {
			t.Errorf("%v", n)
		}
	})
}

// Errors are texts of handlers and peers: the cause goes into logs and status as valid UTF-8.
func TestACauseIsCutBetweenCharacters(t *testing.T) {
	for _, text := range []string{strings.Repeat("ü", 200), "a" + strings.Repeat("日", 200), "a\xff" + strings.Repeat("😀", 100)} {
		synctest.Test(t, func(t *testing.T) {
			c := breakerChain(t, tripsAt(1))
			c.calls(1, code.Errorf(code.Internal, "%s", text))
			cause := c.breaker("open").Cause
			if !utf8.ValidString(cause) || strings.HasSuffix(cause, "\uFFFD…") || !strings.HasSuffix(cause, "…") || len(cause) > 250 {
				t.Errorf("%q", cause)
			}
		})
	}
}

// gobreaker's Requests include the calls in flight.
func TestCallsInFlightAreNoSuccesses(t *testing.T) {
	c := breakerChain(t, halfOf(10))
	for range 100 {
		_, _ = c.enter(mul, policies.Call{})
	}
	c.calls(10, errDown)
	c.breaker("open")
}

// gobreaker's count of failures in a row decays with the window.
func TestFailuresInARowOutliveTheWindow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := breakerChain(t, tripsAt(5))
		for range 4 {
			c.calls(1, errDown)
			time.Sleep(time.Minute)
		}
		c.breaker("closed")
		c.calls(1, errDown)
		c.breaker("open")
	})
}

func TestSuccessEndsTheRow(t *testing.T) {
	c := breakerChain(t, tripsAt(3))
	for range 10 {
		c.calls(2, errDown)
		c.calls(1, nil)
	}
	c.breaker("closed")
}

// gobreaker has no jitter: all hosts would try again at the same moment.
func TestOpenTimeVariesByTenPercent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := breakerChain(t, tripsAt(1))
		seen := make(map[time.Duration]bool)
		for range 50 {
			c.calls(1, errDown)
			d := refusal(t, c.call(mul, policies.Call{}, nil)).RetryAfter
			if d < openTime*9/10 || d > openTime*11/10 {
				t.Fatal(d)
			}
			seen[d] = true
			time.Sleep(d)
		}
		if len(seen) < 20 {
			t.Errorf("only %d different times", len(seen))
		}
	})
}

func TestSlowCallsOpenIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := breakerChain(t, config.CircuitBreaker{
			SlowCallDuration: config.Duration(100 * time.Millisecond), SlowCallRate: 0.5, MinRequests: 4, FailureRate: 0.9,
			HalfOpenRequests: 1,
		})
		slow := func(d time.Duration, err error) {
			ticket, refused := c.enter(mul, policies.Call{})
			if refused != nil {
				t.Fatal(refused)
			}
			time.Sleep(d)
			ticket.Done(err)
		}
		slow(time.Millisecond, nil)
		slow(time.Millisecond, nil)
		slow(time.Second, nil)
		c.breaker("closed")
		slow(time.Second, errDown)
		if s := c.breaker("open"); s.Cause != "2 of 4 calls took 100ms or longer within 10s" {
			t.Error(s.Cause)
		}
		time.Sleep(6 * time.Second)
		slow(time.Second, nil)
		if s := c.breaker("open"); s.Cause != "a probe failed: a slow call" {
			t.Error(s.Cause)
		}
		time.Sleep(6 * time.Second)
		slow(time.Millisecond, nil)
		c.breaker("closed")
	})
}
