package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// rpc posts a body to JSON-RPC, and returns the status and the response.
func rpc(t *testing.T, addr, body string, headers ...string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+addr+"/rpc", strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
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
	return res.StatusCode, strings.TrimSpace(string(text))
}

// The cases include the examples of the JSON-RPC 2.0 specification.
func TestJSONRPCAnswersAsItsSpecificationSays(t *testing.T) {
	b := &backend{hook: func(context.Context, *wire.Frame, *wire.Frame) error {
		return code.Refuse(code.ResourceExhausted, code.ReasonRateLimited, "rate limit", "calm@r7", host, 2*time.Second)
	}}
	addr := serve(t, b, Options{JSONRPC: "/rpc"})
	const invalid = `{"jsonrpc":"2.0","error":{"code":-32600,"message":%q},"id":%s}`
	tooMany := `[` + strings.TrimSuffix(strings.Repeat(`{"jsonrpc":"2.0","method":"Arith.Mul"},`, 101), ",") + `]`
	for _, tc := range []struct{ name, body, want string }{
		{"named parameters", `{"jsonrpc": "2.0", "method": "Arith.Mul", "params": {"a": 42, "b": 23}, "id": 3}`, `{"jsonrpc":"2.0","result":{"c":966},"id":3}`},
		{"a list with the argument", `{"jsonrpc": "2.0", "method": "Arith.Mul", "params": [{"a": 2, "b": 3}], "id": "x"}`, `{"jsonrpc":"2.0","result":{"c":6},"id":"x"}`},
		{"without parameters", `{"jsonrpc": "2.0", "method": "Arith.Mul", "id": 1}`, `{"jsonrpc":"2.0","result":{"c":0},"id":1}`},
		{"id null", `{"jsonrpc": "2.0", "method": "Arith.Mul", "id": null}`, `{"jsonrpc":"2.0","result":{"c":0},"id":null}`},
		{"a large id", `{"jsonrpc": "2.0", "method": "Arith.Mul", "id": 12345678901234567890.5}`, `{"jsonrpc":"2.0","result":{"c":0},"id":12345678901234567890.5}`},
		{
			"positions", `{"jsonrpc": "2.0", "method": "Arith.Mul", "params": [42, 23], "id": 1}`,
			`{"jsonrpc":"2.0","error":{"code":-32602,"message":"params must be an object, or a list with the argument alone"},"id":1}`,
		},
		{"a notification", `{"jsonrpc": "2.0", "method": "Arith.Mul", "params": {"a": 1}}`, ``},
		{"a notification of no method", `{"jsonrpc": "2.0", "method": "foobar"}`, ``},
		{
			"no such method", `{"jsonrpc": "2.0", "method": "Arith.Foo", "id": "1"}`,
			`{"jsonrpc":"2.0","error":{"code":-32601,"message":"no method Arith.Foo","data":{"code":"UNIMPLEMENTED","reason":"unknown_method","service":"Arith","method":"Foo","host":"h1"}},"id":"1"}`,
		},
		{"no service", `{"jsonrpc": "2.0", "method": "foobar", "id": "1"}`, `{"jsonrpc":"2.0","error":{"code":-32601,"message":"method must be Service.Method"},"id":"1"}`},
		{"a path", `{"jsonrpc": "2.0", "method": "../v1/x.Mul", "id": "1"}`, `{"jsonrpc":"2.0","error":{"code":-32601,"message":"method must be Service.Method"},"id":"1"}`},
		{"not JSON", `{"jsonrpc": "2.0", "method": "foobar, "params": "bar", "baz]`, `{"jsonrpc":"2.0","error":{"code":-32700,"message":"the body is not valid JSON"},"id":null}`},
		{
			"a batch that is not JSON", `[{"jsonrpc": "2.0", "method": "sum", "id": "1"}, {"jsonrpc": "2.0", "method"]`,
			`{"jsonrpc":"2.0","error":{"code":-32700,"message":"the body is not valid JSON"},"id":null}`,
		},
		{"no request", `{"jsonrpc": "2.0", "method": 1, "params": "bar"}`, fmt.Sprintf(invalid, "method must be a string: Service.Method", "null")},
		{"version 1", `{"method": "Arith.Mul", "params": [], "id": 1}`, fmt.Sprintf(invalid, `jsonrpc must be "2.0"`, "1")},
		{"duplicate members", `{"jsonrpc": "2.0", "method": "Arith.Mul", "method": "Arith.Div", "id": 1}`, `{"jsonrpc":"2.0","error":{"code":-32700,"message":"the body is not valid JSON"},"id":null}`},
		{"an id that is a list", `{"jsonrpc": "2.0", "method": "Arith.Mul", "id": [1]}`, fmt.Sprintf(invalid, "id must be a string, a number or null", "null")},
		{"an empty batch", `[]`, fmt.Sprintf(invalid, "the batch is empty", "null")},
		{"a batch of no request", `[1]`, `[` + fmt.Sprintf(invalid, "a request is an object, without duplicate members", "null") + `]`},
		{"notifications", `[{"jsonrpc": "2.0", "method": "Arith.Mul"}, {"jsonrpc": "2.0", "method": "Arith.Div"}]`, ``},
		{"a long batch", tooMany, fmt.Sprintf(invalid, "the batch has more than 100 requests", "null")},
		{
			"a batch", `[{"jsonrpc": "2.0", "method": "Arith.Mul", "params": {"a": 2, "b": 2}, "id": "1"}, {"jsonrpc": "2.0", "method": "Arith.Mul"},
			{"foo": "boo"}, {"jsonrpc": "2.0", "method": "Arith.Mul", "params": {"a": 2, "b": 3}, "id": 9}]`,
			`[{"jsonrpc":"2.0","result":{"c":4},"id":"1"},` + fmt.Sprintf(invalid, `jsonrpc must be "2.0"`, "null") + `,{"jsonrpc":"2.0","result":{"c":6},"id":9}]`,
		},
		{"a bad argument", `{"jsonrpc": "2.0", "method": "Arith.Mul", "params": {"a": "x"}, "id": 1}`, `"code":-32602`},
		{
			"an error of the handler", `{"jsonrpc": "2.0", "method": "Arith.Div", "params": {"a": 1}, "id": 1}`,
			`{"jsonrpc":"2.0","error":{"code":-32002,"message":"divide by zero","data":{"code":"UNKNOWN","service":"Arith","method":"Div"}},"id":1}`,
		},
		{
			"a refusal", `{"jsonrpc": "2.0", "method": "Arith.Hook", "id": 1}`,
			`{"jsonrpc":"2.0","error":{"code":-32008,"message":"rate limit by calm@r7, retry in 2s","data":{"code":"RESOURCE_EXHAUSTED","reason":"rate_limited","rule":"calm@r7","service":"Arith","method":"Hook","host":"h1","retry_after_ms":2000}},"id":1}`,
		},
	} {
		status, got := rpc(t, addr, tc.body)
		if want := http.StatusOK; tc.want == "" && status != http.StatusNoContent || tc.want != "" && status != want {
			t.Errorf("%s: status %d", tc.name, status)
		}
		if got != tc.want && (tc.want == "" || strings.HasPrefix(tc.want, "{\"jsonrpc") || !strings.Contains(got, tc.want)) {
			t.Errorf("%s:\n%s, want\n%s", tc.name, got, tc.want)
		}
	}
}

