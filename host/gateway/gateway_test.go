package gateway

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

const (
	product = `{"c":109500}`
	line    = product + "\n" // as sent over HTTP
)

func TestPlainPostCallsTheMethodOfItsPath(t *testing.T) {
	url := "http://" + serve(t, &backend{}, Options{})
	for _, tc := range []struct{ path, contentType string }{
		{"/Arith/Mul", ""},
		{"/Arith/Mul", "Content-Type: application/json"},
		{"/Arith/Mul", "Content-Type: application/json; charset=UTF-8"},
		{"/Arith/Mul", "Content-Type: Application/JSON"},
		{"/Arith/Mul", "Content-Type: application/x-www-form-urlencoded"},
		{"/Arith/mul", ""},
		{"/arith/mul", ""},
		{"/Arith/Mul?cache=no", ""},
	} {
		r := do(t, "POST", url+tc.path, `{"a":73,"b":1500}`, tc.contentType)
		if r.StatusCode != 200 || r.body != line || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %d %s %s", tc.path, tc.contentType, r.StatusCode, r.Header, r.body)
		}
		for k := range r.Header {
			if strings.HasPrefix(k, "Easymicro-") || strings.HasPrefix(k, "X-Rpcx-") {
				t.Errorf("a plain answer has %s", k)
			}
		}
	}
}

func TestContentTypeNamesTheCodecOfRequestAndReply(t *testing.T) {
	url := "http://" + serve(t, &backend{}, Options{}) + "/Arith/Mul"
	body, err := wire.Append(wire.Msgpack, nil, &args{73, 1500})
	if err != nil {
		t.Fatal(err)
	}
	for _, ct := range []string{"application/msgpack", "application/x-msgpack"} {
		r := do(t, "POST", url, string(body), "Content-Type: "+ct)
		var c reply
		if err := wire.Decode(wire.Msgpack, []byte(r.body), &c); err != nil || c.C != 109500 || r.Header.Get("Content-Type") != ct {
			t.Errorf("%s: %d %q %v", ct, r.StatusCode, r.body, err)
		}
	}
	for _, ct := range []string{"text/plain", "multipart/form-data; boundary=x", "application/xml", "application/json; charset=latin1", "json", ";"} {
		r := do(t, "POST", url, "{}", "Content-Type: "+ct)
		if r.StatusCode != 415 || r.problem.Reason != "unknown_codec" || !strings.Contains(r.problem.Detail, "application/json") {
			t.Errorf("%s: %d %s", ct, r.StatusCode, r.body)
		}
	}
}

func TestCodecsReachTheHandlerUnderTheirNames(t *testing.T) {
	b := &backend{hook: func(_ context.Context, req, res *wire.Frame) error {
		res.Payload = append(res.Payload, req.Codec.String()...)
		return nil
	}}
	url := "http://" + serve(t, b, Options{}) + "/Arith/Hook"
	for ct, want := range map[string]string{
		"application/octet-stream": "raw", "application/protobuf": "protobuf", "application/x-protobuf": "protobuf",
		"application/thrift": "thrift", "application/vnd.apache.thrift.binary": "thrift", "application/msgpack": "msgpack",
	} {
		if r := do(t, "POST", url, "", "Content-Type: "+ct); r.body != want {
			t.Errorf("%s: %d %s, want %s", ct, r.StatusCode, r.body, want)
		}
	}
}

func TestBadBodiesGetAClearAnswer(t *testing.T) {
	url := "http://" + serve(t, &backend{}, Options{Limits: wire.Limits{MaxMessageBytes: 1000, MaxDecompressedBytes: 2000}}) + "/Arith/Mul"
	long := `{"a":1,"b":2` + strings.Repeat(" ", 1000) + `}`
	for _, tc := range []struct {
		name, body string
		header     string
		status     int
		reason     string
	}{
		{"empty", "", "", 400, "bad_payload"},
		{"cut", `{"a":`, "", 400, "bad_payload"},
		{"wrong type", `{"a":"x"}`, "", 400, "bad_payload"},
		{"too long", long, "", 413, "too_large"},
		{"gzip", gzipped(`{"a":73,"b":1500}`), "Content-Encoding: gzip", 200, ""},
		{"gzip bomb", gzipped(strings.Repeat(" ", 100_000)), "Content-Encoding: gzip", 413, "too_large"},
		{"no gzip", `{"a":73,"b":1500}`, "Content-Encoding: gzip", 400, "bad_payload"},
		{"br", `{"a":73,"b":1500}`, "Content-Encoding: br", 415, "unknown_codec"},
		{"gzip twice", gzipped(gzipped(`{}`)), "Content-Encoding: gzip, gzip", 415, "unknown_codec"},
		{"identity", `{"a":73,"b":1500}`, "Content-Encoding: identity", 200, ""},
	} {
		r := do(t, "POST", url, tc.body, tc.header)
		if r.StatusCode != tc.status || r.problem.Reason != tc.reason {
			t.Errorf("%s: %d %s", tc.name, r.StatusCode, r.body)
		}
		if tc.status == 200 && r.body != line {
			t.Errorf("%s: %s", tc.name, r.body)
		}
	}
}

