package policies_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/code"
)

const hedgeDelay = 80 * time.Millisecond

// slowThen has the first attempt take long, and the others answer at once.
func slowThen(first time.Duration, others error) func(context.Context, string, int) error {
	return func(ctx context.Context, _ string, n int) error {
		if n > 1 {
			return others
		}
		if limit.Sleep(ctx, first) != nil {
			return until(ctx)
		}
		return nil
	}
}

func TestASlowCallIsSentTwiceToDifferentEndpoints(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", hedge(hedgeDelay, "Get")))
		b.answer = slowThen(time.Hour, nil)
		began := time.Now()
		slot, err := b.do(t.Context(), idempotent)
		if took := time.Since(began); err != nil || slot != 1 || took != hedgeDelay {
			t.Errorf("slot %d, %v after %s", slot, err, took)
		}
		if went := b.went(); went != "[a:1 b:1]" {
			t.Errorf("went to %s", went)
		}
		if d := b.decisions("calls", config.KindHedge); d != (policies.Decisions{Allow: 1}) {
			t.Errorf("%+v", d)
		}
	})
}

func TestAHedgeWithOneEndpointUsesItTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", hedge(hedgeDelay, "Get")))
		b.serve("a:1")
		b.answer = slowThen(time.Hour, nil)
		if err := b.call(t.Context(), idempotent); err != nil || b.went() != "[a:1 a:1]" {
			t.Errorf("%v", err)
		}
	})
}

func TestARefusedHedgeDoesNotHideThatTheCallPerhapsRan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", hedge(hedgeDelay, "Get"), func(r *config.Rule) {
			r.CircuitBreaker = &config.CircuitBreaker{ConsecutiveFailures: 1, Scope: config.ScopeUpstream, OpenTimeout: config.Duration(time.Minute)}
		}))
		b.answer = always(errLost)
		if err := b.call(t.Context(), idempotent); !errors.Is(err, errLost) {
			t.Errorf("the caller gets %v", err)
		}
	})
}

func TestOnlyListedAndIdempotentMethodsAreHedged(t *testing.T) {
	for _, test := range []struct {
		name string
		set  []func(*outCall)
		sent int
	}{
		{"listed and idempotent", []func(*outCall){idempotent}, 2},
		{"not idempotent", nil, 1},
		{"not listed", []func(*outCall){idempotent, callOf("Pay")}, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := newBilling(t, toBilling("calls", hedge(hedgeDelay, "Get", "List*")))
			b.answer = slowThen(200*time.Millisecond, nil)
			if err := b.call(t.Context(), test.set...); err != nil || len(b.sent) != test.sent {
				t.Errorf("%s: %v, %d attempts", test.name, err, len(b.sent))
			}
		})
	}
}

func TestTheFirstAttemptMayStillWin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", hedge(hedgeDelay, "Get")))
		var ended atomic.Int32
		b.answer = func(ctx context.Context, _ string, n int) error {
			defer ended.Add(1)
			if n == 1 {
				return limit.Sleep(ctx, 2*hedgeDelay)
			}
			return until(ctx)
		}
		slot, err := b.do(t.Context(), idempotent)
		if slot != 0 || err != nil || ended.Load() != 2 {
			t.Errorf("slot %d, %v; %d attempts have ended", slot, err, ended.Load())
		}
	})
}

func TestAFailureLeadsToTheNextAttemptAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", hedge(hedgeDelay, "Get")))
		b.answer = func(_ context.Context, _ string, n int) error {
			if n == 1 {
				return errLost
			}
			return nil
		}
		began := time.Now()
		slot, err := b.do(t.Context(), idempotent)
		if slot != 1 || err != nil || time.Since(began) != 0 {
			t.Errorf("slot %d, %v after %s", slot, err, time.Since(began))
		}
		if went := b.went(); went != "[a:1 b:1]" {
			t.Errorf("went to %s", went)
		}
	})
}

func TestABusinessErrorIsAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", hedge(hedgeDelay, "Get"), retry(quick(3))))
		want := code.Errorf(code.NotFound, "no such bill")
		b.answer = slowThen(time.Hour, want)
		if err := b.call(t.Context(), idempotent); !errors.Is(err, want) || len(b.sent) != 2 {
			t.Errorf("%v after %d attempts", err, len(b.sent))
		}
	})
}

func TestAllAttemptsFailing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", hedge(hedgeDelay, "Get")))
		b.answer = always(errLost)
		if err := b.call(t.Context(), idempotent); !errors.Is(err, errLost) || len(b.sent) != 2 {
			t.Errorf("%v after %d attempts", err, len(b.sent))
		}
	})
}

