package admin

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

func TestAServerHasEveryLimit(t *testing.T) {
	s := NewServer(http.NotFoundHandler(), nil)
	for name, d := range map[string]time.Duration{
		"header": s.ReadHeaderTimeout, "read": s.ReadTimeout, "write": s.WriteTimeout, "idle": s.IdleTimeout,
	} {
		if d <= 0 {
			t.Errorf("no %s timeout", name)
		}
	}
	if s.MaxHeaderBytes <= 0 || s.HTTP2 == nil || s.HTTP2.MaxConcurrentStreams <= 0 {
		t.Errorf("no limit of headers or streams: %+v", s)
	}
}

// speak sends raw bytes and gives all that comes back until the server closes.
func speak(t *testing.T, addr, request string) string {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = io.WriteString(conn, request) }()
	got, err := io.ReadAll(conn)
	if err != nil && len(got) == 0 {
		t.Fatal(err)
	}
	return string(got)
}

func TestMalformedRequestsGetABadAnswerAndTheHostLivesOn(t *testing.T) {
	addr := local(t, &told{}, Options{})
	for request, want := range map[string]string{
		"GET /livez HTTP/1.1\r\n\r\n":                                                   "400 Bad Request", // no Host
		"GET /livez HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n":                             "400 Bad Request",
		"GET /livez HTTP/1.0\r\n\r\n":                                                   "200 OK", // as simple probers ask
		"\x08\x00\x00\x00\x00\r\n\r\n":                                                  "400 Bad Request",
		"GET /livez HTTP/1.1\r\nHost: x\r\nA: " + strings.Repeat("a", 64<<10):           "431 Request Header Fields Too Large",
		"POST /api/v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n": "400 Bad Request",
	} {
		if got := speak(t, addr, request); !strings.Contains(got, want) {
			t.Errorf("%.60q got %q, want %s", request, got, want)
		}
	}
	ask(t, "GET", "http://"+addr+"/livez", nil).wants(t, 200)
}

func TestClientsCannotFillTheLog(t *testing.T) {
	var b bytes.Buffer
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := serveOn(t, ln, NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusOK)
		w.WriteHeader(http.StatusOK) // net/http complains to its log
	}), slog.New(slog.NewTextHandler(&b, nil))))
	ask(t, "GET", "http://"+addr, nil)
	if b.Len() != 0 {
		t.Errorf("said at info: %s", b.String())
	}
}
