package policies_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

func TestACallWithoutARuleIsOneAttempt(t *testing.T) {
	for name, guard := range map[string]*policies.ClientRules{
		"no set": nil, "no rule": must(policies.ClientGuard(nil)),
		"a rule for others":  must(policies.ClientGuard([]config.Rule{toBilling("r", to("orders"), timeout(time.Second))})),
		"a rule that is off": must(policies.ClientGuard([]config.Rule{toBilling("r", timeout(time.Second), mode(config.Off))})),
		"an expired rule":    must(policies.ClientGuard([]config.Rule{toBilling("r", timeout(time.Second), expires(time.Now().Add(-time.Hour)))})),
	} {
		want := context.WithValue(t.Context(), new(int), "mine")
		sent := 0
		slot, err := guard.Do(want, &outCall{upstream: "billing", attempt: func(ctx context.Context, slot int, endpoints client.EndpointFilter) error {
			if sent++; ctx != want || slot != 0 || endpoints != nil {
				t.Errorf("%s: another context, slot %d, endpoints %v", name, slot, endpoints)
			}
			return errDown
		}})
		if slot != 0 || !errors.Is(err, errDown) || sent != 1 {
			t.Errorf("%s: slot %d, %v after %d attempts", name, slot, err, sent)
		}
	}
}

func must(u *policies.ClientRules, err error) *policies.ClientRules {
	if err != nil {
		panic(err)
	}
	return u
}

func TestRulesForCallsThatComeInAndThatGoOutAreKeptApart(t *testing.T) {
	everything := newRuleOn("in", "*", rate(1, 1))
	out := toBilling("out", to("*"), rate(1, 1))
	s, err := compile([]config.Rule{everything, out}, []policies.Target{mul, {Service: "Billing", Method: "Get"}}, nil, policies.Options{})
	if err != nil {
		t.Fatal(err)
	}
	call := &outCall{upstream: "billing", service: "Billing", method: "Get", attempt: func(context.Context, int, client.EndpointFilter) error { return nil }}
	for i := range 2 {
		_, err := s.ClientRules().Do(t.Context(), call)
		if wantRule := []string{"", "out@r0"}[i]; ruleOf(err) != wantRule {
			t.Errorf("outgoing call %d: %v", i, err)
		}
		ticket := new(policies.Ticket)
		err = s.Guard(policies.Target{Service: "Billing", Method: "Get"}).Enter(t.Context(), &policies.Call{}, ticket)
		if wantRule := []string{"", "in@r0"}[i]; ruleOf(err) != wantRule {
			t.Errorf("incoming call %d: %v", i, err)
		}
	}
}

func ruleOf(err error) string {
	var e *code.Error
	if errors.As(err, &e) {
		return e.Rule
	}
	return ""
}

func TestTheTimeoutHoldsForTheWholeCallAndNamesItsRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", timeout(time.Second), retry(config.Retry{
			MaxAttempts: 10, PerTryTimeout: config.Duration(300 * time.Millisecond),
			InitialBackoff: config.Duration(time.Millisecond), MaxBackoff: config.Duration(time.Millisecond),
		})))
		b.answer = func(ctx context.Context, _ string, _ int) error { return until(ctx) }
		began := time.Now()
		err := b.call(t.Context(), idempotent)
		if e := refusal(t, err); e.Message != "DEADLINE_EXCEEDED: timed out after 1s by calls@r1" || e.Reason != code.ReasonTimeout {
			t.Errorf("got %v", e)
		}
		if took := time.Since(began); took != time.Second {
			t.Errorf("it took %s", took)
		}
		if d := b.decisions("calls", config.KindTimeout); d.Reject != 1 || d.Allow != 0 {
			t.Errorf("%+v", d)
		}
	})
}

func TestTheCallersShorterDeadlineIsNotTheRules(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", timeout(time.Second)))
		b.answer = func(ctx context.Context, _ string, _ int) error { return until(ctx) }
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		began := time.Now()
		err := b.call(ctx)
		if e := refusal(t, err); e.Rule != "" || e.Code != code.DeadlineExceeded || time.Since(began) != 300*time.Millisecond {
			t.Errorf("got %v after %s", e, time.Since(began))
		}
		if e := refusal(t, b.call(ctx)); e.Message != "DEADLINE_EXCEEDED: deadline of the caller passed" {
			t.Errorf("a call that comes too late: %v", e)
		}
	})
}

