package host_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
)

// What the rules about an upstream refuse is as visible as what those about callers do.
func TestCallsToUpstreamsThatRulesRefuseAreRemembered(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, rule, method string
		calls              int
		gone               bool   // the upstream
		far                string // more of its manifest
		want               admin.Refusal
		state              string
	}{
		{
			"rateLimit", "{name: few, match: {upstream: till}, rateLimit: {rate: 1, per: 24h}}", "Mul", 2, false, "",
			admin.Refusal{Code: "RESOURCE_EXHAUSTED", Reason: "rate_limited", Rule: "few@r1", Kind: "rateLimit"},
			"0 of 1 tokens",
		},
		{
			"timeout", "{name: brief, match: {upstream: till}, timeout: 30ms}", "Wait", 1, false, "",
			admin.Refusal{Code: "DEADLINE_EXCEEDED", Reason: "timeout", Rule: "brief@r1", Kind: "timeout"},
			"",
		},
		{
			"perTryTimeout", "{name: try, match: {upstream: till}, retry: {perTryTimeout: 30ms}}", "Wait", 1, false, "",
			admin.Refusal{Code: "DEADLINE_EXCEEDED", Reason: "timeout", Rule: "try@r1", Kind: "retry"},
			"",
		},
		{
			"circuitBreaker", "{name: breaks, match: {upstream: till}, circuitBreaker: {consecutiveFailures: 1, openTimeout: 1h}}", "Mul", 3, true, "",
			admin.Refusal{Code: "UNAVAILABLE", Reason: "breaker_open", Rule: "breaks@r1", Kind: "circuitBreaker"},
			"open",
		},
		{
			"retry budget", "{name: again, match: {upstream: till}, retry: {retryOn: [PERMISSION_DENIED], maxAttempts: 20, initialBackoff: 1ms, maxBackoff: 1ms, budget: 1%}}", "Mul", 1, false,
			"policies: {rules: [{name: nobody, match: {service: Till}, access: {deny: [{caller: '*'}]}}]}\n",
			admin.Refusal{Code: "PERMISSION_DENIED", Reason: "retry_budget", Rule: "again@r1", Kind: "retry"},
			"retried",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			far, _ := startTillUnder(t, 0, tc.far)
			h := startDesk(t, "rules:\n  - "+tc.rule+"\n", far)
			if tc.gone {
				far.Stop()
			}
			c := h.Dial()
			for range tc.calls {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				_ = hosttest.CallJSON(ctx, c, "Desk", tc.method, args{1, 1}, new(reply))
				cancel()
			}
			list, err := h.Admin.Refusals(t.Context(), admin.RefusalQuery{})
			must(t, err)
			if len(list) != 1 {
				t.Fatalf("%d refusals: %+v", len(list), list)
			}
			got := list[0]
			if got.State == "" && tc.state != "" || !strings.Contains(got.State, tc.state) || got.Count < 1 || time.Since(got.At) > patience {
				t.Errorf("%+v", got)
			}
			want := tc.want
			want.Upstream, want.Service, want.Method, want.Caller, want.Position = "till", "Till", tc.method, "anonymous", got.Position
			want.At, want.Count, want.State = got.At, got.Count, got.State
			if got != want || !strings.HasPrefix(got.Position, "p.yaml:2") {
				t.Errorf("got %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestAFloodOfRefusedCallsToAnUpstreamIsOneLine(t *testing.T) {
	far, _ := startTill(t, 0)
	var log logBuffer
	h := hosttest.Start(t, fmt.Sprintf(deskManifest, "till", far.Address), hosttest.Options{
		Registry: deskPlant(t).reg, Log: &log,
		Files: map[string]string{"p.yaml": "rules: [{name: few, match: {upstream: till}, rateLimit: {rate: 1, per: 24h}}]\n"},
	})
	for range 20 {
		_, _ = mul(t, h, 1, 1)
	}
	text := log.String()
	if n := strings.Count(text, "call to an upstream refused"); n != 1 || !strings.Contains(text, "upstream=till rule=few@r1 reason=rate_limited caller=anonymous method=Till/Mul") {
		t.Errorf("%d lines:\n%s", n, text)
	}
	list, err := h.Admin.Refusals(t.Context(), admin.RefusalQuery{})
	must(t, err)
	sum := 0
	for i := range list {
		sum += list[i].Count
	}
	if sum != 19 || len(list) > 10 {
		t.Errorf("%d refusals in %d places", sum, len(list))
	}
}

// Of two tenants that one limit refuses, each has its own count, its own name in the log and in the list.
func TestRefusalsOfTwoKeysAreTwo(t *testing.T) {
	var log logBuffer
	h := hosttest.Start(t, "services: [{name: Arith, handler: test.arith}]\npolicies: {files: [p.yaml]}\n", hosttest.Options{
		Registry: newPlant(t).reg, Log: &log,
		Files: map[string]string{"p.yaml": "rules: [{name: quota, match: {service: Arith}, rateLimit: {rate: 1, per: 24h, burst: 1, key: metadata.tenant}}]\n"},
	})
	c := h.Dial()
	for i := range 30 {
		var res wire.Frame
		_ = c.Do(t.Context(), &wire.Frame{
			Service: "Arith", Method: "Mul", Codec: wire.JSON, Payload: []byte(`{}`),
			Metadata: wire.Metadata{{"tenant", []string{"acme", "umbrella\nlevel=ERROR", "acme"}[i%3]}},
		}, &res)
	}
	list, err := h.Admin.Refusals(t.Context(), admin.RefusalQuery{})
	must(t, err)
	counts := map[string]int{}
	for _, r := range list {
		if r.Peer != "127.0.0.1" || r.Caller != "anonymous" || r.Rule != "quota@r1" {
			t.Errorf("%+v", r)
		}
		counts[r.Key] += r.Count
	}
	want := map[string]int{"metadata.tenant=acme": 19, `metadata.tenant="umbrella\nlevel=ERROR"`: 9}
	if !maps.Equal(counts, want) {
		t.Errorf("%v, want %v", counts, want)
	}
	h.Stop()
	text := log.String()
	for _, line := range []string{
		"method=Arith/Mul rule=quota@r1 reason=rate_limited caller=anonymous key=\"metadata.tenant=acme\" peer=127.0.0.1",
		"method=Arith/Mul rule=quota@r1 reason=rate_limited caller=anonymous key=\"metadata.tenant=acme\" suppressed=18",
		`key="metadata.tenant=\"umbrella\\nlevel=ERROR\"" peer=127.0.0.1`, `key="metadata.tenant=\"umbrella\\nlevel=ERROR\"" suppressed=8`,
	} {
		if n := strings.Count(text, line); n != 1 {
			t.Errorf("%d lines with %s in\n%s", n, line, text)
		}
	}
	for line := range strings.Lines(text) {
		if strings.Contains(line, "rate_limited") && !strings.Contains(line, `msg="call refused"`) {
			t.Error("another message: " + line)
		}
	}
}

// A gateway passes on under the rules of its upstreams: what they refuse is recorded once, as a call to the upstream.
func TestARefusalByAGatewaysClientSideRuleIsRememberedOnce(t *testing.T) {
	t.Parallel()
	y := newYard()
	far(t, y, newPlant(t), "")
	gw := standalone(t, y, toAll+"policies: {rules: [{name: out, match: {upstream: Arith}, rateLimit: {rate: 1, per: 24h}}]}\n", hosttest.Options{})
	for _, want := range []int{200, 429} {
		if r, body := gw.Post("/Arith/Mul", `{}`); r.StatusCode != want {
			t.Errorf("%d %s", r.StatusCode, body)
		}
	}
	list, err := gw.Admin.Refusals(t.Context(), admin.RefusalQuery{})
	if err != nil || len(list) != 1 || list[0].Upstream != "Arith" || list[0].Service != "Arith" || list[0].Method != "Mul" || list[0].Rule != "out@r1" {
		t.Errorf("%+v %v", list, err)
	}
}

// Names are those of peers: what is kept of them is short, and not a part of what they sent.
func TestLongNamesOfRefusalsAreCut(t *testing.T) {
	t.Parallel()
	y := newYard()
	far(t, y, newPlant(t), "")
	gw := standalone(t, y, toAll+"policies: {rules: [{name: none, match: {service: Arith}, access: {deny: [{caller: '*'}]}}]}\n", hosttest.Options{})
	gw.Post("/Arith/"+strings.Repeat("x", 1000), `{}`)
	list, err := gw.Admin.Refusals(t.Context(), admin.RefusalQuery{})
	if err != nil || len(list) != 1 || len(list[0].Method) > 150 {
		t.Errorf("%+v %v", list, err)
	}
}

// A refusal by a breaker at a gateway has the state of the breaker, whatever its target.
func TestARefusalAtAGatewayHasTheStateOfTheBreaker(t *testing.T) {
	t.Parallel()
	for _, rule := range []string{
		"match: {service: Arith}, circuitBreaker: {",
		"match: {upstream: Arith, method: Mul}, circuitBreaker: {scope: method, ",
		"match: {upstream: Arith}, circuitBreaker: {scope: endpoint, ",
		"match: {upstream: Arith}, circuitBreaker: {scope: upstream, ",
	} {
		y := newYard()
		y.put("Arith", unused(t))
		gw := standalone(t, y, toAll+"policies: {rules: [{name: out, "+rule+"consecutiveFailures: 1, openTimeout: 1h}}]}\n", hosttest.Options{})
		for range 4 {
			gw.Post("/arith/mul", `{}`)
		}
		list, err := gw.Admin.Refusals(t.Context(), admin.RefusalQuery{})
		if err != nil || len(list) == 0 || list[0].Reason != "breaker_open" || !strings.Contains(list[0].State, "open since") {
			t.Errorf("%s: %+v %v", rule, list, err)
		}
	}
}
