package host_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/policies/limit"
	"github.com/easymicro/easymicro/wire/code"
)

// breaking has a kind of the rule arith-mul panic at a moment, from the next edit on.
func breaking(h *hosttest.Host, kind config.Kind, at limit.Moment) {
	host.Fault(h.Host, func(o *policies.Options) {
		o.Fault = func(rule string, k config.Kind, moment limit.Moment) {
			if rule == "arith-mul" && k == kind && moment == at {
				panic("the sky falls")
			}
		}
	})
}

var settingsOfKinds = map[config.Kind]string{
	config.KindAccess:           "access: {allow: [{caller: '*'}]}",
	config.KindPriority:         "priority: low",
	config.KindShed:             "shed: {cpuAbove: 100%}",
	config.KindRateLimit:        "rateLimit: {rate: 10000}",
	config.KindCircuitBreaker:   "circuitBreaker: {consecutiveFailures: 100}",
	config.KindConcurrency:      "concurrency: {max: 100}",
	config.KindTimeout:          "timeout: 1m",
	config.KindRetry:            "retry: {maxAttempts: 2}",
	config.KindHedge:            "hedge: {delay: 1s, methods: ['*']}",
	config.KindOutlierDetection: "outlierDetection: {consecutiveFailures: 5}",
}

// A rule that panics is taken out of force, told everywhere with its place, and its edit is undone. No call is lost over it, except
// those that its own access list would have to decide on.
func TestABrokenRuleIsToldAndItsEditUndone(t *testing.T) {
	for _, kind := range config.Kinds() {
		if settingsOfKinds[kind] == "" {
			t.Errorf("%s has no setting", kind)
		}
	}
	for kind, setting := range settingsOfKinds {
		for _, mode := range []string{"mode: enforce", "mode: shadow", "enforceShare: 100%"} {
			for _, at := range []limit.Moment{limit.AtCompile, limit.AtTaste, limit.AtMatch, limit.AtAsk, limit.AtDone} {
				client := kind.ClientOnly()
				if at == limit.AtDone && (kind == config.KindAccess || kind == config.KindPriority || kind == config.KindShed || kind == config.KindRateLimit || kind == config.KindRetry) {
					continue // there is nothing to do at the end of a call that succeeds
				}
				t.Run(fmt.Sprintf("%s %s %s", kind, mode, at), func(t *testing.T) {
					t.Parallel()
					match := "service: Arith"
					if client {
						match = "upstream: till"
					}
					brokenRule{
						kind: kind, at: at, closed: kind == config.KindAccess && mode != "mode: shadow",
						text: fmt.Sprintf("rules:\n\n\n  - {name: arith-mul, match: {%s}, %s, %s}\n", match, mode, setting),
					}.run(t)
				})
			}
		}
	}
}

type brokenRule struct {
	kind   config.Kind
	at     limit.Moment
	closed bool
	text   string
}

