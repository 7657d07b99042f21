package policies_test

import (
	"context"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/client"
)

func BenchmarkUpstreams(b *testing.B) {
	patience, limit, again := timeout(5*time.Second), rate(1e8, 1e9), retry(config.Retry{})
	breaks := circuit(config.CircuitBreaker{FailureRate: 0.5})
	for _, bench := range []struct {
		name  string
		rules []config.Rule
	}{
		{"none", nil},
		{"others", []config.Rule{toBilling("r", to("orders"), patience)}},
		{"timeout", []config.Rule{toBilling("r", patience)}},
		{"rateLimit", []config.Rule{toBilling("r", limit)}},
		{"retry", []config.Rule{toBilling("r", again)}},
		{"breaker", []config.Rule{toBilling("r", breaks)}},
		{"outliers", []config.Rule{toBilling("r", outlying(config.OutlierDetection{}))}},
		{"hedge", []config.Rule{toBilling("r", hedge(time.Second, "*"))}},
		{"all", []config.Rule{toBilling("r", patience, limit, again, breaks)}},
	} {
		b.Run(bench.name, func(b *testing.B) {
			do := plainCall(b, bench.rules)
			b.ReportAllocs()
			for b.Loop() {
				do()
			}
		})
	}
}

// plainCall is a call that succeeds at the first endpoint.
func plainCall(t testing.TB, rules []config.Rule) func() {
	guard, err := policies.ClientGuard(rules)
	if err != nil {
		t.Fatal(err)
	}
	call := &outCall{upstream: "billing", service: "Billing", method: "Get", caller: "web", idempotent: true}
	call.attempt = func(_ context.Context, _ int, endpoints client.EndpointFilter) error {
		if endpoints != nil && endpoints.Admit("10.0.0.5:8972") {
			endpoints.Settle("10.0.0.5:8972", nil)
		}
		return nil
	}
	ctx := t.Context()
	return func() {
		if _, err := guard.Do(ctx, call); err != nil {
			t.Fatal(err)
		}
	}
}

func TestRulesOfAnUpstreamCostFewAllocations(t *testing.T) {
	for _, test := range []struct {
		name  string
		rules []config.Rule
		most  float64
	}{
		{"no rule", nil, 0},
		{"rules for others", []config.Rule{toBilling("r", to("orders"), timeout(time.Second))}, 0},
		{"one of each", []config.Rule{toBilling("r", timeout(time.Second), rate(1e8, 1e9), retry(config.Retry{}),
			circuit(config.CircuitBreaker{FailureRate: 0.5}))}, 2},
	} {
		do := plainCall(t, test.rules)
		do()
		if n := testing.AllocsPerRun(200, do); n > test.most {
			t.Errorf("%s: %v allocations, want at most %v", test.name, n, test.most)
		}
	}
}
