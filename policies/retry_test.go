package policies_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/code"
)

func TestOnlyWhatMayRunTwiceOrDidNotRunIsSentAgain(t *testing.T) {
	peer := func(c code.Code, reason string) error {
		return code.Remote(code.Refuse(c, reason, "no", "", "far", 0))
	}
	for _, test := range []struct {
		name       string
		err        error
		on         []string
		idempotent bool
		sent       int
	}{
		{"not run", errBusy, nil, false, 3},
		{"no endpoint", errDial, nil, false, 9}, // three endpoints each time
		{"perhaps run", errLost, nil, false, 1},
		{"perhaps run, idempotent", errLost, nil, true, 3},
		{"a plain UNAVAILABLE of a handler", errDown, nil, false, 1},
		{"the same, idempotent", errDown, nil, true, 3},
		{"another code", peer(code.Aborted, ""), nil, true, 1},
		{"another code that is listed", peer(code.Aborted, ""), []string{"ABORTED"}, true, 3},
		{"not run, but another code", peer(code.ResourceExhausted, code.ReasonRateLimited), nil, true, 1},
		{"not run, code is listed", peer(code.ResourceExhausted, code.ReasonRateLimited), []string{"RESOURCE_EXHAUSTED"}, false, 3},
		{"business error", code.Errorf(code.NotFound, "no such bill"), nil, true, 1},
		{"plain error", errors.New("broken"), nil, true, 1},
		{"cancelled", peer(code.Cancelled, code.ReasonCancelled), []string{"CANCELLED"}, true, 1},
		{"a peer's deadline", peer(code.DeadlineExceeded, code.ReasonTimeout), []string{"DEADLINE_EXCEEDED"}, true, 3},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := quick(3)
			c.RetryOn = test.on
			b := newBilling(t, toBilling("calls", retry(c)))
			b.answer = always(test.err)
			err := b.call(t.Context(), func(c *outCall) { c.idempotent = test.idempotent })
			if !errors.Is(err, test.err) {
				t.Errorf("%s: the caller gets %v", test.name, err)
			}
			if len(b.sent) != test.sent {
				t.Errorf("%s: %d attempts, want %d", test.name, len(b.sent), test.sent)
			}
		})
	}
}

func TestFailModesChooseTheEndpoint(t *testing.T) {
	for _, test := range []struct {
		mode      string
		attempts  int
		endpoints []string
		want      string
	}{
		{config.Failover, 3, []string{"a:1", "b:1", "c:1"}, "[a:1 b:1 c:1]"},
		{config.Failover, 3, []string{"a:1", "b:1"}, "[a:1 b:1 a:1]"}, // nothing else is left
		{config.Failover, 2, []string{"a:1"}, "[a:1 a:1]"},
		{config.Failtry, 3, []string{"a:1", "b:1", "c:1"}, "[a:1 a:1 a:1]"},
		{config.Failfast, 3, []string{"a:1", "b:1", "c:1"}, "[a:1]"},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := quick(test.attempts)
			c.FailMode = test.mode
			b := newBilling(t, toBilling("calls", retry(c)))
			b.serve(test.endpoints...)
			b.answer = always(errBusy)
			_ = b.call(t.Context())
			if went := b.went(); went != test.want {
				t.Errorf("%s went to %s, want %s", test.mode, went, test.want)
			}
		})
	}
}

func TestFailtryTakesAnotherEndpointWhenTheFirstIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := quick(2)
		c.FailMode = config.Failtry
		b := newBilling(t, toBilling("calls", retry(c)))
		b.answer = func(_ context.Context, address string, _ int) error {
			if address == "a:1" {
				b.serve("b:1")
				return errBusy
			}
			return nil
		}
		if err := b.call(t.Context()); err != nil || b.went() != "[a:1 b:1]" {
			t.Errorf("%v", err)
		}
	})
}

// An endpoint that could not be reached is not asked again in the attempt that found out.
func TestAnUnreachableEndpointIsPassedOverForTheTriedOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", retry(quick(2))))
		b.serve("a:1", "b:1")
		b.answer = func(_ context.Context, address string, n int) error {
			switch {
			case address == "b:1":
				return errDial
			case n == 1:
				return errBusy
			}
			return nil
		}
		err := b.call(t.Context())
		if went := b.went(); err != nil || went != "[a:1 b:1 a:1]" {
			t.Errorf("%v after %s", err, went)
		}
	})
}

