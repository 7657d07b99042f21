package gateway

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// remoteGateway returns a gateway to the service Away of another host, which is available while there is set. The handler
// returns its argument.
func remoteGateway(t *testing.T, there *atomic.Bool) *httptest.Server {
	t.Helper()
	g, err := New(Options{
		Handler: wire.HandlerFunc(func(_ context.Context, req, res *wire.Frame) error {
			if !there.Load() {
				return code.Refuse(code.Unimplemented, code.ReasonUnknownMethod, "unknown service "+req.Service, "", host, 0)
			}
			res.Metadata.Set("spelled", req.Service+"."+req.Method+" "+req.Codec.String())
			res.Payload = append(res.Payload, req.Payload...)
			return nil
		}),
		Resolve: func(service, method string) (Target, bool) {
			return Target{Service: "Away", Method: method}, there.Load() && strings.EqualFold(service, "Away")
		},
		Remote: func(service string) bool { return service == "Away" },
		Get:    []string{"Away.Find"},
		Routes: []Route{
			{Path: "/v1/things/{id}", Methods: []string{"GET", "PUT"}, Service: "Away", Method: "Find"},
			{Path: "/v1/make", Service: "Away", Method: "Make"},
		},
		Host: host,
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(nil)
	srv.Config = &http.Server{Handler: g}
	srv.Start()
	t.Cleanup(srv.Close)
	return srv
}

func TestArgumentsForOtherHostsPassUndecoded(t *testing.T) {
	var there atomic.Bool
	there.Store(true)
	url := remoteGateway(t, &there).URL
	for _, tc := range []struct{ method, path, contentType, body, want, spelled string }{
		{"POST", "/Away/find", "application/json", `{"a":1,"a":2} not JSON at all`, `{"a":1,"a":2} not JSON at all`, "Away.find json"},
		{"POST", "/away/Find", "application/msgpack", "\x81\xa1", "\x81\xa1", "away.Find msgpack"},
		{"POST", "/Away/Find", "application/protobuf", "", "", "Away.Find protobuf"},
		{"GET", "/Away/Find?n=73&ok=true&name=a%22b", "", "", `{"n":"73","name":"a\"b","ok":"true"}`, "Away.Find json"},
		{"GET", "/v1/things/7?n=1", "", "", `{"id":"7","n":"1"}`, "Away.Find json"},
		{"PUT", "/v1/things/7", "application/json", `{"x": 1}`, `{"x": 1,"id":"7"}`, "Away.Find json"},
		{"POST", "/v1/make", "application/json", `{}`, `{}`, "Away.Make json"},
	} {
		r := do(t, tc.method, url+tc.path, tc.body, "Content-Type: "+tc.contentType)
		meta := strings.NewReplacer("+", " ").Replace(r.Header.Get("Easymicro-Meta"))
		if strings.HasSuffix(tc.spelled, " json") {
			tc.want += "\n"
		}
		if r.StatusCode != 200 || r.body != tc.want || meta != "spelled="+tc.spelled {
			t.Errorf("%s %s: %d %q %q", tc.method, tc.path, r.StatusCode, r.body, meta)
		}
	}
	for _, tc := range []struct {
		method, path, body string
		status             int
		want               string
	}{
		{"GET", "/Away/Make", "", 405, "GET is not allowed here, use POST"},
		{"GET", "/Away/Find?n=1&n=2", "", 400, "more than once"},
		{"POST", "/Away/Find", "", 400, "the body is empty"},
		{"PUT", "/Away/Find", "{}", 405, "use GET or HEAD or POST"},
	} {
		if r := do(t, tc.method, url+tc.path, tc.body); r.StatusCode != tc.status || !strings.Contains(r.body, tc.want) {
			t.Errorf("%s %s: %d %s", tc.method, tc.path, r.StatusCode, r.body)
		}
	}
}

func TestRoutesToARemoteServiceWorkOnceItIsFound(t *testing.T) {
	var there atomic.Bool
	url := remoteGateway(t, &there).URL
	for range 2 {
		want := 404
		if there.Load() {
			want = 200
		}
		for _, call := range [][3]string{{"GET", "/Away/Find", ""}, {"GET", "/v1/things/7", ""}, {"POST", "/v1/make", "{}"}, {"POST", "/Away/Any", "{}"}} {
			if r := do(t, call[0], url+call[1], call[2]); r.StatusCode != want {
				t.Errorf("there %v: %s %s: %d %s", there.Load(), call[0], call[1], r.StatusCode, r.body)
			}
		}
		there.Store(true)
	}
}

func TestARouteMayNotTakeThePathOfARemoteMethod(t *testing.T) {
	_, err := New(Options{
		Remote: func(service string) bool { return service == "Away" },
		Routes: []Route{{Path: "/Away/Find", Service: "Away", Method: "Make"}},
	})
	if err == nil || !strings.Contains(err.Error(), "POST /Away/Find is the built-in path of Away.Find") {
		t.Errorf("%v", err)
	}
}
