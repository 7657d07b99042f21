package policies_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// scoped is a breaker that opens at three failures in a row for five seconds.
func scoped(scope string) func(*config.Rule) {
	return circuit(config.CircuitBreaker{
		ConsecutiveFailures: 3, OpenTimeout: config.Duration(5 * time.Second), HalfOpenRequests: 1, Scope: scope,
	})
}

// down has some endpoints fail.
func down(err error, addresses ...string) func(context.Context, string, int) error {
	return func(_ context.Context, address string, _ int) error {
		for _, a := range addresses {
			if a == address {
				return err
			}
		}
		return nil
	}
}

func TestABreakerForEachEndpointKeepsCallsAwayFromTheBadOne(t *testing.T) {
	for _, scope := range []string{"", config.ScopeEndpoint} {
		synctest.Test(t, func(t *testing.T) {
			b := newBilling(t, toBilling("calls", scoped(scope)))
			b.answer = down(errDown, "a:1")
			for range 3 {
				_ = b.call(t.Context())
			}
			b.went()
			for range 5 {
				if err := b.call(t.Context()); err != nil {
					t.Error(err)
				}
			}
			if went := b.went(); strings.Contains(went, "a:1") {
				t.Errorf("went to %s", went)
			}
			told := b.transitions()
			if len(told) != 1 || told[0].Target != "a:1" || told[0].Upstream != "billing" || told[0].To != "open" ||
				told[0].Kind != config.KindCircuitBreaker || told[0].Rule != "calls" {
				t.Errorf("%+v", told)
			}
			b.answer = always(nil)
			time.Sleep(6 * time.Second)
			if _ = b.call(t.Context()); b.went() != "[a:1]" {
				t.Error("it was not tried again after its open time")
			}
			if told := b.transitions(); len(told) != 3 || told[2].To != "closed" {
				t.Errorf("%+v", told)
			}
		})
	}
}

func TestWhenTheBreakersOfAllEndpointsAreOpenTheCallIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", scoped(""), retry(config.Retry{MaxAttempts: 50, Budget: 1})))
		b.answer = always(errDown)
		for range 9 {
			_ = b.call(t.Context())
		}
		b.went()
		began := time.Now()
		e := refusal(t, b.call(t.Context(), idempotent))
		if !strings.HasPrefix(e.Message, "UNAVAILABLE: circuit breaker open for all endpoints of billing by calls@r1, retry in ") ||
			e.Reason != code.ReasonBreakerOpen || e.RetryAfter <= 4*time.Second || e.RetryAfter > 6*time.Second {
			t.Errorf("%v, %+v", e, e)
		}
		if went := b.went(); went != "[]" || time.Since(began) != 0 {
			t.Errorf("our own refusal was retried: %s after %s", went, time.Since(began))
		}
		// "all of it is back within openTimeout after the upstream returns"
		b.answer = always(nil)
		time.Sleep(5500 * time.Millisecond)
		if err := b.call(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

func TestScopesOfABreaker(t *testing.T) {
	for _, test := range []struct {
		scope, target        string
		otherMethod, another bool // are refused, too: another method, another upstream
	}{
		{config.ScopeMethod, "Billing/Get", false, false},
		{config.ScopeUpstream, "billing", true, false},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBilling(t, toBilling("calls", to("billing", "orders"), scoped(test.scope)))
			b.answer = always(errDown)
			for range 3 {
				_ = b.call(t.Context())
			}
			b.answer = always(nil)
			for _, call := range []struct {
				set     []func(*outCall)
				refused bool
			}{
				{nil, true},
				{[]func(*outCall){callOf("Pay")}, test.otherMethod},
				{[]func(*outCall){func(c *outCall) { c.upstream = "orders" }}, test.another},
			} {
				if err := b.call(t.Context(), call.set...); (reasonOf(err) == code.ReasonBreakerOpen) != call.refused {
					t.Errorf("scope %s: %v, want a refusal: %v", test.scope, err, call.refused)
				}
			}
			want := map[string]string{config.ScopeMethod: "billing Billing/Get", config.ScopeUpstream: "billing"}[test.scope]
			if told := b.transitions(); len(told) != 1 || told[0].Target != want {
				t.Errorf("%+v, want target %s", told, want)
			}
		})
	}
}