// The deadline travels in whole milliseconds: a peer that keeps to it answers a little sooner than we give up.
func TestAPeersAnswerAtTheDeadlineIsTheTimeoutOfOurRule(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", timeout(time.Second)))
		peer := code.Remote(code.Refuse(code.DeadlineExceeded, code.ReasonTimeout, "deadline of the caller passed", "", "far", 0))
		b.answer = func(context.Context, string, int) error { time.Sleep(999 * time.Millisecond); return peer }
		if e := refusal(t, b.call(t.Context())); e.Rule != "calls@r1" {
			t.Errorf("got %v", e)
		}
		b.answer = func(context.Context, string, int) error { time.Sleep(500 * time.Millisecond); return peer }
		if err := b.call(t.Context()); !errors.Is(err, peer) {
			t.Errorf("a peer's own timeout became %v", err)
		}
	})
}

func TestTheRateLimitIsAskedOnceForACallAndBeforeAnythingIsSent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", rate(1, 2), retry(quick(3))))
		b.answer = always(errBusy)
		for range 2 {
			if err := b.call(t.Context()); !errors.Is(err, errBusy) {
				t.Errorf("got %v", err)
			}
		}
		b.went()
		e := refusal(t, b.call(t.Context(), idempotent))
		if e.Reason != code.ReasonRateLimited || e.Rule != "calls@r1" || e.RetryAfter <= 0 {
			t.Errorf("got %v", e)
		}
		if went := b.went(); went != "[]" {
			t.Errorf("a call that was refused went to %s", went)
		}
	})
}

func TestLimitsOfAClientHaveKeysToo(t *testing.T) {
	b := newBilling(t, toBilling("users", keyedRate("metadata.user", 10, 0.001, 1)), toBilling("callers", keyedRate("caller", 10, 0.001, 2)))
	user := func(name string) func(*outCall) {
		return func(c *outCall) { c.metadata = pairs{"user": name}; c.caller = "web-" + name }
	}
	for _, test := range []struct{ user, want string }{{"ann", ""}, {"bob", ""}, {"ann", "users@r1"}, {"bob", "users@r1"}} {
		if rule := ruleOf(b.call(t.Context(), user(test.user))); rule != test.want {
			t.Errorf("%s is refused by %q, want %q", test.user, rule, test.want)
		}
	}
}

func TestAWaitForATokenEndsWithTheCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", waiting(1, 1, time.Minute), timeout(500*time.Millisecond)))
		if err := b.call(t.Context()); err != nil {
			t.Fatal(err)
		}
		began := time.Now()
		if e := refusal(t, b.call(t.Context())); e.Reason != code.ReasonRateLimited || time.Since(began) != 0 {
			t.Errorf("a token that comes too late: %v after %s", e, time.Since(began))
		}
	})
}

func TestTheMostSpecificClientSideRuleWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t,
			toBilling("wide", to("*"), timeout(5*time.Second)),
			toBilling("upstream", timeout(4*time.Second)),
			toBilling("caller", to("*"), caller("web"), timeout(3*time.Second)),
			toBilling("method", to("*"), method("Pay"), timeout(2*time.Second)),
			toBilling("shadow", mode(config.Shadow), method("Pay"), timeout(time.Millisecond)),
		)
		b.answer = func(ctx context.Context, _ string, _ int) error { return until(ctx) }
		for _, test := range []struct {
			want string
			set  []func(*outCall)
		}{
			{"upstream", []func(*outCall){callerIs("job")}},
			{"wide", []func(*outCall){callerIs("job"), func(c *outCall) { c.upstream = "orders" }}},
			{"caller", nil},
			{"method", []func(*outCall){callOf("Pay")}},
		} {
			if rule := ruleOf(b.call(t.Context(), test.set...)); !strings.HasPrefix(rule, test.want+"@") {
				t.Errorf("%s decides, want %s", rule, test.want)
			}
		}
		if d := b.decisions("shadow", config.KindTimeout); d.ShadowReject != 1 {
			t.Errorf("shadow counted %+v", d)
		}
	})
}

func TestOnlyTheShareOfCallersIsRefused(t *testing.T) {
	b := newBilling(t, toBilling("calls", rate(0.001, 1), enforceShare(0.5)))
	_ = b.call(t.Context())
	refused := 0
	for i := range 200 {
		if b.call(t.Context(), callerIs(strings.Repeat("x", i+1))) != nil {
			refused++
		}
	}
	if d := b.decisions("calls", config.KindRateLimit); refused < 60 || refused > 140 || d.Reject+d.ShadowReject != 200 {
		t.Errorf("%d of 200 refused, %+v", refused, d)
	}
}