func TestJSONRPCHasTheLimitsOfTheGateway(t *testing.T) {
	b := &backend{}
	addr := serve(t, b, Options{JSONRPC: "/rpc", Metadata: map[string]string{"x-tenant": "X-Tenant"}})
	const call = `{"jsonrpc": "2.0", "method": "Arith.Mul", "params": {"a": 2, "b": 3}, "id": 1}`
	for _, tc := range []struct {
		name    string
		headers []string
		status  int
		want    string
	}{
		{"metadata", []string{"X-Tenant", "acme", "Easymicro-Meta", "a=1"}, 200, `"result":{"c":6}`},
		{"a bad token", []string{"Authorization", "Bearer bad"}, 200, `"error":{"code":-32016,"message":"invalid token"`},
		{"another origin", []string{"Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site"}, 403, "cross-origin"},
		{"another codec", []string{"Content-Type", "application/msgpack"}, 415, "use application/json"},
		{"names in headers", []string{"X-Rpcx-Servicemethod", "Div"}, 400, "is not for JSON-RPC"},
		{"one-way by header", []string{"Easymicro-Oneway", "true"}, 400, "is not for JSON-RPC"},
		{"a deadline that has passed", []string{"X-Request-Timeout", "0s"}, 504, "deadline"},
	} {
		status, got := rpc(t, addr, call, tc.headers...)
		if status != tc.status || !strings.Contains(got, tc.want) {
			t.Errorf("%s: %d %s, want %d and %s", tc.name, status, got, tc.status, tc.want)
		}
		if tc.name == "metadata" {
			if last, _ := b.lastCall(); last.Metadata.Get("x-tenant") != "acme" || last.Metadata.Get("a") != "1" {
				t.Errorf("metadata: %v", last.Metadata)
			}
		}
	}
	if status, got := rpc(t, addr, `[`+call+`,`+strings.Repeat(" ", 5<<20)+call+`]`); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a long body: %d %s", status, got)
	}
	res, err := http.Get("http://" + addr + "/rpc")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed || res.Header.Get("Allow") != "OPTIONS, POST" {
		t.Errorf("GET: %s, Allow %s", res.Status, res.Header.Get("Allow"))
	}
}

func TestANotificationIsAOneWayCall(t *testing.T) {
	returned := make(chan struct{})
	b := &backend{hook: func(ctx context.Context, req, _ *wire.Frame) error {
		defer close(returned)
		if !req.OneWay {
			t.Error("the call is not one-way")
		}
		Admitted(ctx)
		return nil
	}}
	addr := serve(t, b, Options{JSONRPC: "/rpc"})
	if status, got := rpc(t, addr, `{"jsonrpc": "2.0", "method": "Arith.Hook"}`); status != http.StatusNoContent || got != "" {
		t.Errorf("%d %s", status, got)
	}
	<-returned
}

// FuzzJSONRPC checks that any body gets a response that is JSON, or none.
func FuzzJSONRPC(f *testing.F) {
	for _, s := range []string{
		`{"jsonrpc": "2.0", "method": "Arith.Mul", "params": {"a": 42, "b": 23}, "id": 3}`, `[1, [], {}]`, `[`, `{"jsonrpc":"2.0","method":"Arith.Mul","params":[[]],"id":"\ud800"}`,
	} {
		f.Add(s)
	}
	b := &backend{hook: func(context.Context, *wire.Frame, *wire.Frame) error { return nil }}
	g, err := New(Options{Handler: b, Resolve: b.resolve, JSONRPC: "/rpc"})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body string) {
		w := httptest.NewRecorder()
		g.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/rpc", strings.NewReader(body)))
		if w.Body.Len() > 0 && !json.Valid(w.Body.Bytes()) || w.Body.Len() == 0 && w.Code != http.StatusNoContent {
			t.Errorf("%q: %d %q", body, w.Code, w.Body)
		}
		g.Wait()
	})
}