// Two breakers of one rule never have the same target: it is the label of their metrics.
func TestTargetsOfBreakersAreUnique(t *testing.T) {
	b := newBilling(t, toBilling("all", to("*"), scoped("")), toBilling("methods", to("*"), mode(config.Shadow), scoped(config.ScopeMethod)))
	for _, name := range []string{"billing", "orders", "Billing"} {
		_ = b.call(t.Context(), func(c *outCall) { c.upstream = name })
	}
	seen := map[string]bool{}
	for _, s := range b.guard.Snapshot().Breakers() {
		if key := s.Rule + " " + s.Target; seen[key] {
			t.Errorf("%s stands twice", key)
		} else {
			seen[key] = true
		}
	}
	if len(seen) != 6 || !seen["all billing a:1"] || !seen["methods Billing/Get"] || !seen["methods orders Billing/Get"] {
		t.Errorf("%v", seen)
	}
}

func TestWhatCountsAgainstAnEndpoint(t *testing.T) {
	peer := func(c code.Code, reason string) error {
		return code.Remote(code.Refuse(c, reason, "no", "r@r1", "far", 0))
	}
	for _, test := range []struct {
		name  string
		err   error
		count bool
	}{
		{"cannot be reached", errDial, true},
		{"connection lost", errLost, true},
		{"handler's UNAVAILABLE", errDown, true},
		{"overloaded", errBusy, true},
		{"draining", peer(code.Unavailable, code.ReasonDraining), false},
		{"its breaker is open", peer(code.Unavailable, code.ReasonBreakerOpen), false},
		{"its rate limit", peer(code.ResourceExhausted, code.ReasonRateLimited), false},
		{"business error", code.Errorf(code.NotFound, "no such bill"), false},
		{"plain error", fmt.Errorf("broken"), false},
		{"cancelled", peer(code.Cancelled, code.ReasonCancelled), false},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBilling(t, toBilling("calls", scoped(""), outlying(config.OutlierDetection{ConsecutiveFailures: 3})))
			b.answer = down(test.err, "a:1")
			for range 4 {
				_ = b.call(t.Context())
			}
			told := fmt.Sprint(b.transitions())
			if strings.Contains(told, "open") != test.count || strings.Contains(told, "ejected") != test.count {
				t.Errorf("%s: %s", test.name, told)
			}
		})
	}
}

func TestADeadlineOfTheCallerCountsAgainstNoEndpoint(t *testing.T) {
	for _, test := range []struct {
		name string
		rule []func(*config.Rule)
		own  time.Duration
		want bool
	}{
		{"the caller's", nil, 100 * time.Millisecond, false},
		{"shorter than the rule's", []func(*config.Rule){timeout(time.Second)}, 100 * time.Millisecond, false},
		{"the rule's", []func(*config.Rule){timeout(100 * time.Millisecond)}, time.Second, true},
		{"the attempt's", []func(*config.Rule){retry(config.Retry{PerTryTimeout: config.Duration(100 * time.Millisecond)})}, time.Second, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBilling(t, toBilling("calls", append(test.rule, scoped(""))...))
			b.serve("a:1")
			b.answer = func(ctx context.Context, _ string, _ int) error { return until(ctx) }
			for range 3 {
				ctx, cancel := context.WithTimeout(t.Context(), test.own)
				_ = b.call(ctx)
				cancel()
			}
			if opened := len(b.transitions()) > 0; opened != test.want {
				t.Errorf("%s: opened: %v", test.name, opened)
			}
		})
	}
}

func TestABreakerInShadowOnlyCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", scoped(""), mode(config.Shadow)))
		b.serve("a:1")
		b.answer = always(errDown)
		for range 10 {
			if err := b.call(t.Context()); reasonOf(err) == code.ReasonBreakerOpen {
				t.Fatal(err)
			}
		}
		if d := b.decisions("calls", config.KindCircuitBreaker); d != (policies.Decisions{Allow: 3, ShadowReject: 7}) {
			t.Errorf("%+v", d)
		}
		// "Going from shadow to enforce keeps bucket and breaker state."
		if err := b.guard.Replace([]config.Rule{toBilling("calls", scoped(""))}); err != nil {
			t.Fatal(err)
		}
		if e := refusal(t, b.call(t.Context())); e.Rule != "calls@r2" || e.Reason != code.ReasonBreakerOpen {
			t.Errorf("%v", e)
		}
	})
}

func TestEditsKeepOpenBreakersOpen(t *testing.T) {
	for name, edit := range map[string]config.Rule{
		"nothing":          toBilling("calls", scoped("")),
		"renamed":          toBilling("new", was("calls"), scoped("")),
		"thresholds":       toBilling("calls", circuit(config.CircuitBreaker{ConsecutiveFailures: 9, OpenTimeout: config.Duration(5 * time.Second), HalfOpenRequests: 1})),
		"window":           toBilling("calls", circuit(config.CircuitBreaker{ConsecutiveFailures: 3, Window: config.Duration(time.Minute)})),
		"another kind too": toBilling("calls", scoped(""), timeout(time.Second), retry(quick(2))),
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBilling(t, toBilling("calls", scoped("")))
			b.serve("a:1")
			b.answer = always(errDown)
			for range 3 {
				_ = b.call(t.Context())
			}
			if err := b.guard.Replace([]config.Rule{edit}); err != nil {
				t.Fatal(err)
			}
			if err := b.call(t.Context()); reasonOf(err) != code.ReasonBreakerOpen {
				t.Errorf("%s: %v", name, err)
			}
			if told := b.transitions(); len(told) != 1 {
				t.Errorf("%s: an edit told %+v", name, told[1:])
			}
		})
	}
}

