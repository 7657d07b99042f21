package gateway

import (
	"net/http"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

func TestPagesOfOtherOriginsCannotCall(t *testing.T) {
	closed := "http://" + serve(t, &backend{}, Options{})
	open := "http://" + serve(t, &backend{}, Options{AllowOrigins: []string{"https://app.example"}})
	all := "http://" + serve(t, &backend{}, Options{AllowOrigins: []string{"*"}})
	for _, tc := range []struct {
		name, url, header string
		status            int
		allowed           string
	}{
		{"no browser", closed, "", 200, ""},
		{"same origin", closed, "Origin: " + closed, 200, ""},
		{"other origin", closed, "Origin: https://app.example", 403, ""},
		{"by fetch metadata", closed, "Sec-Fetch-Site: cross-site", 403, ""},
		{"null", closed, "Origin: null", 403, ""},
		{"listed", open, "Origin: https://app.example", 200, "https://app.example"},
		{"another than listed", open, "Origin: https://evil.example", 403, ""},
		{"a suffix of the listed", open, "Origin: https://app.example.evil.example", 403, ""},
		{"any", all, "Origin: https://evil.example", 200, "https://evil.example"},
	} {
		r := do(t, "POST", tc.url+"/Arith/Mul", `{"a":1}`, tc.header)
		if r.StatusCode != tc.status || r.Header.Get("Access-Control-Allow-Origin") != tc.allowed {
			t.Errorf("%s: %d %v %s", tc.name, r.StatusCode, r.Header, r.body)
		}
		if tc.status == 403 && (r.problem.Reason != "denied" || !strings.Contains(r.problem.Detail, "not allowed")) {
			t.Errorf("%s: %s", tc.name, r.body)
		}
	}
}

func TestPreflightsAreAllowedForListedOrigins(t *testing.T) {
	url := "http://" + serve(t, &backend{}, Options{AllowOrigins: []string{"https://app.example"}}) + "/Arith/Mul"
	ask := []string{"Access-Control-Request-Method: POST", "Access-Control-Request-Headers: content-type,easymicro-meta"}
	r := do(t, "OPTIONS", url, "", append(ask, "Origin: https://app.example")...)
	if r.StatusCode != http.StatusNoContent || !strings.Contains(r.Header.Get("Access-Control-Allow-Methods"), "POST") ||
		r.Header.Get("Access-Control-Allow-Headers") != "content-type,easymicro-meta" || r.Header.Get("Vary") != "Origin" ||
		r.Header.Get("Access-Control-Allow-Origin") != "https://app.example" {
		t.Errorf("listed: %d %v", r.StatusCode, r.Header)
	}
	if r := do(t, "OPTIONS", url, "", append(ask, "Origin: https://evil.example")...); r.StatusCode != 403 || r.Header.Get("Access-Control-Allow-Methods") != "" {
		t.Errorf("not listed: %d %v", r.StatusCode, r.Header)
	}
	if r := do(t, "OPTIONS", url, ""); r.StatusCode != http.StatusNoContent || !strings.Contains(r.Header.Get("Allow"), "POST") {
		t.Errorf("without origin: %d %v", r.StatusCode, r.Header)
	}
}

func TestOptionsListsTheMethodsOfThePath(t *testing.T) {
	url := "http://" + serve(t, &backend{}, Options{AllowOrigins: []string{"https://app.example"}, Get: []string{"Arith.Mul"}, Routes: []Route{
		{Path: "/v1/mul", Methods: []string{"PUT"}, Service: "Arith", Method: "Mul"},
	}})
	for path, want := range map[string]string{
		"/Arith/Mul": "GET, HEAD, POST", "/Arith/Div": "POST", "/v1/mul": "PUT", "/": "POST", "/Arith": "POST", "/v2/mul": "", "/a/b/c": "",
	} {
		r := do(t, "OPTIONS", url+path, "", "Origin: https://app.example", "Access-Control-Request-Method: POST")
		allow, status := "", 404
		if want != "" {
			allow, status = "OPTIONS, "+want, 204
		}
		if r.StatusCode != status || r.Header.Get("Access-Control-Allow-Methods") != want || r.Header.Get("Allow") != allow {
			t.Errorf("%s: %d %v, want %s", path, r.StatusCode, r.Header, want)
		}
	}
}

func TestARefusedPageGetsAdvice(t *testing.T) {
	url := "http://" + serve(t, &backend{}, Options{}) + "/Arith/Mul"
	for header, want := range map[string]string{
		"Origin: https://evil.example": "cross-origin requests of https://evil.example are not allowed",
		"Origin: null":                 "requests without an origin (of files, sandboxed frames) are not allowed",
		"Sec-Fetch-Site: cross-site":   "cross-origin requests are not allowed",
	} {
		if r := do(t, "POST", url, "{}", header); r.StatusCode != 403 || r.problem.Detail != want {
			t.Errorf("%s: %s", header, r.body)
		}
	}
}

// Advice for operators does not reach callers.
func TestAdviceIsForOperatorsOnly(t *testing.T) {
	var messages []string
	url := "http://" + serve(t, &backend{}, Options{
		Limits: wire.Limits{MaxMessageBytes: 1000},
		Refused: func(service, method string, e *code.Error) {
			messages = append(messages, service+"."+method+" "+e.Message)
		},
	}) + "/Arith/Mul"
	for _, tc := range []struct{ method, body, header, public, private string }{
		{"POST", "{}", "Origin: https://evil.example", "cross-origin requests of https://evil.example are not allowed", "gateway.cors.allowOrigins"},
		{"GET", "", "", "GET is not allowed here, use POST", `add "Arith.Mul" to gateway.get`},
		{"POST", strings.Repeat(" ", 1001), "", "the body is longer than 1000 bytes", "limits.maxMessageBytes"},
	} {
		messages = nil
		r := do(t, tc.method, url, tc.body, tc.header)
		if r.problem.Detail != tc.public {
			t.Errorf("the caller gets %q", r.problem.Detail)
		}
		if len(messages) != 1 || !strings.Contains(messages[0], tc.public) || !strings.Contains(messages[0], tc.private) {
			t.Errorf("operators get %q", messages)
		}
	}
}