func TestPausesGrowAndAreDrawnEvenly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const initial, most = 100 * time.Millisecond, 400 * time.Millisecond
		b := newBilling(t, toBilling("calls", retry(config.Retry{
			MaxAttempts: 6, InitialBackoff: config.Duration(initial), MaxBackoff: config.Duration(most), Budget: 1,
		})))
		b.answer = always(errBusy)
		var sums [5]time.Duration
		const calls = 400
		for range calls {
			_ = b.call(t.Context())
			for i := range sums {
				pause := b.at[i+1].Sub(b.at[i])
				if bound := min(initial<<i, most); pause > bound {
					t.Fatalf("pause %d is %s, want at most %s", i, pause, bound)
				}
				sums[i] += pause
			}
			b.went()
			time.Sleep(limit.BudgetWindow)
		}
		for i, milliseconds := range []int{50, 100, 200, 200, 200} {
			want := time.Duration(milliseconds) * time.Millisecond
			if mean := sums[i] / calls; mean < want*8/10 || mean > want*12/10 {
				t.Errorf("pauses before attempt %d are %s on average, want %s", i+2, mean, want)
			}
		}
	})
}

func TestAPeersRetryAfterIsHonoured(t *testing.T) {
	busy := code.Remote(code.Refuse(code.Unavailable, code.ReasonOverloaded, "full", "", "far", 700*time.Millisecond))
	for _, test := range []struct {
		name    string
		timeout time.Duration
		after   time.Duration
		sent    int
	}{
		{"it fits", 2 * time.Second, 700 * time.Millisecond, 2},
		{"it does not fit", 600 * time.Millisecond, 0, 1},
		{"no deadline", 0, 700 * time.Millisecond, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			set := []func(*config.Rule){retry(quick(2))}
			if test.timeout > 0 {
				set = append(set, timeout(test.timeout))
			}
			b := newBilling(t, toBilling("calls", set...))
			b.answer = always(busy)
			began := time.Now()
			err := b.call(t.Context())
			if took := time.Since(began); !errors.Is(err, busy) || took != test.after || len(b.sent) != test.sent {
				t.Errorf("%s: %v after %s and %d attempts", test.name, err, took, len(b.sent))
			}
		})
	}
}

func TestACallWithoutDeadlineDoesNotWaitForWhateverAPeerAsks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", retry(quick(2))))
		b.answer = always(code.Remote(code.Refuse(code.Unavailable, code.ReasonOverloaded, "full", "", "far", time.Hour)))
		began := time.Now()
		if _ = b.call(t.Context()); time.Since(began) != 0 {
			t.Errorf("it waited %s", time.Since(began))
		}
	})
}

func TestAnAttemptThatRunsOutOfItsTimePerhapsRan(t *testing.T) {
	for _, test := range []struct {
		name       string
		on         []string
		idempotent bool
		sent       int
	}{
		{"not idempotent", nil, false, 1},
		{"UNAVAILABLE is listed", nil, true, 2},
		{"DEADLINE_EXCEEDED is listed", []string{"DEADLINE_EXCEEDED"}, true, 2},
		{"neither is", []string{"ABORTED"}, true, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			c := quick(2)
			c.PerTryTimeout, c.RetryOn = config.Duration(300*time.Millisecond), test.on
			b := newBilling(t, toBilling("calls", retry(c)))
			b.answer = func(ctx context.Context, _ string, _ int) error { return until(ctx) }
			err := b.call(t.Context(), func(c *outCall) { c.idempotent = test.idempotent })
			if e := refusal(t, err); e.Message != "DEADLINE_EXCEEDED: attempt timed out after 300ms by calls@r1" || len(b.sent) != test.sent {
				t.Errorf("%s: %v after %d attempts", test.name, e, len(b.sent))
			}
		})
	}
}

func TestARefusedRetryDoesNotHideThatTheCallPerhapsRan(t *testing.T) {
	for want, lost := range map[error]error{errLost: errLost, errBusy: nil} {
		b := newBilling(t, toBilling("calls", retry(quick(3)), func(r *config.Rule) {
			r.CircuitBreaker = &config.CircuitBreaker{ConsecutiveFailures: 1, Scope: config.ScopeUpstream, OpenTimeout: config.Duration(time.Minute)}
		}))
		b.answer = always(want)
		err := b.call(t.Context(), idempotent)
		if lost != nil && !errors.Is(err, lost) || lost == nil && code.From(err).Reason != code.ReasonBreakerOpen {
			t.Errorf("after %v the caller gets %v", want, err)
		}
		if len(b.sent) != 1 {
			t.Errorf("%d attempts went through an open breaker", len(b.sent)-1)
		}
	}
}

func TestARetryThatSucceedsIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", timeout(time.Second), retry(quick(3))))
		b.answer = func(_ context.Context, _ string, n int) error {
			if n < 3 {
				return errBusy
			}
			return nil
		}
		slot, err := b.do(t.Context())
		if err != nil || slot != 0 {
			t.Errorf("slot %d, %v", slot, err)
		}
		if d := b.decisions("calls", config.KindRetry); d != (policies.Decisions{Allow: 2}) {
			t.Errorf("%+v", d)
		}
	})
}

func TestACancelledCallIsNotSentAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := quick(5)
		c.InitialBackoff, c.MaxBackoff = config.Duration(time.Hour), config.Duration(time.Hour)
		b := newBilling(t, toBilling("calls", retry(c)))
		b.answer = always(errBusy)
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			time.Sleep(time.Second)
			cancel()
		}()
		began := time.Now()
		if _ = b.call(ctx); len(b.sent) > 1 && time.Since(began) > time.Second {
			t.Errorf("%d attempts after %s", len(b.sent), time.Since(began))
		}
	})
}