func TestThresholdsOfBreakersThatAreThereChangeLive(t *testing.T) {
	for _, scope := range []string{config.ScopeEndpoint, config.ScopeMethod, config.ScopeUpstream} {
		synctest.Test(t, func(t *testing.T) {
			at := func(failures int) config.Rule {
				return toBilling("calls", circuit(config.CircuitBreaker{ConsecutiveFailures: failures, Scope: scope}))
			}
			b := newBilling(t, at(100))
			b.serve("a:1")
			b.answer = always(errDown)
			b.fail(4)
			if err := b.guard.Replace([]config.Rule{at(5)}); err != nil {
				t.Fatal(err)
			}
			if b.fail(1); len(b.transitions()) != 1 {
				t.Errorf("scope %s: %+v", scope, b.transitions())
			}
		})
	}
}

// A client that hangs beyond its context must not block a half-open breaker: the probe has the time of an attempt.
func TestAHangingProbeEndsWithTheTimeOfItsAttempt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", scoped(""), retry(config.Retry{PerTryTimeout: config.Duration(time.Second)})))
		b.serve("a:1")
		b.answer = always(errDown)
		b.fail(3)
		time.Sleep(6 * time.Second)
		free := make(chan struct{})
		b.answer = func(context.Context, string, int) error { <-free; return nil }
		go b.fail(1)
		synctest.Wait()
		time.Sleep(time.Second + 50*time.Millisecond)
		if told := b.transitions(); told[len(told)-1].To != "open" {
			t.Errorf("%+v", told)
		}
		close(free)
	})
}

func TestAnotherScopeStartsAfresh(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", scoped("")))
		b.answer = always(errDown)
		for range 9 {
			_ = b.call(t.Context())
		}
		if err := b.guard.Replace([]config.Rule{toBilling("calls", scoped(config.ScopeMethod))}); err != nil {
			t.Fatal(err)
		}
		b.answer = always(nil)
		if err := b.call(t.Context()); err != nil {
			t.Error(err)
		}
		if left := b.guard.Snapshot().Breakers(); len(left) != 1 || left[0].Target != "Billing/Get" {
			t.Errorf("left: %+v", left)
		}
	})
}

func TestTheStateOfAnEndpointThatIsGoneIsDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", scoped(""), outlying(config.OutlierDetection{})))
		_ = b.call(t.Context())
		b.serve("b:1")
		_ = b.call(t.Context())
		b.serve("a:1", "b:1")
		if left := b.guard.Snapshot().Breakers(); len(left) != 1 || left[0].Target != "b:1" {
			t.Errorf("left: %+v", left)
		}
		if left := b.guard.Snapshot().Outliers(); len(left) != 1 || left[0].Target != "b:1" {
			t.Errorf("left: %+v", left)
		}
	})
}

// A probe whose attempt never ends, or that a hedge overtook, must not block a half-open breaker.
func TestProbesOfAClientNeverBlockABreaker(t *testing.T) {
	for name, hang := range map[string]func(context.Context) error{
		"cancelled": until,
		"failed":    func(context.Context) error { return errDown },
		"refused":   func(context.Context) error { return errBusy },
	} {
		for _, scope := range []string{config.ScopeEndpoint, config.ScopeMethod, config.ScopeUpstream} {
			synctest.Test(t, func(t *testing.T) {
				b := newBilling(t, toBilling("calls", scoped(scope), hedge(hedgeDelay, "*")))
				b.serve("a:1")
				b.answer = always(errDown)
				for range 4 {
					_ = b.call(t.Context(), idempotent)
				}
				for range 3 {
					time.Sleep(6 * time.Second)
					b.answer = func(ctx context.Context, _ string, _ int) error { return hang(ctx) }
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					_ = b.call(ctx, idempotent)
					cancel()
				}
				b.answer = always(nil)
				time.Sleep(6 * time.Second)
				if err := b.call(t.Context(), idempotent); err != nil {
					t.Errorf("%s, scope %s: %v", name, scope, err)
				}
			})
		}
	}
}