func TestATooLongBodyGetsTheLimit(t *testing.T) {
	unlimited := "http://" + serve(t, &backend{}, Options{}) + "/Arith/Mul"
	if r := do(t, "POST", unlimited, strings.Repeat(" ", 4<<20+1)); r.StatusCode != 413 || !strings.Contains(r.body, "the body is longer than 4 MiB\"") {
		t.Errorf("the default: %d %s", r.StatusCode, r.body)
	}
	url := "http://" + serve(t, &backend{}, Options{Limits: wire.Limits{MaxMessageBytes: 1000, MaxDecompressedBytes: 2 << 10}}) + "/Arith/Mul"
	if r := do(t, "POST", url, strings.Repeat(" ", 1001)); !strings.Contains(r.body, "the body is longer than 1000 bytes\"") {
		t.Errorf("a length in the header: %d %s", r.StatusCode, r.body)
	}
	bomb := gzipped(strings.Repeat(" ", 100_000))
	if r := do(t, "POST", url, bomb, "Content-Encoding: gzip"); !strings.Contains(r.body, "the decompressed body is longer than 2 KiB\"") {
		t.Errorf("a gzip bomb: %d %s", r.StatusCode, r.body)
	}
}

func gzipped(s string) string {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write([]byte(s))
	_ = z.Close()
	return b.String()
}

