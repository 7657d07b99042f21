package policies_test

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// holding lets calls run until free is closed.
func (b *billing) holding(n int, set ...func(*outCall)) (free func(), ended chan error) {
	b.t.Helper()
	release, ended := make(chan struct{}), make(chan error, n)
	b.answer = func(context.Context, string, int) error {
		<-release
		return nil
	}
	for range n {
		go func() { ended <- b.call(b.t.Context(), set...) }()
	}
	synctest.Wait()
	return func() { close(release) }, ended
}

func TestCallsInFlightToAnUpstreamAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("bulkhead", concurrency(2, 0, 0), retry(quick(3))), toBilling("limit", rate(0.001, 10)))
		free, ended := b.holding(2, idempotent)
		e := refusal(t, b.call(t.Context(), idempotent))
		if e.Code != code.Unavailable || e.Reason != code.ReasonOverloaded || e.Rule != "bulkhead@r1" {
			t.Errorf("%v", e)
		}
		if tokens := tokensLeft(b.guard.Snapshot(), "limit"); tokens != 8 {
			t.Errorf("%d tokens are left: the refused call has taken one", tokens)
		}
		free()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if err := b.call(t.Context()); err != nil {
			t.Error(err)
		}
		if d := b.decisions("bulkhead", config.KindConcurrency); d != (policies.Decisions{Allow: 3, Reject: 1}) {
			t.Errorf("%+v", d)
		}
	})
}

func TestACallHasOnePlaceWhateverItsAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("bulkhead", concurrency(1, 0, 0), hedge(10*time.Millisecond, "Get"), retry(quick(3))))
		b.answer = func(_ context.Context, _ string, n int) error {
			time.Sleep(50 * time.Millisecond)
			if n < 3 {
				return errBusy
			}
			return nil
		}
		if err := b.call(t.Context(), idempotent); err != nil {
			t.Error(err)
		}
		if inFlight, _ := inFlight(b.guard.Snapshot(), "bulkhead"); inFlight != 0 {
			t.Errorf("%d in flight at the end", inFlight)
		}
	})
}

func TestCallsToAnUpstreamQueueForAPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("bulkhead", concurrency(1, 1, 100*time.Millisecond)))
		free, ended := b.holding(1)
		start := time.Now()
		e := refusal(t, b.call(t.Context()))
		if e.Reason != code.ReasonOverloaded || time.Since(start) != 100*time.Millisecond || !strings.Contains(e.Error(), "queue timeout") {
			t.Errorf("%v after %v", e, time.Since(start))
		}
		go func() { ended <- b.call(t.Context()) }()
		synctest.Wait()
		free()
		for range 2 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		free, ended = b.holding(1)
		if e := refusal(t, b.call(ctx)); e.Reason != code.ReasonTimeout { // its deadline, and no refusal of the limit
			t.Errorf("%v", e)
		}
		if d := b.decisions("bulkhead", config.KindConcurrency); d.Reject != 1 {
			t.Errorf("%+v", d)
		}
		free()
		<-ended
	})
}

func TestAConcurrencyLimitInShadowCountsAndRefusesNoCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("bulkhead", concurrency(1, 0, 0), mode(config.Shadow)))
		free, ended := b.holding(3)
		free()
		for range 3 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if d := b.decisions("bulkhead", config.KindConcurrency); d != (policies.Decisions{Allow: 1, ShadowReject: 2}) {
			t.Errorf("%+v", d)
		}
		x := b.guard.Snapshot().ExplainUpstream("billing", "Billing", "Get", "web")
		if len(x.Kinds) != 1 || x.Kinds[0].Kind != config.KindConcurrency {
			t.Errorf("%+v", x.Kinds)
		}
	})
}

// A call that an open breaker of any scope refuses has taken neither a token nor a permit.
func TestWhatAnOpenBreakerRefusesTakesNothing(t *testing.T) {
	for _, scope := range []string{config.ScopeMethod, config.ScopeUpstream, config.ScopeEndpoint} {
		synctest.Test(t, func(t *testing.T) {
			b := newBilling(t, toBilling("limit", rate(0.001, 10)), toBilling("counted", rate(0.001, 10), mode(config.Shadow)),
				toBilling("bulkhead", concurrency(5, 0, 0)),
				toBilling("breaks", circuit(config.CircuitBreaker{ConsecutiveFailures: 1, OpenTimeout: config.Duration(time.Minute), Scope: scope})))
			b.serve("a:1")
			b.answer = always(errDown)
			_ = b.call(t.Context())
			for range 3 {
				if got := reasonOf(b.call(t.Context())); got != code.ReasonBreakerOpen {
					t.Errorf("%s: refused as %q", scope, got)
				}
			}
			rules := b.guard.Snapshot()
			for _, name := range []string{"limit", "counted"} {
				if tokens := tokensLeft(rules, name); tokens != 9 {
					t.Errorf("%s: %d tokens of %s are left, want 9", scope, tokens, name)
				}
			}
			if inFlight, _ := inFlight(rules, "bulkhead"); inFlight != 0 {
				t.Errorf("%s: %d in flight", scope, inFlight)
			}
		})
	}
}

// A call that has queued stays charged, though nothing was sent.
func TestACallOutThatHasQueuedStaysCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("limit", rate(0.001, 10)), toBilling("bulkhead", concurrency(1, 1, time.Minute)),
			toBilling("breaks", circuit(config.CircuitBreaker{ConsecutiveFailures: 1, OpenTimeout: config.Duration(time.Minute)})))
		b.serve("a:1")
		release, ended := make(chan struct{}), make(chan error, 2)
		b.answer = func(context.Context, string, int) error {
			<-release
			return errDown
		}
		for range 2 {
			go func() { ended <- b.call(t.Context()) }()
			synctest.Wait()
		}
		close(release) // opens the breaker before the one that queues is sent
		<-ended
		if got := reasonOf(<-ended); got != code.ReasonBreakerOpen {
			t.Errorf("refused as %q", got)
		}
		if tokens := tokensLeft(b.guard.Snapshot(), "limit"); tokens != 8 {
			t.Errorf("%d tokens are left, want 8", tokens)
		}
	})
}

// What a queue of ours costs a probe says nothing about the upstream.
func TestAProbeIsTimedFromWhenItIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("bulkhead", concurrency(1, 5, 10*time.Second), retry(config.Retry{PerTryTimeout: config.Duration(300 * time.Millisecond)})),
			toBilling("breaks", circuit(config.CircuitBreaker{ConsecutiveFailures: 1, OpenTimeout: config.Duration(time.Second), HalfOpenRequests: 1, Scope: config.ScopeMethod})))
		b.answer = always(errDown)
		_ = b.call(t.Context())
		time.Sleep(2 * time.Second)
		b.answer = func(context.Context, string, int) error {
			time.Sleep(200 * time.Millisecond)
			return nil
		}
		ended := make(chan error, 4)
		for range 3 { // of another method, which has a breaker of its own
			go func() { ended <- b.call(t.Context(), callOf("List")) }()
			synctest.Wait()
		}
		go func() { ended <- b.call(t.Context()) }() // the probe
		for range 4 {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		if told := b.transitions(); told[len(told)-1].To != "closed" {
			t.Errorf("%+v", told)
		}
	})
}
