package policies_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

// unreachable is what a client says that waits for its next attempt to connect, or for the end of one that it makes: it
// asks about no endpoint.
func unreachable(context.Context, int, client.EndpointFilter) error {
	return code.Unreached(code.Remote(code.Errorf(code.Unavailable, "no endpoint of Billing can be reached").WithReason(code.ReasonNoEndpoint)))
}

func TestAnUnreachableUpstreamOpensTheBreakersOfItsEndpoints(t *testing.T) {
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

// A client in backoff has not tried anything: a probe of a breaker makes it connect at once, so
// that the breaker closes as soon as it may, and opens again only when that was in vain.
func TestAProbeMakesAClientInBackoffConnectAtOnce(t *testing.T) {
	for _, scope := range []string{config.ScopeEndpoint, config.ScopeUpstream, config.ScopeMethod} {
		synctest.Test(t, func(t *testing.T) {
			b := newBilling(t, toBilling("calls", circuit(config.CircuitBreaker{
				ConsecutiveFailures: 3, OpenTimeout: config.Duration(5 * time.Second), HalfOpenRequests: 1, Scope: scope,
			})))
			b.serve("a:1")
			var redialled, back bool
			try := func() error {
				redialled = false
				return b.call(t.Context(), func(c *outCall) {
					c.attempt = func(ctx context.Context, slot int, endpoints client.EndpointFilter) error {
						switch redialled = c.redialled > 0; {
						case !redialled:
							return unreachable(ctx, slot, endpoints)
						case !back:
							if endpoints != nil && endpoints.Admit("a:1") {
								endpoints.Settle("a:1", errDial)
							}
							return unreachable(ctx, slot, endpoints)
						}
						return b.attempt(ctx, slot, endpoints)
					}
				})
			}
			for range 3 {
				if e := code.From(try()); e.Reason != code.ReasonNoEndpoint || redialled {
					t.Fatalf("%s: got %v, redialled: %t", scope, e, redialled)
				}
			}
			for _, back = range []bool{false, true} {
				if e := refusal(t, try()); e.Reason != code.ReasonBreakerOpen {
					t.Errorf("%s: got %v", scope, e)
				}
				time.Sleep(5500 * time.Millisecond)
				if err := try(); !redialled || (err == nil) != back {
					t.Errorf("%s: back %t: redialled %t: %v", scope, back, redialled, err)
				}
			}
			var to []string
			for _, told := range b.transitions() {
				to = append(to, told.To)
			}
			if want := []string{"open", "half_open", "open", "half_open", "closed"}; !slices.Equal(to, want) {
				t.Errorf("%s: %v", scope, to)
			}
		})
	}
}

// Others that are there, but are not to be used, do not keep the client from trying again those that may be.
func TestTheProbeOfOneEndpointDoesNotWaitForOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", circuit(config.CircuitBreaker{ConsecutiveFailures: 1, OpenTimeout: config.Duration(5 * time.Second)})))
		b.serve("a:1", "b:1")
		call := func(connected string) error {
			return b.call(t.Context(), func(c *outCall) {
				c.attempt = func(ctx context.Context, slot int, endpoints client.EndpointFilter) error {
					for _, address := range []string{"a:1", "b:1"} {
						if !strings.Contains(connected, address) && c.redialled == 0 || !endpoints.Admit(address) {
							continue
						}
						var err error
						if address == "a:1" {
							err = errDown
						}
						endpoints.Settle(address, err)
						return err
					}
					return unreachable(ctx, slot, endpoints)
				}
			})
		}
		_ = call("") // both open
		time.Sleep(4 * time.Second)
		_ = call("a:1")
		time.Sleep(2 * time.Second)
		_ = call("a:1") // the probe of a fails, and b is due as well
		if err := call("a:1"); err != nil {
			t.Errorf("b is back: %v", err)
		}
	})
}

// halfOpen is a client whose only endpoint was down: its breaker lets some calls through next.
func halfOpen(t *testing.T, scope string, probes int) *billing {
	t.Helper()
	b := newBilling(t, toBilling("calls", circuit(config.CircuitBreaker{
		ConsecutiveFailures: 1, OpenTimeout: config.Duration(5 * time.Second), HalfOpenRequests: probes, Scope: scope,
	})))
	b.serve("a:1")
	b.answer = always(errDown)
	b.fail(1)
	time.Sleep(6 * time.Second)
	return b
}

// What a peer or a handler says of its own upstreams is an answer like others.
func TestAProbeThatWasAnsweredReachedAnEndpoint(t *testing.T) {
	passedOn := code.Remote(code.Errorf(code.NotFound, "of another service").WithReason(code.ReasonNoEndpoint))
	for _, scope := range []string{config.ScopeEndpoint, config.ScopeUpstream} {
		synctest.Test(t, func(t *testing.T) {
			b := halfOpen(t, scope, 1)
			b.answer = always(passedOn)
			redialled := 0
			if err := b.call(t.Context(), func(c *outCall) {
				c.attempt = func(ctx context.Context, slot int, endpoints client.EndpointFilter) error {
					redialled += c.redialled
					return b.attempt(ctx, slot, endpoints)
				}
			}); code.Of(err) != code.NotFound || redialled > 0 {
				t.Errorf("%s: %v, redialled %d times", scope, err, redialled)
			}
			if told := b.transitions(); told[len(told)-1].To != "closed" {
				t.Errorf("%s: %+v", scope, told)
			}
		})
	}
	synctest.Test(t, func(t *testing.T) {
		c := breakerChain(t, tripsAt(1))
		c.calls(1, errDown)
		time.Sleep(6 * time.Second)
		c.calls(2, code.Unreached(passedOn)) // the handler has run, and found nobody
		c.breaker("closed")
	})
}