// "retries never exceed the budget under a dead upstream"
func TestRetriesNeverExceedTheBudget(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		share := rapid.SampledFrom([]float64{0.01, 0.1, 0.2, 0.5, 1}).Draw(r, "budget")
		attempts := rapid.IntRange(2, 8).Draw(r, "maxAttempts")
		gaps := rapid.SliceOfN(rapid.SampledFrom([]int{0, 0, 0, 1, 10, 100, 3000}), 1, 120).Draw(r, "gaps")
		burst := rapid.IntRange(1, 20).Draw(r, "at once")
		withHedge := rapid.Bool().Draw(r, "hedge")
		var problem string
		synctest.Test(t, func(t *testing.T) {
			c := quick(attempts)
			c.Budget = config.Share(share)
			rule := toBilling("calls", retry(c))
			if withHedge {
				hedge(10*time.Millisecond, "*")(&rule)
			}
			b := newBilling(t, rule)
			b.answer = always(errLost)
			began, calls := time.Now(), 0
			for _, gap := range gaps {
				time.Sleep(time.Duration(gap) * time.Millisecond)
				done := make(chan struct{})
				for range burst {
					go func() {
						_ = b.call(t.Context(), idempotent)
						done <- struct{}{}
					}()
				}
				for range burst {
					<-done
				}
				calls += burst
				retries := len(b.sent) - calls
				windows := float64(time.Since(began)/(limit.BudgetWindow-limit.BudgetWindow/10)) + 1
				if bound := share*float64(calls) + limit.MinRetries*windows; float64(retries) > bound {
					problem = "too many retries"
					return
				}
			}
		})
		if problem != "" {
			r.Fatal(problem)
		}
	})
}

func TestAQuietClientMayRetryAndABudgetIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", retry(quick(2))))
		b.answer = always(errBusy)
		for range 100 {
			_ = b.call(t.Context())
		}
		// 10 whatever happens, and one more for each five calls: 0.2 × 100 + 10 in the end.
		if d := b.decisions("calls", config.KindRetry); d != (policies.Decisions{Allow: 30, Reject: 70}) {
			t.Errorf("%+v", d)
		}
		time.Sleep(2 * limit.BudgetWindow)
		if _ = b.call(t.Context()); b.decisions("calls", config.KindRetry).Allow != 31 {
			t.Error("what is long past counts still")
		}
	})
}

// "A call never outlives its deadline whatever the retries."
func TestACallNeverOutlivesItsDeadline(t *testing.T) {
	type step struct {
		takes time.Duration
		err   error
	}
	busy := func(after time.Duration) error {
		return code.Remote(code.Refuse(code.Unavailable, code.ReasonOverloaded, "full", "", "far", after))
	}
	ms := func(r *rapid.T, name string, values ...int) time.Duration {
		return time.Duration(rapid.SampledFrom(values).Draw(r, name)) * time.Millisecond
	}
	rapid.Check(t, func(r *rapid.T) {
		steps := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) step {
			return step{
				takes: ms(r, "takes", 0, 1, 50, 300, 5000),
				err:   rapid.SampledFrom([]error{nil, errBusy, errLost, errDial, busy(100 * time.Millisecond), busy(time.Hour), errDown}).Draw(r, "err"),
			}
		}), 1, 12).Draw(r, "steps")
		rule := toBilling("calls", timeout(ms(r, "timeout", 1, 100, 1000)), retry(config.Retry{
			MaxAttempts: 10, PerTryTimeout: config.Duration(ms(r, "perTry", 0, 10, 200)), Budget: 1,
			InitialBackoff: config.Duration(ms(r, "initial", 1, 100)), MaxBackoff: config.Duration(ms(r, "most", 100, 2000)),
		}))
		if rapid.Bool().Draw(r, "hedge") {
			hedge(ms(r, "delay", 1, 40), "*")(&rule)
		}
		own := ms(r, "own deadline", 0, 70, 900)
		var problem string
		synctest.Test(t, func(t *testing.T) {
			b := newBilling(t, rule)
			b.answer = func(ctx context.Context, _ string, n int) error {
				s := steps[n%len(steps)]
				if limit.Sleep(ctx, s.takes) != nil {
					return until(ctx)
				}
				return s.err
			}
			ctx, deadline := t.Context(), time.Now().Add(rule.Timeout.Std())
			if own > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, own)
				defer cancel()
				if d, _ := ctx.Deadline(); d.Before(deadline) {
					deadline = d
				}
			}
			_ = b.call(ctx, idempotent)
			if time.Now().After(deadline) {
				problem = "it outlived its deadline by " + time.Since(deadline).String()
			}
		})
		if problem != "" {
			r.Fatal(problem)
		}
	})
}
