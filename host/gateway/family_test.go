package gateway

import (
	"context"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// The gateway of rpcx accepts POST, PUT and GET alike.
func TestFamilyHeadersAllowPUTAndGET(t *testing.T) {
	b := &backend{}
	url := "http://" + serve(t, b, Options{Get: []string{"Arith.Mul"}})
	const body = `{"a":73,"b":1500}`
	for _, family := range []string{"X-RPCX-", "Easymicro-"} {
		for _, method := range []string{"POST", "PUT", "GET"} {
			for _, path := range []string{"/Arith/Meta", "/Arith", "/", "/arith/meta", "/Arith/Mul"} {
				name := "Meta"
				if path == "/Arith/Mul" {
					name = "Mul"
				}
				r := do(t, method, url+path, body, family+"ServicePath: Arith", family+"ServiceMethod: "+name, family+"SerializeType: 1", family+"MessageID: 7")
				if r.StatusCode != 200 || r.Header.Get(family+"Messageid") != "7" || r.body == "" {
					t.Errorf("%s %s %s: %d %v %s", family, method, path, r.StatusCode, r.Header, r.body)
				}
				if f, _ := b.lastCall(); f.Method != name && !strings.EqualFold(f.Method, name) || string(f.Payload) != body {
					t.Errorf("%s %s %s: called %s with %s", family, method, path, f.Method, f.Payload)
				}
			}
		}
		if r := do(t, "GET", url+"/Arith/Mul?a=73&b=1500", "", family+"Version: 1"); r.StatusCode != 200 || r.body != product {
			t.Errorf("%s GET by query: %d %s", family, r.StatusCode, r.body)
		}
		for _, path := range []string{"/Arith/Mul", "/Arith", "/"} {
			r := do(t, "DELETE", url+path, body, family+"ServicePath: Arith", family+"ServiceMethod: Mul")
			if r.StatusCode != 405 || r.Header.Get("Allow") != "GET, HEAD, POST, PUT" || r.problem.Method != "Mul" || strings.Contains(r.body, "did you mean") {
				t.Errorf("%s DELETE %s: %d Allow %q %s", family, path, r.StatusCode, r.Header.Get("Allow"), r.body)
			}
		}
	}
	if r := do(t, "PUT", url+"/Arith/Meta", body); r.StatusCode != 405 || r.Header.Get("Allow") != "POST" {
		t.Errorf("a plain PUT: %d Allow %q", r.StatusCode, r.Header.Get("Allow"))
	}
	if r := do(t, "OPTIONS", url+"/Arith", "", "Origin: https://app.example", "Access-Control-Request-Method: GET", "Access-Control-Request-Headers: x-rpcx-version"); r.StatusCode != 403 {
		t.Errorf("a page of another site may ask with such headers: %d", r.StatusCode)
	}
}

func TestReplyMetadataIsBounded(t *testing.T) {
	size := 0
	b := &backend{hook: func(_ context.Context, _, res *wire.Frame) error {
		res.Metadata.Set("big", strings.Repeat("x", size))
		res.Payload = append(res.Payload, "1"...)
		return nil
	}}
	url := "http://" + serve(t, b, Options{}) + "/Arith/Hook"
	for want, n := range map[int]int{200: 8000, 502: 300 << 10} {
		size = n
		for _, family := range []string{"", "X-RPCX-Version: 1", "Easymicro-Version: 1"} {
			r := do(t, "POST", url, "{}", family)
			if r.StatusCode != want || want == 502 && (r.problem.Reason != "bad_reply" || r.Header.Get("Retry-After") != "" || r.Header.Get("Easymicro-Meta")+r.Header.Get("X-Rpcx-Meta") != "") {
				t.Errorf("%d bytes, %q: %d %s", n, family, r.StatusCode, r.body)
			}
		}
	}
}

// Each pair of code and reason has a status, and Retry-After if a retry may help.
func TestEveryRefusalHasItsStatusAndRetryAfter(t *testing.T) {
	var refused *code.Error
	b := &backend{hook: func(context.Context, *wire.Frame, *wire.Frame) error { return refused }}
	url := "http://" + serve(t, b, Options{}) + "/Arith/Hook"
	for _, tc := range []struct {
		code   code.Code
		reason string
		status int
		again  string
	}{
		{code.Unimplemented, "unknown_method", 404, ""},
		{code.InvalidArgument, "bad_payload", 400, ""},
		{code.InvalidArgument, "unknown_codec", 415, ""},
		{code.ResourceExhausted, "too_large", 413, ""},
		{code.Unauthenticated, "unauthenticated", 401, ""},
		{code.PermissionDenied, "denied", 403, ""},
		{code.Internal, "bad_reply", 502, ""},
		{code.ResourceExhausted, "bad_reply", 502, ""},
		{code.Unavailable, "overloaded", 503, "1"},
		{code.InvalidArgument, "missing_key", 400, ""},
		{code.InvalidArgument, "invalid_argument", 400, ""},
		{code.Unavailable, "rule_broken", 503, ""},
		{code.DeadlineExceeded, "expired", 504, ""},
		{code.ResourceExhausted, "rate_limited", 429, "1"},
		{code.Unavailable, "breaker_open", 503, "1"},
		{code.Unavailable, "draining", 503, ""},
		{code.Unavailable, "no_endpoint", 502, ""},
		{code.Unavailable, "connection_lost", 502, ""},
		{code.DeadlineExceeded, "timeout", 504, ""},
		{code.Cancelled, "cancelled", 499, ""},
		{code.Internal, "panic", 500, ""},
	} {
		for name, e := range map[string]*code.Error{
			"of this host": code.Refuse(tc.code, tc.reason, "no", "", host, 0),
			"of another":   {Code: tc.code, Reason: tc.reason, Message: "no", Host: "far"},
		} {
			refused = e
			r := do(t, "POST", url, "{}")
			if r.StatusCode != tc.status || r.Header.Get("Retry-After") != tc.again || r.problem.Code != tc.code.String() || r.Close != (tc.reason == "draining") {
				t.Errorf("%s %s %s: %d, Retry-After %q, close %v, want %d and %q", tc.code, tc.reason, name, r.StatusCode, r.Header.Get("Retry-After"), r.Close, tc.status, tc.again)
			}
		}
		refused = code.Errorf(tc.code, "business").WithReason(tc.reason)
		if r := do(t, "POST", url, "{}"); r.StatusCode != code.Errorf(tc.code, "x").HTTPStatus() || r.Header.Get("Retry-After") != "" {
			t.Errorf("a handler's own %s %s: %d, Retry-After %q", tc.code, tc.reason, r.StatusCode, r.Header.Get("Retry-After"))
		}
	}
}

func TestLoopbackListenersCheckTheHostHeader(t *testing.T) {
	names := func(host string) bool { return host == "mine" }
	request := func(host string, header string) string {
		return "POST /Arith/Mul HTTP/1.1\r\nHost: " + host + "\r\nConnection: close\r\nContent-Length: 7\r\n" + header + "\r\n{\"a\":1}"
	}
	b := &backend{}
	addr := serve(t, b, Options{AnswersTo: names})
	if got := sendRaw(t, addr, request("mine", "")); len(got) != 1 || got[0] != http.StatusOK {
		t.Errorf("its own name: %v", got)
	}
	b.last = wire.Frame{}
	for _, header := range []string{"", "X-Forwarded-For: 203.0.113.9\r\n", "Origin: http://evil.example\r\n", "X-RPCX-Version: 1\r\n"} {
		if got := sendRaw(t, addr, request("evil.example", header)); len(got) != 1 || got[0] != http.StatusForbidden {
			t.Errorf("another: %v", got)
		}
	}
	if f, _ := b.lastCall(); f.Service != "" {
		t.Error("it was run")
	}
	if got := sendRaw(t, serve(t, b, Options{AnswersTo: names, TrustedProxies: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}}), request("shop.example", "")); len(got) != 1 || got[0] != http.StatusOK {
		t.Errorf("a trusted proxy: %v", got)
	}
}
