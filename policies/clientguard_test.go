package policies_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

func TestWhatIsWrongWithRulesInCodeIsNamed(t *testing.T) {
	rules := []config.Rule{
		{Name: "two words", Match: config.Match{Upstream: config.Patterns{"*"}}, Timeout: new(config.Duration)},
		newRuleOn("inbound", "Billing", timeout(time.Second)),
		toBilling("kinds", access(nil, []config.AccessEntry{{Caller: config.Patterns{"x"}}}), concurrency(1, 0, 0)),
		toBilling("retries", retry(config.Retry{MaxAttempts: 1, RetryOn: []string{"UNAVAILABEL"}, FailMode: "failback", Budget: 3})),
		toBilling("pauses", retry(config.Retry{InitialBackoff: config.Duration(time.Minute)})),
		toBilling("hedges", func(r *config.Rule) { r.Hedge = &config.Hedge{} }),
		toBilling("rates", rate(0, 0)),
		toBilling("nothing"),
		toBilling("tie-a", method("Get"), timeout(time.Second)),
		toBilling("tie-b", method("Get"), timeout(time.Second)),
		toBilling("tie-b"),
		toBilling("burst", func(r *config.Rule) { r.RateLimit = &config.RateLimit{Rate: 1, Burst: -1} }),
	}
	_, err := policies.ClientGuard(rules)
	var problems config.Problems
	if !errors.As(err, &problems) {
		t.Fatalf("got %T", err)
	}
	text := err.Error()
	for _, want := range []string{
		`rules[two words].name: must be 1 to 64 letters`,
		`rules[two words].timeout: must be from 1ms to 24h`,
		`rules[inbound].match.upstream: is required: a client has only client-side rules; "*" matches every upstream`,
		`rules[kinds].access: is for incoming calls`,
		`rules[retries].retry.maxAttempts: must be from 2 to 100, not 1`,
		`rules[retries].retry.retryOn[0]: "UNAVAILABEL" is not an error code (did you mean UNAVAILABLE?)`,
		`rules[retries].retry.failMode: "failback" is not one of failover, failtry, failfast`,
		`rules[retries].retry.budget: must be from 0.01 to 1, not 300%`,
		`rules[pauses].retry.initialBackoff: initialBackoff (1m) is longer than maxBackoff (500ms)`,
		`rules[hedges].hedge.delay: is required`,
		`rules[hedges].hedge.methods: is required`,
		`rules[rates].rateLimit.rate: is required`,
		`rules[nothing]: the rule has no effect: add timeout, priority, rateLimit, concurrency, retry, hedge, circuitBreaker or outlierDetection`,
		`rules[tie-b].timeout: timeout of rule tie-b and of rule tie-a are equally specific and match the same calls`,
		`rules[tie-b].name: the name tie-b is taken by another rule`,
		`rules[burst].rateLimit.burst: must be from 1 to 1000000000, not -1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no problem %q in\n%s", want, text)
		}
	}
	for _, p := range problems {
		if p.File != "" || p.Line != 0 || p.Warning {
			t.Errorf("%+v", p)
		}
	}
}

func TestDefaultsStandForWhatIsZeroAndTheRulesAreNotChanged(t *testing.T) {
	rules := func() []config.Rule {
		return []config.Rule{toBilling("calls", retry(config.Retry{}), outlying(config.OutlierDetection{}), hedge(time.Second, "Get"),
			circuit(config.CircuitBreaker{FailureRate: 0.5}), rate(5, 0))}
	}
	given := rules()
	u, err := policies.ClientGuard(given)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(rules(), given, cmpopts.IgnoreUnexported(config.Rule{})); diff != "" {
		t.Error(diff)
	}
	got := map[config.Kind]string{}
	for _, k := range u.Snapshot().Rules()[0].Kinds {
		got[k.Kind] = k.Setting
	}
	want := map[config.Kind]string{
		config.KindRateLimit:        "5 per 1s, burst 5",
		config.KindRetry:            "up to 3 attempts on UNAVAILABLE, failover, backoff up to 20ms, growing to 500ms, budget 20% of the calls (at least 10 retries per 10s)",
		config.KindHedge:            "up to 2 attempts, another after each 1s without a reply, for Get",
		config.KindCircuitBreaker:   "each endpoint opens for 5s when 50% of at least 20 calls within 10s fail",
		config.KindOutlierDetection: "ejects an endpoint after 5 consecutive failures, for 30s, then longer up to 5m; at most 50% of the endpoints",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

// A rule in code has the same defaults as in a file.
func TestDefaultsInCodeAreThoseOfAFile(t *testing.T) {
	read, problems := config.DecodeRules("r.yaml", []byte(`rules: [{name: calls, match: {upstream: billing}, retry: {}, outlierDetection: {},
		hedge: {delay: 1s, methods: [Get]}, circuitBreaker: {failureRate: 50%}, rateLimit: {rate: 5}}]`), nil)
	if problems.Err() != nil {
		t.Fatal(problems)
	}
	made, problems := config.CompleteRules([]config.Rule{toBilling("calls", retry(config.Retry{}), outlying(config.OutlierDetection{}),
		hedge(time.Second, "Get"), circuit(config.CircuitBreaker{FailureRate: 0.5}), rate(5, 0))})
	if problems.Err() != nil {
		t.Fatal(problems)
	}
	a, b := read[0], made[0]
	for name, pair := range map[string][2]any{
		"retry": {a.Retry, b.Retry}, "outliers": {a.OutlierDetection, b.OutlierDetection}, "hedge": {a.Hedge, b.Hedge},
		"breaker": {a.CircuitBreaker, b.CircuitBreaker}, "rate": {a.RateLimit, b.RateLimit}, "mode": {a.Mode, b.Mode},
	} {
		if diff := cmp.Diff(pair[0], pair[1]); diff != "" {
			t.Errorf("%s (-file +code):\n%s", name, diff)
		}
	}
}

func TestReplaceKeepsStateAndBadRulesChangeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("calls", rate(0.001, 3)))
		for range 3 {
			if err := b.call(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		if err := b.guard.Replace([]config.Rule{toBilling("calls")}); err == nil {
			t.Error("a rule without a kind is taken")
		}
		if e := refusal(t, b.call(t.Context())); e.Rule != "calls@r1" {
			t.Errorf("after a bad edit: %v", e)
		}
		if err := b.guard.Replace([]config.Rule{toBilling("calls", rate(0.001, 3), timeout(time.Second))}); err != nil {
			t.Fatal(err)
		}
		if e := refusal(t, b.call(t.Context())); e.Rule != "calls@r2" || e.Reason != code.ReasonRateLimited {
			t.Errorf("after an edit: %v", e)
		}
		if err := b.guard.Replace(nil); err != nil {
			t.Fatal(err)
		}
		if err := b.call(t.Context()); err != nil {
			t.Errorf("without rules: %v", err)
		}
	})
}

func TestTheRulesOfASetAreNotReplacedByHand(t *testing.T) {
	s, err := policies.Compile(nil, nil, nil, policies.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ClientRules().Replace(nil); err == nil {
		t.Error("they are")
	}
	if (*policies.Snapshot)(nil).ClientRules() != nil {
		t.Error("a nil Snapshot has rules")
	}
	if (*policies.ClientRules)(nil).Pool() != nil {
		t.Error("nil ClientRules have a pool")
	}
}

// Problems that only Compile finds have the same form as those of validation.
func TestWhatCompileFindsAreProblemsToo(t *testing.T) {
	rules := []config.Rule{
		toBilling("calls", circuit(config.CircuitBreaker{ConsecutiveFailures: 1, FailOn: []string{"NOPE"}})),
		toBilling("twice", timeout(time.Second)), toBilling("twice", timeout(time.Second)),
	}
	_, err := policies.Compile(completed(rules), nil, nil, policies.Options{})
	problems, ok := err.(config.Problems) //nolint:errorlint // as promised, not wrapped
	if want := "rules[calls]: rule calls: circuitBreaker.failOn: unknown code \"NOPE\"\nrules[twice]: rule twice: duplicate name"; !ok || problems.Error() != want {
		t.Errorf("%T: %v", err, err)
	}
}
