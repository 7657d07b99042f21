package host_test

import (
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
)

const forecastManifest = `
services: [{name: Arith, handler: test.arith}]
auth: {identify: [token], tokens: {file: tokens.yaml}}
policies: {files: [a.yaml], autoRollback: {window: 1h, minRequests: 300, maxNewRefusals: 40%}, watch: {debounce: 20ms, poll: 1h}}
`

// startForecast runs a host with rules, and returns a function that makes calls and returns the share that is refused.
func startForecast(t *testing.T, rules string) (h *hosttest.Host, calls func() float64) {
	h = hosttest.Start(t, forecastManifest, hosttest.Options{
		Registry: newPlant(t).reg, Files: map[string]string{"a.yaml": "rules:\n" + rules, "tokens.yaml": tokensFile("partner-token", "") + strings.Replace(tokensFile("batch-token", ""), "partner", "batch", 1)},
	})
	conn := h.Dial()
	return h, func() float64 {
		refused, all := 0, 0
		for _, s := range []stream{{caller: "partner", method: "Mul", n: 150}, {caller: "batch", method: "Mul", n: 50}, {method: "Meta", n: 100}} {
			s.service = "Arith"
			for range s.n {
				all++
				if s.call(t.Context(), h, conn) != nil {
					refused++
				}
			}
		}
		return float64(refused) / float64(all)
	}
}

// What a host forecasts for the calls that it has served happens to the same calls afterwards.
func TestAHostForecastsItsOwnTraffic(t *testing.T) {
	for name, c := range map[string]struct {
		old, next string
		share     float64
		exceeds   bool
	}{
		"access": {"", "  - {name: x, match: {service: Arith}, access: {deny: [{caller: anonymous}]}}\n", 1. / 3, false},
		"rate":   {"", "  - {name: x, match: {service: Arith}, rateLimit: {rate: 100, per: 24h}}\n", 2. / 3, true},
		"key":    {"", "  - {name: x, match: {service: Arith}, rateLimit: {rate: 75, per: 24h, key: caller}}\n", 1. / 3, false},
		"wider": {
			"  - {name: x, match: {service: Arith}, access: {allow: [{caller: partner}]}}\n",
			"  - {name: x, match: {service: Arith}, access: {allow: [{caller: partner}, {caller: anonymous}]}}\n", 1. / 6, false,
		},
	} {
		t.Run(name, func(t *testing.T) {
			h, calls := startForecast(t, c.old+"  - {name: unrelated, match: {service: Arith}, timeout: 1m}\n")
			calls()
			q := admin.ApplyRequest{Files: []admin.ApplyFile{{Path: "a.yaml", Text: "rules:\n" + c.next + "  - {name: unrelated, match: {service: Arith}, timeout: 1m}\n"}}}
			d, err := h.Admin.Plan(t.Context(), q)
			if err != nil {
				t.Fatal(err)
			}
			f := d.Forecast
			if f == nil || f.Calls != 300 || len(f.Findings) != 1 || math.Abs(f.Findings[0].Share-c.share) > 0.02 || (f.Exceeds != "") != c.exceeds {
				t.Fatalf("%+v", f)
			}
			q.Force = c.exceeds
			r := apply(t, h, q)
			if lines := r.Forecast.Lines(); len(lines) != 1 || lines[0] != f.Lines()[0] && !strings.Contains(lines[0], "calls/s") {
				t.Errorf("%q", lines)
			}
			if s := status(t, h).Policies.Running; s.Revision != 2 || s.Forecast == nil || len(s.Forecast.Findings) != 1 {
				t.Errorf("%+v", s)
			}
			if got := calls(); math.Abs(got-c.share) > 0.02 {
				t.Errorf("%.3f of the calls are refused, %.3f was forecast", got, c.share)
			}
		})
	}
}

// Apply needs force if the forecast exceeds the bound; a saved file does not.
func TestAForecastHoldsAnApplyUp(t *testing.T) {
	h, calls := startForecast(t, "  - {name: x, match: {service: Arith}, rateLimit: {rate: 10000}}\n")
	calls()
	const low = "rules:\n  - {name: x, match: {service: Arith}, rateLimit: {rate: 1, per: 1h}}\n"
	q := admin.ApplyRequest{Files: []admin.ApplyFile{{Path: "a.yaml", Text: low}}}
	_, err := h.Admin.Apply(t.Context(), q)
	e := answer(t, err)
	if e.Code != admin.CodeForecast || e.Status != http.StatusConflict || !strings.Contains(e.Help, "--force") || len(e.Problems) != 1 ||
		e.Problems[0].File != "a.yaml" || e.Problems[0].Line != 2 || !strings.Contains(e.Problems[0].Message, "would refuse 99.67 % of ") {
		t.Fatalf("%+v", e)
	}
	if s := status(t, h).Policies; s.Running.Revision != 1 || !s.InSync {
		t.Errorf("%+v", s)
	}
	if r := h.Revision(); r.Result != host.ResultRejected || !strings.Contains(r.Error, "maxNewRefusals is 40%") {
		t.Errorf("%+v", r)
	}
	h.Write("a.yaml", low)
	if r := h.Revision(); r.Result != host.ResultApplied || r.Forecast == nil || r.Forecast.Exceeds == "" {
		t.Errorf("%+v", r)
	}
}
