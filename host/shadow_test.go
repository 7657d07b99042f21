package host_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
)

// shadowRules are a breaker and limits that only look on; edited, they are enforced.
const shadowRules = `rules:
  - {name: trial, match: {upstream: till}, mode: shadow, circuitBreaker: {consecutiveFailures: 1, openTimeout: 1h, scope: upstream}}
  - {name: look, match: {service: Desk}, mode: shadow, rateLimit: {rate: 1, per: 24h, burst: 1}}
  - {name: keyed, match: {service: Desk}, mode: shadow, rateLimit: {rate: 1, per: 24h, burst: 1, key: caller}}
`

func TestAShadowRuleNeverLooksLikeAnEnforcedOne(t *testing.T) {
	address, _ := startStock(t, "context deadline exceeded")
	var log logBuffer
	h := hosttest.Start(t, fmt.Sprintf(deskManifest, "till", address), hosttest.Options{
		Registry: deskPlant(t).reg, Files: map[string]string{"p.yaml": shadowRules}, Log: &log,
	})
	_, _ = mul(t, h, 1, 1)
	if b := stateOf(t, h); b.State != "open" || b.Mode != "shadow" {
		t.Errorf("%+v", b)
	}
	text := scrape(t, h)
	for _, want := range []string{
		`easymicro_breaker_state{mode="shadow",rule="trial",state="open",target="till"} 1`,
		`easymicro_breaker_transitions_total{mode="shadow",rule="trial",target="till",to="open"} 1`,
		`easymicro_limiter_tokens{mode="shadow",rule="look"} 0`, `easymicro_limiter_keys{mode="shadow",rule="keyed"} 1`,
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %s", want)
		}
	}
	if strings.Contains(text, `mode="enforce"`) {
		t.Error("there is no enforced rule")
	}
	if told := log.String(); !strings.Contains(told, `level=INFO msg="breaker would be open" rule=trial mode=shadow`) || strings.Contains(told, "breaker open") {
		t.Error(told)
	}
	s, err := h.Admin.Status(t.Context())
	must(t, err)
	for _, l := range s.Limiters {
		if l.Mode != "shadow" {
			t.Errorf("%+v", l)
		}
	}

	h.Write("p.yaml", strings.Replace(shadowRules, "mode: shadow", "mode: enforce", 1))
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatal(r.Problems)
	}
	if b := stateOf(t, h); b.State != "open" || b.Mode != "enforce" {
		t.Errorf("%+v", b)
	}
	if text := scrape(t, h); !strings.Contains(text, `easymicro_breaker_state{mode="enforce",rule="trial",state="open",target="till"} 1`) ||
		strings.Contains(text, `mode="shadow",rule="trial"`) {
		t.Error("the metric goes on in the old mode")
	}
}

func TestWhoAShadowRuleWouldHaveRefusedIsShown(t *testing.T) {
	far, gate := startTill(t, 0)
	gate.open()
	h := startDesk(t, `rules:
  - {name: denied, match: {service: Desk}, mode: shadow, access: {deny: [{caller: "*"}]}}
  - {name: rate, match: {service: Desk}, mode: shadow, rateLimit: {rate: 1, per: 24h, burst: 1, key: caller}}
  - {name: some, match: {service: Desk}, enforceShare: 0%, rateLimit: {rate: 1, per: 24h, burst: 1}}
  - {name: brief, match: {service: Desk}, mode: shadow, timeout: 1ms}
  - {name: out, match: {upstream: till}, mode: shadow, rateLimit: {rate: 1, per: 24h, burst: 1}}
  - {name: real, match: {service: Desk}, rateLimit: {rate: 3, per: 24h, burst: 3}}
`, far)
	for i := range 4 {
		if _, err := mul(t, h, 1, 1); (err != nil) != (i == 3) {
			t.Fatal(i, err)
		}
	}
	list, err := h.Admin.Refusals(t.Context(), admin.RefusalQuery{})
	must(t, err)
	counts := map[string]int{}
	for _, r := range list {
		name, _, _ := strings.Cut(r.Rule, "@")
		counts[name] += r.Count
		if r.Shadow != (name != "real") || r.Caller != "anonymous" || r.Method != "Mul" || r.Position == "" || (r.Upstream == "") != (r.Peer == "127.0.0.1") {
			t.Errorf("%+v", r)
		}
		if want := map[string]string{"denied": "denied", "rate": "rate_limited", "some": "rate_limited", "brief": "timeout", "out": "rate_limited", "real": "rate_limited"}[name]; r.Reason != want {
			t.Errorf("%s: %+v", want, r)
		}
		if name == "rate" && r.Key != "caller=anonymous" {
			t.Errorf("%+v", r)
		}
	}
	delete(counts, "brief") // by how busy the machine is
	// The limits that only look on are charged for what other limits refuse, too.
	if want := map[string]int{"denied": 4, "rate": 3, "some": 3, "out": 2, "real": 1}; !maps.Equal(counts, want) {
		t.Errorf("%v, want %v", counts, want)
	}
}