func (b brokenRule) run(t *testing.T) {
	till, _ := startTill(t, 1)
	log := new(logBuffer)
	h := hosttest.Start(t, fmt.Sprintf(`
services:
  - {name: Arith, handler: test.arith}
  - {name: Desk, handler: test.desk, uses: {till: till}}
upstreams: [{name: till, service: Till, connection: {connectTimeout: 20s}, resolve: {endpoints: [%q]}, idempotent: ["*"]}]
policies: {files: [policies.d/*.yaml], watch: {debounce: 20ms, poll: 200ms}, autoRollback: {window: 1m}}
`, till.Address), hosttest.Options{Registry: deskPlant(t).reg, Files: map[string]string{"policies.d/10-orders.yaml": "rules: []\n"}, Log: log})
	conn := h.Dial()
	breaking(h, b.kind, b.at)
	h.Write("policies.d/10-orders.yaml", b.text)
	r := h.Revision()
	if b.at == limit.AtCompile || b.at == limit.AtTaste {
		const want = "internal error in rule arith-mul (policies.d/10-orders.yaml:4): the sky falls; this is a bug of easymicro"
		if r.Result != host.ResultRejected || r.Error != want {
			t.Errorf("%s: %q %v", r.Result, r.Error, r.Problems)
		}
		return
	}
	if r.Result != host.ResultApplied || r.Number != 2 {
		t.Fatalf("r%d %s %q %v", r.Number, r.Result, r.Error, r.Problems)
	}
	service := "Arith"
	if b.kind.ClientOnly() {
		service = "Desk"
	}
	fails := func(err error) {
		if e := code.From(err); err != nil && (!b.closed || e.Code != code.Unavailable || e.Reason != code.ReasonRuleBroken) {
			t.Errorf("call: %v", err)
		}
	}
	fails(hosttest.CallJSON(context.Background(), conn, service, "Mul", args{2, 3}, new(reply)))
	response, body := h.Post("/"+service+"/Mul", `{"a":2,"b":3}`)
	if response.StatusCode != http.StatusOK && (!b.closed || response.StatusCode != http.StatusServiceUnavailable || !strings.Contains(body, "rule_broken")) {
		t.Errorf("POST: %s %s", response.Status, body)
	}
	r = h.Revision()
	if want := "r2 rolled back: arith-mul is broken (policies.d/10-orders.yaml:4)."; r.Source != host.SourceAutoRollback || !strings.HasPrefix(r.Why, want) {
		t.Errorf("r%d by %s: %s", r.Number, r.Source, r.Why)
	}
	for _, want := range []string{"a rule is broken", "rule=arith-mul", "position=policies.d/10-orders.yaml:4", "the sky falls", "broken_test.go"} {
		if !strings.Contains(log.String(), want) {
			t.Errorf("the log lacks %q", want)
		}
	}
}

// A broken rule that stays shows wherever rules do.
func TestABrokenRuleShows(t *testing.T) {
	h := edited(t, guardedManifest, map[string]string{policyFile: "rules: []\n"})
	breaking(h, config.KindRateLimit, limit.AtAsk)
	h.Write(policyFile, ruleFile("{name: arith-mul, match: {service: Arith}, autoRollback: off, rateLimit: {rate: 5}}"))
	if r := h.Revision(); r.Result != host.ResultApplied || r.Number != 2 {
		t.Fatalf("r%d %s %v", r.Number, r.Result, r.Problems)
	}
	conn := h.Dial()
	for range 20 {
		must(t, hosttest.CallJSON(t.Context(), conn, "Arith", "Mul", args{2, 3}, new(reply)))
	}
	rules, err := h.Admin.Rules(t.Context())
	must(t, err)
	if r := rules[0]; r.Status != policies.StatusBroken || r.Detail != "rateLimit lets calls pass: the sky falls" {
		t.Errorf("rules: %s %q", r.Status, r.Detail)
	}
	x, err := h.Admin.Explain(t.Context(), admin.ExplainQuery{Service: "Arith", Method: "Mul"})
	must(t, err)
	if r := x.Kinds[0].Applies[0]; r.Status != policies.StatusBroken {
		t.Errorf("explain: %+v", r)
	}
	status, err := h.Admin.Status(t.Context())
	must(t, err)
	if w := status.Warnings; !status.Ready || len(w) == 0 || !strings.Contains(w[0].Message, "rule arith-mul is broken: its rateLimit lets calls pass") || w[0].Line != 2 {
		t.Errorf("status: %+v", w)
	}
	ready, err := h.Admin.Ready(t.Context())
	must(t, err)
	if last := ready.Checks[len(ready.Checks)-1]; !ready.Ready || last.Name != "rule arith-mul (policies.d/10.yaml:2)" || last.Warning != "its rateLimit is broken" {
		t.Errorf("readyz: %+v", ready)
	}
	if text := scrape(t, h); !strings.Contains(text, `easymicro_rule_info{mode="enforce",rule="arith-mul",status="broken"} 1`) {
		t.Error("no metric shows it")
	}
}