func TestHedgesCountAgainstTheBudgetOfRetries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := quick(2)
		c.Budget = 0.01
		b := newBilling(t, toBilling("calls", hedge(hedgeDelay, "Get"), retry(c)))
		b.answer = func(ctx context.Context, _ string, _ int) error { return limit.Sleep(ctx, 2*hedgeDelay) }
		for range 2 * limit.MinRetries {
			if err := b.call(t.Context(), idempotent); err != nil {
				t.Fatal(err)
			}
		}
		hedged, again := b.decisions("calls", config.KindHedge), b.decisions("calls", config.KindRetry)
		if hedged.Allow != limit.MinRetries || again.Reject != limit.MinRetries || again.Allow != 0 {
			t.Errorf("hedge %+v, retry %+v", hedged, again)
		}
	})
}

func TestACallIsSentAtMostAsOftenAsTheLargerRuleSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", hedge(hedgeDelay, "Get"), retry(quick(3))))
		b.answer = always(errLost)
		if _ = b.call(t.Context(), idempotent); len(b.sent) != 3 {
			t.Errorf("%d attempts, want 3", len(b.sent))
		}
	})
}

func TestTheTimeoutEndsAllAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", hedge(hedgeDelay, "Get"), timeout(300*time.Millisecond)))
		var ended atomic.Int32
		b.answer = func(ctx context.Context, _ string, _ int) error {
			defer ended.Add(1)
			return until(ctx)
		}
		began := time.Now()
		err := b.call(t.Context(), idempotent)
		if e := refusal(t, err); e.Rule != "calls@r1" || time.Since(began) != 300*time.Millisecond || ended.Load() != 2 {
			t.Errorf("%v after %s; %d attempts have ended", e, time.Since(began), ended.Load())
		}
	})
}

func TestAnAttemptThatEndsItsGoroutineHoldsUpNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", hedge(hedgeDelay, "Get"), circuit(config.CircuitBreaker{ConsecutiveFailures: 1})))
		b.answer = func(context.Context, string, int) error {
			runtime.Goexit()
			return nil
		}
		if _, err := b.do(t.Context(), idempotent); code.Of(err) != code.Internal {
			t.Errorf("got %v", err)
		}
	})
}

func TestAPanicOfAnAttemptIsTheCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", hedge(hedgeDelay, "Get")))
		var ended atomic.Bool
		b.answer = func(ctx context.Context, _ string, n int) error {
			if n == 2 {
				panic("broken")
			}
			defer ended.Store(true)
			return until(ctx)
		}
		defer func() {
			if r := recover(); !strings.Contains(fmt.Sprint(r), "broken") || !ended.Load() {
				t.Errorf("recovered %v; the other attempt has ended: %v", r, ended.Load())
			}
		}()
		t.Errorf("got %v", b.call(t.Context(), idempotent))
	})
}

// Without a rule for retries, what a hedge sends since an attempt has failed would double the load of a dead upstream.
func TestHedgesOfADeadUpstreamAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", hedge(hedgeDelay, "Get")))
		b.answer = always(errLost)
		const calls = 200
		for range calls {
			_ = b.call(t.Context(), idempotent)
		}
		if most := calls + calls/5 + limit.MinRetries; len(b.sent) > most || len(b.sent) < calls+limit.MinRetries {
			t.Errorf("%d attempts for %d calls, want at most %d", len(b.sent), calls, most)
		}
	})
}

// A hedge waits for an answer, and so counts from when the call was sent.
func TestAHedgeInShadowDoesNotCountTheWaitForAToken(t *testing.T) {
	for _, test := range []struct {
		name   string
		answer time.Duration
		want   uint64
	}{{"quick", hedgeDelay / 2, 0}, {"slow", hedgeDelay, 2}} {
		synctest.Test(t, func(t *testing.T) {
			b := newBilling(t, toBilling("limit", waiting(1, 1, time.Minute)), toBilling("calls", hedge(hedgeDelay, "Get"), mode(config.Shadow)))
			b.answer = func(ctx context.Context, _ string, _ int) error { return limit.Sleep(ctx, test.answer) }
			for range 2 {
				if err := b.call(t.Context(), idempotent); err != nil {
					t.Fatal(err)
				}
			}
			if d := b.decisions("limit", config.KindRateLimit); d.Wait != 1 {
				t.Fatalf("%+v", d)
			}
			if d := b.decisions("calls", config.KindHedge); d != (policies.Decisions{ShadowReject: test.want}) {
				t.Errorf("%s: %+v", test.name, d)
			}
		})
	}
}