func TestCallsBesideAProbeMakeNoClientConnect(t *testing.T) {
	for _, scope := range []string{config.ScopeEndpoint, config.ScopeUpstream} {
		synctest.Test(t, func(t *testing.T) {
			b := halfOpen(t, scope, 2)
			free, redialled := make(chan struct{}), 0
			b.answer = func(context.Context, string, int) error { <-free; return nil }
			call := func() error {
				return b.call(t.Context(), func(c *outCall) {
					c.attempt = func(ctx context.Context, slot int, endpoints client.EndpointFilter) error {
						if c.redialled == 0 {
							return unreachable(ctx, slot, endpoints)
						}
						redialled++
						return b.attempt(ctx, slot, endpoints)
					}
				})
			}
			var probes sync.WaitGroup
			for range 2 {
				probes.Go(func() { _ = call() })
				synctest.Wait()
			}
			for range 10 {
				if err := call(); reasonOf(err) != code.ReasonBreakerOpen {
					t.Errorf("%s: %v", scope, err)
				}
			}
			if redialled != 2 {
				t.Errorf("%s: %d had the client connect", scope, redialled)
			}
			close(free)
			probes.Wait()
		})
	}
}

func codeOf(failOn []string) code.Code {
	if slices.Contains(failOn, "DEADLINE_EXCEEDED") {
		return code.DeadlineExceeded
	}
	return code.Unavailable
}

// A client that is still connecting at the caller's deadline has reached no endpoint: the breaker opens again, whatever it
// counts, and refuses further calls at once.
func TestAProbeThatCannotConnectBeforeItsCallersDeadlineFails(t *testing.T) {
	for _, failOn := range [][]string{nil, {"UNAVAILABLE"}, {"DEADLINE_EXCEEDED"}} {
		for _, scope := range []string{config.ScopeEndpoint, config.ScopeUpstream} {
			synctest.Test(t, func(t *testing.T) {
				b := newBilling(t, toBilling("calls", circuit(config.CircuitBreaker{
					ConsecutiveFailures: 3, OpenTimeout: config.Duration(5 * time.Second), Scope: scope, FailOn: failOn,
				})))
				b.serve("a:1")
				errSlowAnswer := code.Remote(code.Errorf(codeOf(failOn), "too slow"))
				blackHole := func(c *outCall) {
					c.attempt = func(ctx context.Context, slot int, endpoints client.EndpointFilter) error {
						if c.redialled == 0 {
							return unreachable(ctx, slot, endpoints)
						}
						admitted := endpoints != nil && endpoints.Admit("a:1")
						<-ctx.Done()
						err := code.Unreached(code.Remote(code.Errorf(code.DeadlineExceeded, "not connected yet").WithReason(code.ReasonTimeout)))
						if admitted {
							endpoints.Settle("a:1", err)
						}
						return err
					}
				}
				call := func() error {
					ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
					defer cancel()
					return b.call(ctx, blackHole)
				}
				for range 3 {
					_ = b.call(t.Context(), func(c *outCall) {
						c.attempt = func(_ context.Context, _ int, endpoints client.EndpointFilter) error {
							if endpoints != nil && endpoints.Admit("a:1") {
								endpoints.Settle("a:1", errSlowAnswer)
							}
							return errSlowAnswer
						}
					})
				}
				for range 3 {
					time.Sleep(6 * time.Second)
					if err := call(); code.Of(err) != code.DeadlineExceeded {
						t.Errorf("%s: the probe: %v", scope, err)
					}
					if err := call(); reasonOf(err) != code.ReasonBreakerOpen {
						t.Errorf("%s: after it: %v", scope, err)
					}
				}
			})
		}
	}
}

// One that has connected in time, and then got no answer, says nothing.
func TestAProbeThatIsTooSlowForItsCallerDecidesNothing(t *testing.T) {
	for _, scope := range []string{config.ScopeEndpoint, config.ScopeUpstream} {
		synctest.Test(t, func(t *testing.T) {
			b := halfOpen(t, scope, 3)
			b.answer = func(ctx context.Context, _ string, _ int) error {
				<-ctx.Done()
				return code.Remote(code.Errorf(code.DeadlineExceeded, "no answer").WithReason(code.ReasonTimeout))
			}
			for range 10 {
				ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
				err := b.call(ctx, func(c *outCall) {
					c.attempt = func(ctx context.Context, slot int, endpoints client.EndpointFilter) error {
						if c.redialled == 0 {
							return unreachable(ctx, slot, endpoints)
						}
						return b.attempt(ctx, slot, endpoints)
					}
				})
				cancel()
				if code.Of(err) != code.DeadlineExceeded {
					t.Errorf("%s: %v", scope, err)
				}
			}
			if told := b.transitions(); told[len(told)-1].To != "half_open" {
				t.Errorf("%s: %+v", scope, told)
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
