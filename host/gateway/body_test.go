package gateway

import (
	"context"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/wire"
)

func TestJSONRepliesEndWithOneNewline(t *testing.T) {
	b := &backend{hook: func(_ context.Context, req, res *wire.Frame) error {
		res.Payload = append(res.Payload, req.Payload...)
		return nil
	}}
	url := "http://" + serve(t, b, Options{}) + "/Arith/"
	long := `"` + strings.Repeat("x", maxUnsized) + `"`
	for _, tc := range []struct{ name, method, body, header, want string }{
		{"a reply", "Hook", "{}", "", "{}\n"},
		{"one with a line end of its own", "Hook", "{}\n", "", "{}\n"},
		{"one with its length", "Hook", long, "", long + "\n"},
		{"another codec", "Hook", "\x80", "Content-Type: application/msgpack", "\x80"},
		{"raw bytes", "Hook", "{}", "Content-Type: application/octet-stream", "{}"},
		{"clients of other gateways", "Hook", "{}", "Easymicro-SerializeType: 1", "{}"},
		{"clients of other gateways", "Hook", "{}", "X-RPCX-SerializeType: 1", "{}"},
	} {
		r := do(t, "POST", url+tc.method, tc.body, tc.header, "Accept-Encoding: identity")
		if r.StatusCode != 200 || r.body != tc.want || r.ContentLength != int64(len(tc.want)) {
			t.Errorf("%s: %d %q of %d bytes", tc.name, r.StatusCode, r.body, r.ContentLength)
		}
	}
	for _, path := range []string{"Nope", "Div"} {
		r := do(t, "POST", url+path, "{}")
		if r.problem.Code == "" || !strings.HasSuffix(r.body, "}\n") || strings.Count(r.body, "\n") != 1 || r.ContentLength != int64(len(r.body)) {
			t.Errorf("%s: %q of %d bytes", path, r.body, r.ContentLength)
		}
	}
}

func TestFormFieldsAreRejectedAsSuch(t *testing.T) {
	url := "http://" + serve(t, &backend{}, Options{}) + "/Arith/Mul"
	const form = "Content-Type: application/x-www-form-urlencoded"
	for _, body := range []string{"a=6&b=7", "a=%7B"} {
		if r := do(t, "POST", url, body, form); r.StatusCode != 400 || r.problem.Detail != "the body is not JSON: form fields are not supported" {
			t.Errorf("%s: %d %s", body, r.StatusCode, r.body)
		}
	}
	for _, body := range []string{`{"a":6,"b":7}`, ` {"a":6,"b":7}`, `{"a":6,"b":7,"c":"x=y"}`} {
		if r := do(t, "POST", url, body, form); r.StatusCode != 200 || r.body != "{\"c\":42}\n" {
			t.Errorf("%s: %d %s", body, r.StatusCode, r.body)
		}
	}
}
