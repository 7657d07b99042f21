package policies

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/code"
)

// unreachable is what a client says that waits for its next attempt to connect: it asks about no endpoint.
func unreachable(context.Context, int, Endpoints) error {
	e := code.Refuse(code.Unavailable, code.ReasonNoEndpoint, "no endpoint of Billing can be reached", "", "", time.Second)
	return code.Remote(e)
}

func TestAnUpstreamThatNobodyCanReachOpensTheBreakersOfItsEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", circuit(config.CircuitBreaker{ConsecutiveFailures: 3, OpenTimeout: config.Duration(5 * time.Second)})))
		dead := func(c *outCall) { c.attempt = unreachable }
		for range 3 {
			if e := code.From(b.call(t.Context(), dead)); e.Reason != code.ReasonNoEndpoint {
				t.Fatalf("got %v", e)
			}
		}
		e := refusal(t, b.call(t.Context(), dead))
		if e.Reason != code.ReasonBreakerOpen || e.Rule != "calls@r1" || e.RetryAfter < 4500*time.Millisecond {
			t.Errorf("got %+v", e)
		}
		if want := "UNAVAILABLE: circuit breaker open for all endpoints of billing by calls@r1, retry in "; e.Message[:len(want)] != want {
			t.Errorf("says %q", e.Message)
		}
		// It is back: nothing is sent before a breaker tries again, and then all goes well.
		if err := b.call(t.Context()); code.From(err).Reason != code.ReasonBreakerOpen || b.went() != "[]" {
			t.Errorf("got %v", err)
		}
		time.Sleep(5500 * time.Millisecond)
		for range 3 {
			if err := b.call(t.Context()); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestAClientThatWaitsToConnectMakesNoTrial(t *testing.T) {
	for _, scope := range []string{config.ScopeEndpoint, config.ScopeUpstream} {
		synctest.Test(t, func(t *testing.T) {
			b := newBilling(t, toBilling("calls", circuit(config.CircuitBreaker{
				ConsecutiveFailures: 3, OpenTimeout: config.Duration(5 * time.Second), Scope: scope,
			})))
			dead := func(c *outCall) { c.attempt = unreachable }
			for range 3 {
				_ = b.call(t.Context(), dead)
			}
			if e := refusal(t, b.call(t.Context())); e.Reason != code.ReasonBreakerOpen {
				t.Fatalf("%s: got %v", scope, e)
			}
			time.Sleep(5500 * time.Millisecond) // it is back, and the client does not know yet
			for range 10 {
				if e := code.From(b.call(t.Context(), dead)); e.Reason != code.ReasonNoEndpoint {
					t.Errorf("%s: got %v", scope, e)
				}
			}
			for range 3 {
				if err := b.call(t.Context()); err != nil {
					t.Errorf("%s: it is connected: %v", scope, err)
				}
			}
		})
	}
}

func TestAnUpstreamWithoutEndpointsIsNotRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", circuit(config.CircuitBreaker{ConsecutiveFailures: 1}), outlying(config.OutlierDetection{ConsecutiveFailures: 1})))
		b.serve()
		for range 3 {
			if e := code.From(b.call(t.Context(), func(c *outCall) { c.attempt = unreachable })); e.Reason != code.ReasonNoEndpoint {
				t.Errorf("got %v", e)
			}
		}
		if n := len(b.transitions()); n > 0 {
			t.Errorf("%d transitions", n)
		}
	})
}
