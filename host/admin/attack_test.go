package admin

import (
	"context"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/easymicro/easymicro/config"
)

// changed is a host that counts what would change it.
type changed struct {
	told
	n atomic.Int32
}

func (h *changed) Reload(context.Context, ReloadRequest) (*Attempt, error) {
	h.n.Add(1)
	return &Attempt{}, nil
}

func (h *changed) Drain(context.Context, string) (*DrainState, error) {
	h.n.Add(1)
	return &DrainState{}, nil
}

func (h *changed) Apply(_ context.Context, q ApplyRequest) (*Attempt, error) {
	if q.Unreadable == nil {
		h.n.Add(1)
	}
	return &Attempt{}, q.Unreadable
}

// raw is a request as it is sent, after which the connection ends.
func raw(line string, headers ...string) string {
	return line + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n" + strings.Join(append(headers, ""), "\r\n") + "\r\n"
}

func TestNoSpellingOfARequestReplacesTheToken(t *testing.T) {
	h := new(changed)
	addr := local(t, h, Options{Pprof: true, Tokens: []config.AdminToken{tokenOf("ann", config.RoleOperate, "ann-token")}})
	for _, request := range []string{
		raw("GET /api/v1/status?token=ann-token"), raw("GET /api/v1/status?access_token=ann-token"), raw("GET /metrics?authorization=Bearer%20ann-token"),
		raw("GET //api/v1/status"), raw("GET /./api/v1/status"), raw("GET /livez/../api/v1/status"), raw("GET /livez/%2e%2e/api/v1/status"),
		raw("GET /livez%2f..%2fapi/v1/status"), raw("GET /%61pi/v1/status"), raw("GET /api/v1/status/"), raw("GET /livez;/../api/v1/status"),
		raw("GET http://localhost/api/v1/status"), raw("GET http://localhost//api/v1/status"), raw("GET /debug//pprof/heap"), raw("GET /debug/pprof/heap"),
		raw("CONNECT /api/v1/status"), raw("CONNECT //debug/pprof/heap"), raw("CONNECT localhost:80"), raw("OPTIONS *"), raw("OPTIONS /api/v1/status"),
		raw("TRACE /api/v1/status"), raw("get /api/v1/status"), raw(`GET \api\v1\status`),
		raw("GET /api/v1/status", "X-Forwarded-For: 127.0.0.1", "X-Real-Ip: 127.0.0.1", "X-Forwarded-User: ann"),
		raw("GET /", "X-Original-Url: /livez", "X-Rewrite-Url: /livez"), raw("GET /api/v1/status", "X_Authorization: Bearer ann-token", "Proxy-Authorization: Bearer ann-token", "Cookie: token=ann-token"),
		raw("GET /api/v1/status", "Authorization: Bearer other", "Authorization: Bearer ann-token"),
		raw("GET /api/v1/status", "Authorization: Bearer other, Bearer ann-token"),
		raw("GET /api/v1/status", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA"),
		raw("POST /api/v1/reload", "Authorization: Bearer ann-token\x00", "Content-Length: 0"),
		"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
	} {
		if got := speak(t, addr, request); strings.Contains(got, "200 OK") || strings.Contains(got, "ann-token") {
			t.Errorf("%q got %s", request, got)
		}
	}
	if n := h.n.Load(); n != 0 {
		t.Errorf("%d changes without a token", n)
	}
	ask(t, "GET", "http://"+addr+"/api/v1/status", bearer("Bearer ann-token")).wants(t, 200)
}

func TestReadingChangesNothing(t *testing.T) {
	h := new(changed)
	addr := local(t, h, Options{Tokens: []config.AdminToken{tokenOf("grafana", config.RoleRead, "read-token")}})
	authorized := "Authorization: Bearer read-token"
	for _, request := range []string{
		raw("GET /api/v1/reload", authorized), raw("HEAD /api/v1/reload", authorized), raw("GET /api/v1/drain", authorized),
		raw("GET /api/v1/reload?_method=POST", authorized), raw("GET /api/v1/reload", authorized, "X-HTTP-Method-Override: POST"),
		raw("HEAD /api/v1/drain", authorized, "X-HTTP-Method: POST", "X-Method-Override: POST"),
		raw("POST /api/v1/reload", authorized, "X-HTTP-Method-Override: GET", "Content-Length: 0"),
		raw("GET //api/v1/reload", authorized), raw("post /api/v1/reload", authorized, "Content-Length: 0"),
		raw("CONNECT /api/v1/reload", authorized), raw("PUT /api/v1/reload", authorized, "Content-Length: 0"),
	} {
		if got := speak(t, addr, request); strings.Contains(got, "200 OK") {
			t.Errorf("%q got %s", request, got)
		}
	}
	if n := h.n.Load(); n != 0 {
		t.Errorf("%d changes by a reader", n)
	}
}

// A proxy may see a body where the host would see a request: the host must not answer it.
func TestNoAdminRequestHidesInAnother(t *testing.T) {
	h := new(changed)
	addr := local(t, h, Options{})
	hidden := raw("POST /api/v1/reload", "Content-Length: 0")
	for _, framing := range []string{
		"Content-Length: 91\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n7\r\n{\"A\":1}\r\n0\r\n\r\n",
		"Content-Length: 7\r\nContent-Length: 0\r\n\r\n{\"A\":1}",
		"Content-Length: +7\r\n\r\n{\"A\":1}",
		"Content-Length : 0\r\n\r\n",
		"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
		"Transfer-Encoding: chunked\r\n\r\n7;\n{\"A\":1}\r\n0\r\n\r\n",
		"Transfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\n",
		"X: \x00\r\nContent-Length: 0\r\n\r\n",
		"X: a\rContent-Length: 0\r\n\r\n",
	} {
		got := speak(t, addr, "GET /api/v1/status HTTP/1.1\r\nHost: localhost\r\n"+framing+hidden)
		if n := h.n.Swap(0); n != 0 {
			t.Errorf("%q hid a change: %s", framing, got)
		}
	}
	speak(t, addr, raw("GET /api/v1/status", "Content-Length: "+strconv.Itoa(len(hidden)))+hidden)
	if h.n.Load() != 0 {
		t.Error("a body was a request")
	}
}

func TestPagesOfOtherSitesLoadNothing(t *testing.T) {
	addr := local(t, &told{}, Options{Pprof: true})
	fetch := func(path, site, mode string) int {
		return ask(t, "GET", "http://"+addr+path, func(r *http.Request) {
			r.Header.Set("Sec-Fetch-Site", site)
			r.Header.Set("Sec-Fetch-Mode", mode)
		}).status
	}
	for _, tt := range []struct {
		path, site, mode string
		status           int
	}{
		{"/api/v1/diff", "cross-site", "no-cors", 403},
		{"/metrics", "same-site", "cors", 403},
		{"/livez", "cross-site", "no-cors", 403},
		{"/debug/pprof/profile?seconds=30", "cross-site", "no-cors", 403},
		{"/debug/pprof/profile?seconds=30", "cross-site", "navigate", 403},
		{"/api/v1/status", "cross-site", "navigate", 200},
		{"/api/v1/status", "same-origin", "cors", 200},
		{"/debug/pprof/cmdline", "none", "navigate", 200},
	} {
		if got := fetch(tt.path, tt.site, tt.mode); got != tt.status {
			t.Errorf("%s from a %s page by %s: %d, want %d", tt.path, tt.site, tt.mode, got, tt.status)
		}
	}
}

func TestLongBodiesAreReadOfOperatorsOnlyAndToTheLimit(t *testing.T) {
	h := new(changed)
	addr := local(t, h, Options{Tokens: []config.AdminToken{tokenOf("ann", config.RoleOperate, "ann-token")}})
	if got := speak(t, addr, raw("POST /api/v1/apply", "Content-Length: 100000000")); !strings.Contains(got, "401 Unauthorized") {
		t.Errorf("without a token: %s", got)
	}
	ask(t, "POST", "http://"+addr+"/api/v1/apply", func(r *http.Request) {
		bearer("Bearer ann-token")(r)
		r.Body, r.ContentLength = io.NopCloser(io.LimitReader(spaces{}, MaxRequestBytes+1)), MaxRequestBytes+1
	}).wants(t, http.StatusBadRequest, "the body is too large")
	if h.n.Load() != 0 {
		t.Error("it was applied")
	}
}

func TestTextsOfRequestsAreBounded(t *testing.T) {
	addr := local(t, new(changed), Options{})
	long := strings.Repeat("x", maxText+1)
	for _, tt := range []struct {
		path, body string
		want       []string
	}{
		{"apply", `{"message": "` + long + `"}`, []string{"the message is too long", "it may have 16 KiB"}},
		{"apply", `{"promote": {"rule": "` + long + `"}}`, []string{"the message is too long"}},
		{"diff", `{"message": "` + long + `"}`, []string{"the message is too long"}},
		{"rollback/1", `{"message": "` + long + `"}`, []string{"the body is too large", "it may have 16 KiB"}},
		{"block", `{"message": "` + long + `"}`, []string{"the body is too large"}},
		{"override", `{"value": "` + long + `"}`, []string{"the body is too large"}},
		{"breakers/a/reset", `{"message": "` + long + `"}`, []string{"the body is too large"}},
	} {
		ask(t, "POST", "http://"+addr+"/api/v1/"+tt.path, func(r *http.Request) {
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader(tt.body)), int64(len(tt.body))
		}).wants(t, http.StatusBadRequest, tt.want...)
	}
}

// spaces has no end.
type spaces struct{}

func (spaces) Read(p []byte) (int, error) {
	for i := range p {
		p[i] = ' '
	}
	return len(p), nil
}
