package host_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
)

// A typo is reported or ignored wherever it is; which of the two can be changed while the host runs.
func TestUnknownFieldsAreOneSettingForBodiesAndQueries(t *testing.T) {
	h := hosttest.Start(t, `
services: [{name: Arith, handler: test.arith}]
gateway:
  get: [Arith.Mul]
  unknownFields: ignore
  routes: [{path: "/v1/mul/{A}", methods: [POST], service: Arith, method: Mul}]
`, hosttest.Options{Registry: newPlant(t).reg})
	get := func(query string) (*http.Response, string) {
		t.Helper()
		res, err := http.Get(h.URL + "/Arith/Mul?" + query)
		must(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		must(t, err)
		return res, string(body)
	}
	post := func(path, body string) func() (*http.Response, string) {
		return func() (*http.Response, string) { return h.Post(path, body) }
	}
	for _, setting := range []string{"ignore", "reject"} {
		if setting == "reject" {
			h.Edit("easymicro.yaml", "unknownFields: ignore", "unknownFields: reject")
			h.Revision()
		}
		for _, tc := range []struct {
			name, rejected string
			call           func() (*http.Response, string)
		}{
			{"query", `unknown parameter "AA" (did you mean A?)`, func() (*http.Response, string) { return get("A=6&B=7&AA=1") }},
			{"body", `unknown member "/AA" (did you mean A?)`, post("/Arith/Mul", `{"A":6,"B":7,"AA":1}`)},
			{"nothing alike", `unknown member "/nothing", known are A, B`, post("/Arith/Mul", `{"A":6,"B":7,"nothing":{}}`)},
			{"route", `unknown member "/BB" (did you mean B?)`, post("/v1/mul/6", `{"B":7,"BB":8}`)},
			{"all known", "", post("/Arith/Mul", `{"a":6,"b":7}`)},
		} {
			r, body := tc.call()
			if setting == "ignore" || tc.rejected == "" {
				if r.StatusCode != 200 || strings.TrimSpace(body) != `{"C":42}` {
					t.Errorf("%s, %s: %d %s", setting, tc.name, r.StatusCode, body)
				}
				continue
			}
			if p := problemOf(t, r, body); p.Status != 400 || p.Reason != "bad_payload" || p.Detail != tc.rejected {
				t.Errorf("%s, %s: %s", setting, tc.name, body)
			}
		}
	}
	var got reply
	if err := hosttest.CallJSON(t.Context(), h.Dial(), "Arith", "Mul", map[string]int{"A": 6, "B": 7, "AA": 1}, &got); err != nil || got.C != 42 {
		t.Errorf("rpcx callers are not asked: %v", err)
	}
}