func TestErrorsAreProblemsWithTheStatusOfTheTable(t *testing.T) {
	var give error
	b := &backend{hook: func(context.Context, *wire.Frame, *wire.Frame) error { return give }}
	url := "http://" + serve(t, b, Options{}) + "/arith/hook"
	refuse := func(c code.Code, reason string, after time.Duration) error {
		return code.Refuse(c, reason, "no", "r@r7", host, after)
	}
	for _, tc := range []struct {
		err    error
		status int
		header string
		want   problemDetails
	}{
		{
			refuse(code.ResourceExhausted, "rate_limited", 1200*time.Millisecond), 429, "Retry-After: 2",
			problemDetails{Code: "RESOURCE_EXHAUSTED", Reason: "rate_limited", Rule: "r@r7", Host: host, RetryAfterMS: 1200},
		},
		{refuse(code.Unavailable, "overloaded", 0), 503, "Retry-After: 1", problemDetails{Code: "UNAVAILABLE", Reason: "overloaded", Rule: "r@r7", Host: host}},
		{
			refuse(code.Unavailable, "breaker_open", time.Nanosecond), 503, "Retry-After: 1",
			problemDetails{Code: "UNAVAILABLE", Reason: "breaker_open", Rule: "r@r7", Host: host, RetryAfterMS: 1},
		},
		{refuse(code.Unavailable, "no_endpoint", 0), 502, "", problemDetails{Code: "UNAVAILABLE", Reason: "no_endpoint", Rule: "r@r7", Host: host}},
		{refuse(code.PermissionDenied, "denied", 0), 403, "", problemDetails{Code: "PERMISSION_DENIED", Reason: "denied", Rule: "r@r7", Host: host}},
		{
			refuse(code.Unauthenticated, "unauthenticated", 0), 401, "Www-Authenticate: Bearer",
			problemDetails{Code: "UNAUTHENTICATED", Reason: "unauthenticated", Rule: "r@r7", Host: host},
		},
		{refuse(code.DeadlineExceeded, "timeout", 0), 504, "", problemDetails{Code: "DEADLINE_EXCEEDED", Reason: "timeout", Rule: "r@r7", Host: host}},
		{code.Errorf(code.NotFound, "order 7").WithReason("no_such_order"), 404, "", problemDetails{Code: "NOT_FOUND", Reason: "no_such_order"}},
		{code.Errorf(code.FailedPrecondition, "x").WithReason("too_large"), 400, "", problemDetails{Code: "FAILED_PRECONDITION", Reason: "too_large"}},
		{code.Errorf(code.Unavailable, "x").WithReason("draining"), 503, "", problemDetails{Code: "UNAVAILABLE", Reason: "draining"}},
		{errors.New("plain"), 500, "", problemDetails{Code: "UNKNOWN"}},
	} {
		give = tc.err
		r := do(t, "POST", url, "{}", "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
		tc.want.Type, tc.want.Title, tc.want.Status, tc.want.Detail = "about:blank", http.StatusText(tc.status), tc.status, code.From(tc.err).Detail()
		tc.want.Service, tc.want.Method, tc.want.TraceID = "Arith", "Hook", "0af7651916cd43dd8448eb211c80319c"
		if r.StatusCode != tc.status || r.problem != tc.want {
			t.Errorf("%v:\n got %d %+v\nwant %d %+v", tc.err, r.StatusCode, r.problem, tc.status, tc.want)
		}
		if k, v, _ := strings.Cut(tc.header, ": "); k != "" && r.Header.Get(k) != v {
			t.Errorf("%v: %s is %q, want %q", tc.err, k, r.Header.Get(k), v)
		}
		if tc.header == "" && r.Header.Get("Retry-After") != "" {
			t.Errorf("%v: Retry-After %s", tc.err, r.Header.Get("Retry-After"))
		}
		if r.Close {
			t.Errorf("%v: connection closed", tc.err)
		}
	}
}

func TestDrainingClosesTheConnection(t *testing.T) {
	b := &backend{hook: func(context.Context, *wire.Frame, *wire.Frame) error {
		return code.Refuse(code.Unavailable, code.ReasonDraining, "draining", "", host, 0)
	}}
	r := do(t, "POST", "http://"+serve(t, b, Options{})+"/Arith/Hook", "{}")
	if r.StatusCode != 503 || !r.Close {
		t.Errorf("%d, close %v: %s", r.StatusCode, r.Close, r.body)
	}
}

func TestPanicsAreHiddenUnlessTheyAreExposed(t *testing.T) {
	for name, fail := range map[string]func(context.Context, *wire.Frame, *wire.Frame) error{
		"returned": func(context.Context, *wire.Frame, *wire.Frame) error {
			return code.Errorf(code.Internal, "secret").WithReason(code.ReasonPanic)
		},
		"panic":  func(context.Context, *wire.Frame, *wire.Frame) error { panic("secret") },
		"goexit": func(context.Context, *wire.Frame, *wire.Frame) error { runtime.Goexit(); return nil },
	} {
		for _, expose := range []bool{false, true} {
			r := do(t, "POST", "http://"+serve(t, &backend{hook: fail}, Options{ExposeInternal: expose})+"/Arith/Hook", "{}")
			if r.StatusCode != 500 || r.problem.Code != "INTERNAL" || r.problem.Reason != "panic" {
				t.Errorf("%s: %d %s", name, r.StatusCode, r.body)
			}
			if name != "goexit" && !expose && r.problem.Detail != "the handler panicked" {
				t.Errorf("%s: %s", name, r.body)
			}
			if shown := strings.Contains(r.body, "secret"); shown != (expose && name != "goexit") {
				t.Errorf("%s, exposed %v: %s", name, expose, r.body)
			}
		}
	}
}

func TestTheHostsTextForAPanicIsKept(t *testing.T) {
	b := &backend{hook: func(context.Context, *wire.Frame, *wire.Frame) error {
		return code.Refuse(code.Internal, code.ReasonPanic, "the host's words", "", host, 0)
	}}
	if r := do(t, "POST", "http://"+serve(t, b, Options{})+"/Arith/Hook", "{}"); r.StatusCode != 500 || r.problem.Detail != "the host's words" {
		t.Errorf("%d %s", r.StatusCode, r.body)
	}
}

func TestUnknownPathsAndNamesAre404(t *testing.T) {
	url := "http://" + serve(t, &backend{}, Options{})
	for _, path := range []string{
		"/", "/Arith", "/Arith/", "/Arith/Nope", "/Nope/Mul", "/Arith/Mul/", "/Arith//Mul", "//Arith/Mul", "/a/b/c",
		"/Arith/../Arith/Mul", "/Arith%2FMul", "/Arith/" + strings.Repeat("x", 1000), "/Arith/%00", "/Arith/Mul%0d%0aX:1",
	} {
		r := do(t, "POST", url+path, "{}")
		if r.StatusCode != 404 || r.problem.Code != "UNIMPLEMENTED" || r.problem.Reason != "unknown_method" {
			t.Errorf("POST %s: %d %s", path, r.StatusCode, r.body)
		}
	}
	if r := do(t, "GET", url+"/Nope/Mul", ""); r.StatusCode != 404 {
		t.Errorf("GET of an unknown service: %d", r.StatusCode)
	}
}

func TestRequestsThatNeverBecomeCallsAreCounted(t *testing.T) {
	var reasons []string
	url := "http://" + serve(t, &backend{}, Options{Refused: func(_, _ string, e *code.Error) { reasons = append(reasons, e.Reason) }})
	do(t, "POST", url+"/Arith/Mul", "{}", "Content-Type: text/html")
	do(t, "POST", url+"/Arith/Div", `{"a":1}`)
	do(t, "POST", url+"/Arith/Mul", "")
	if got := strings.Join(reasons, " "); got != "unknown_codec bad_payload" {
		t.Errorf("counted %q", got)
	}
}

func TestAProblemNamesTheTraceThatTheHandlerStarted(t *testing.T) {
	const id = "4bf92f3577b34da6a3ce929d0e0e4736"
	b := &backend{hook: func(_ context.Context, req, _ *wire.Frame) error {
		req.Metadata.Set("traceparent", "00-"+id+"-00f067aa0ba902b7-01")
		return errors.New("no")
	}}
	url := "http://" + serve(t, b, Options{}) + "/Arith/Hook"
	if r := do(t, "POST", url, "{}"); r.problem.TraceID != id {
		t.Errorf("%+v", r.problem)
	}
}
