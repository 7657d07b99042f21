package policies_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

func TestWhatIsNoFailure(t *testing.T) {
	for _, test := range []struct {
		name   string
		err    error
		failOn []string
		fails  bool
	}{
		{"unavailable", errDown, nil, true},
		{"internal, as panics are", code.Errorf(code.Internal, "x").WithReason(code.ReasonPanic), nil, true},
		{"deadline", code.Errorf(code.DeadlineExceeded, "x"), nil, true},
		{"context's deadline", context.DeadlineExceeded, nil, true},
		{"connection lost", code.Errorf(code.Unavailable, "x").WithReason(code.ReasonConnectionLost), nil, true},
		{"nobody to ask", code.Errorf(code.Unavailable, "x").WithReason(code.ReasonNoEndpoint), nil, true},
		{"peer overloaded", code.Errorf(code.Unavailable, "x").WithReason(code.ReasonOverloaded), nil, true},
		{"plain", errors.New("no such order"), nil, false},
		{"business code", code.Errorf(code.NotFound, "x"), nil, false},
		{"cancelled", code.Errorf(code.Cancelled, "x"), []string{"CANCELLED", "UNAVAILABLE"}, false},
		{"context cancelled", fmt.Errorf("x: %w", context.Canceled), nil, false},
		{"peer's breaker", code.Errorf(code.Unavailable, "x").WithReason(code.ReasonBreakerOpen), nil, false},
		{"peer draining", code.Errorf(code.Unavailable, "x").WithReason(code.ReasonDraining), nil, false},
		{"peer's limit", code.Errorf(code.ResourceExhausted, "x").WithReason(code.ReasonRateLimited), []string{"RESOURCE_EXHAUSTED"}, false},
		{"failOn others", errDown, []string{"INTERNAL"}, false},
		{"failOn given", code.Errorf(code.NotFound, "x"), []string{"NOT_FOUND"}, true},
	} {
		cb := tripsAt(3)
		cb.FailOn = test.failOn
		c := breakerChain(t, cb)
		c.calls(3, test.err)
		if open := c.call(mul, policies.Call{}, nil) != nil; open != test.fails {
			t.Errorf("%s: counted as a failure: %v", test.name, open)
		}
	}
}

func TestDeadlineThatTheCallerSetShorterIsNoFailure(t *testing.T) {
	for _, test := range []struct {
		name     string
		timeout  time.Duration
		callers  time.Duration
		failures bool
	}{
		{"the rule's", time.Second, 0, true},
		{"the rule's, shorter than the caller's", time.Second, time.Minute, true},
		{"the caller's", time.Minute, time.Second, false},
		{"the caller's, no timeout", 0, time.Second, false},
	} {
		for _, late := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				set := []func(*config.Rule){}
				if test.timeout > 0 {
					set = append(set, timeout(test.timeout))
				}
				c := breakerChain(t, tripsAt(2), set...)
				for range 2 {
					call := policies.Call{Arrived: time.Now()}
					if test.callers > 0 {
						call.Deadline = time.Now().Add(test.callers)
					}
					ticket, err := c.enter(mul, call)
					if err != nil {
						t.Fatal(err)
					}
					deadline, _ := ticket.Deadline()
					time.Sleep(time.Until(deadline))
					if late {
						_ = ticket.Late()
					}
					ticket.Done(context.DeadlineExceeded)
				}
				if open := c.call(mul, policies.Call{}, nil) != nil; open != test.failures {
					t.Errorf("%s, late %v: open: %v", test.name, late, open)
				}
			})
		}
	}
}

func TestRefusalByALaterRuleIsNoOutcome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := breakerChain(t, tripsAt(1), concurrency(1, 0, 0))
		c.calls(1, errDown)
		time.Sleep(openTime * 11 / 10)
		running, err := c.enter(mul, policies.Call{})
		if err != nil {
			t.Fatal(err)
		}
		for range 10 {
			if e := refusal(t, c.call(mul, policies.Call{}, nil)); e.Reason != code.ReasonOverloaded {
				t.Fatalf("the permit of a probe is not free again: %v", e)
			}
		}
		running.Done(nil)
		c.calls(1, nil)
		c.breaker("closed")
	})
}
