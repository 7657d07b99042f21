package gateway_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
	_ "github.com/easymicro/easymicro/samples"
)

// problem is what an error looks like over HTTP.
type problem struct {
	Title, Detail, Code, Reason, Rule, Service, Method, Host string
	Status                                                   int
}

func do(t *testing.T, h *hosttest.Host, method, path, body string, headers ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, h.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, strings.TrimSpace(string(text))
}

func TestEveryWayToAMethod(t *testing.T) {
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	for _, tt := range []struct{ name, method, path, body, want string }{
		{"the built-in path", "POST", "/Arith/Mul", `{"a":6,"b":7}`, `{"c":42}`},
		{"a route", "POST", "/v1/mul", `{"a":6,"b":7}`, `{"c":42}`},
		{"GET with a query", "GET", "/Arith/Mul?a=6&b=7", "", `{"c":42}`},
		{"JSON-RPC", "POST", "/rpc", `{"jsonrpc":"2.0","method":"Arith.Mul","params":{"a":6,"b":7},"id":1}`, `{"jsonrpc":"2.0","result":{"c":42},"id":1}`},
		{"GET with a path", "GET", "/v1/div/42/by/6", "", `{"c":7}`},
	} {
		if res, got := do(t, h, tt.method, tt.path, tt.body); res.StatusCode != http.StatusOK || got != tt.want {
			t.Errorf("%s: %s %s, want %s", tt.name, res.Status, got, tt.want)
		}
	}
}

func TestErrorsAreProblemsWithAdvice(t *testing.T) {
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	for _, tt := range []struct {
		name, method, path, body string
		status                   int
		code, reason, detail     string
	}{
		{"a parameter that is none", "GET", "/Arith/Mul?a=6&bb=7", "", 400, "INVALID_ARGUMENT", "bad_payload", "did you mean b?"},
		{"a member that is none", "POST", "/v1/mul", `{"a":6,"bb":7}`, 400, "INVALID_ARGUMENT", "bad_payload", "did you mean b?"},
		{"a parameter of another type", "GET", "/Arith/Mul?a=six&b=7", "", 400, "INVALID_ARGUMENT", "bad_payload", "a"},
		{"a body that is no JSON", "POST", "/v1/mul", `{"a":`, 400, "INVALID_ARGUMENT", "bad_payload", "json"},
		{"a method that is none", "POST", "/Arith/Mull", `{}`, 404, "UNIMPLEMENTED", "unknown_method", "did you mean Mul?"},
		{"a handler's error", "GET", "/v1/div/1/by/0", "", 500, "UNKNOWN", "", "divide by zero"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			res, text := do(t, h, tt.method, tt.path, tt.body)
			var p problem
			if err := json.Unmarshal([]byte(text), &p); err != nil {
				t.Fatalf("%v in %s", err, text)
			}
			if res.Header.Get("Content-Type") != "application/problem+json" || res.StatusCode != tt.status || p.Status != tt.status ||
				p.Code != tt.code || p.Reason != tt.reason || !strings.Contains(p.Detail, tt.detail) {
				t.Errorf("%s %s", res.Status, text)
			}
		})
	}
}

func TestTheMethodsOfARouteAreThoseThatItNames(t *testing.T) {
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	if res, text := do(t, h, "GET", "/v1/mul?a=1&b=2", ""); res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "POST" {
		t.Errorf("%s %v %s", res.Status, res.Header, text)
	}
}

func TestAOneWayCallIsAnsweredAfterTheRules(t *testing.T) {
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	for range 3 {
		if res, text := do(t, h, "POST", "/Arith/Div", `{"a":1,"b":0}`, "Easymicro-Oneway", "1"); res.StatusCode != http.StatusAccepted || text != "" {
			t.Fatalf("%s %q, want 202 and no body: the reply is not awaited", res.Status, text)
		}
	}
	if res, text := do(t, h, "POST", "/Arith/Div", `{"a":1,"b":1}`, "Easymicro-Oneway", "1"); res.StatusCode != http.StatusTooManyRequests {
		t.Errorf("%s %s, want the rule to refuse it", res.Status, text)
	}
}

func TestPagesOfOtherOriginsAreRefused(t *testing.T) {
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	for _, tt := range []struct {
		origin string
		status int
		allow  string
	}{
		{"https://evil.example", http.StatusForbidden, ""},
		{"null", http.StatusForbidden, ""},
		{"https://shop.example", http.StatusOK, "https://shop.example"}, // in allowOrigins
		{h.URL, http.StatusOK, ""},                                      // the host's own
	} {
		res, text := do(t, h, "POST", "/Arith/Mul", `{"a":6,"b":7}`, "Origin", tt.origin)
		if got := res.Header.Get("Access-Control-Allow-Origin"); res.StatusCode != tt.status || got != tt.allow {
			t.Errorf("%s: %s, allowed for %q: %s", tt.origin, res.Status, got, text)
		}
		if tt.status == http.StatusForbidden && !strings.Contains(text, "not allowed") {
			t.Errorf("%s: %s", tt.origin, text)
		}
	}
}

func TestPreflightsAreAnswered(t *testing.T) {
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	ask := []string{"Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", "content-type"}
	if res, _ := do(t, h, "OPTIONS", "/v1/mul", "", append(ask, "Origin", "https://shop.example")...); res.StatusCode != http.StatusNoContent ||
		res.Header.Get("Access-Control-Allow-Origin") != "https://shop.example" || res.Header.Get("Access-Control-Allow-Methods") != "POST" {
		t.Errorf("the shop: %s %v", res.Status, res.Header)
	}
	if res, _ := do(t, h, "OPTIONS", "/v1/mul", "", append(ask, "Origin", "https://evil.example")...); res.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("another: %s %v", res.Status, res.Header)
	}
}
