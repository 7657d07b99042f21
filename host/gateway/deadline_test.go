package gateway

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
)

func TestHeadersSetTheCallersDeadline(t *testing.T) {
	const bad = -1
	for _, tc := range []struct {
		headers string
		want    time.Duration
	}{
		{"", 0},
		{"Grpc-Timeout: 2H", 2 * time.Hour},
		{"Grpc-Timeout: 3M", 3 * time.Minute},
		{"Grpc-Timeout: 4S", 4 * time.Second},
		{"Grpc-Timeout: 250m", 250 * time.Millisecond},
		{"Grpc-Timeout: 1500u", 2 * time.Millisecond}, // rounded up
		{"Grpc-Timeout: 1n", time.Millisecond},
		{"Grpc-Timeout: 99999999H", maxTimeout},
		{"Connect-Timeout-Ms: 800", 800 * time.Millisecond},
		{"Connect-Timeout-Ms: 9999999999", 9999999999 * time.Millisecond},
		{"X-Request-Timeout: 800ms", 800 * time.Millisecond},
		{"X-Request-Timeout: 1m30.5s", 90500 * time.Millisecond},
		{"X-Request-Timeout: 3s|X-Request-Timeout: 2s", 2 * time.Second},
		{"Grpc-Timeout: 3S|Connect-Timeout-Ms: 1000|X-Request-Timeout: 2s", time.Second},
		{"Grpc-Timeout: 3S|Easymicro-Meta: __ServerTimeout=1", 3 * time.Second},
		{"Grpc-Timeout: 5", bad},
		{"Grpc-Timeout: ", bad},
		{"Grpc-Timeout: S", bad},
		{"Grpc-Timeout: 1s", bad},
		{"Grpc-Timeout: 1.5S", bad},
		{"Grpc-Timeout: +1S", bad},
		{"Grpc-Timeout: 999999999S", bad},
		{"Grpc-Timeout: 1S, 2S", bad},
		{"Connect-Timeout-Ms: 99999999999", bad},
		{"Connect-Timeout-Ms: 1s", bad},
		{"Connect-Timeout-Ms: ", bad},
		{"Connect-Timeout-Ms: 0x10", bad},
		{"X-Request-Timeout: 800", bad},
		{"X-Request-Timeout: soon", bad},
		{"X-Request-Timeout: ", bad},
		{"X-Request-Timeout: 2s|X-Request-Timeout: 3", bad},
	} {
		synctest.Test(t, func(t *testing.T) {
			b := &backend{}
			w := call(t, b, strings.Split(tc.headers, "|")...)
			f, _ := b.lastCall()
			switch timeout := f.Metadata.Get(wire.MetaTimeout); {
			case tc.want == bad:
				name, _, _ := strings.Cut(tc.headers, ":")
				if w.code != 400 || f.Service != "" || !strings.Contains(w.body.String(), "the header "+name+" is not ") {
					t.Errorf("%s: %d %s", tc.headers, w.code, &w.body)
				}
			case w.code != 200 || tc.want == 0 && timeout != "" || tc.want != 0 && timeout != strconv.FormatInt(tc.want.Milliseconds(), 10):
				t.Errorf("%s: %d, the call has %q, want %s", tc.headers, w.code, timeout, tc.want)
			}
		})
	}
}

func TestAnExpiredDeadlineRunsNothing(t *testing.T) {
	for _, header := range []string{
		"Grpc-Timeout: 0S", "Grpc-Timeout: -1S", "Connect-Timeout-Ms: 0", "Connect-Timeout-Ms: -5", "X-Request-Timeout: 0", "X-Request-Timeout: 0s",
		"X-Request-Timeout: -800ms", "Grpc-Timeout: -99999999H", "Grpc-Timeout: -9999999M",
	} {
		b := &backend{}
		w := call(t, b, "Grpc-Timeout: 9S", header)
		if f, _ := b.lastCall(); w.code != 504 || f.Service != "" || !strings.Contains(w.body.String(), `"reason":"expired"`) || w.h.Get("Retry-After") != "" {
			t.Errorf("%s: %d %s", header, w.code, &w.body)
		}
	}
}

func TestTheDeadlineCountsWhileTheBodyArrives(t *testing.T) {
	b := &backend{}
	conn, err := net.Dial("tcp", serve(t, b, Options{}))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(conn, "POST /Arith/Mul HTTP/1.1\r\nHost: x\r\nX-Request-Timeout: 20ms\r\nContent-Length: 7\r\n\r\n{")
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if f, _ := b.lastCall(); res.StatusCode != 504 || f.Service != "" {
		t.Errorf("status %d, called %q", res.StatusCode, f.Service)
	}
}

// written is a response writer that records what is written.
type written struct {
	discard
	code int
	body strings.Builder
}

func (w *written) WriteHeader(code int) { w.code = code }

func (w *written) Write(b []byte) (int, error) {
	if w.code == 0 {
		w.code = 200
	}
	return w.body.Write(b)
}

// call calls Mul with these "Key: value" headers.
func call(t *testing.T, b *backend, header ...string) *written {
	t.Helper()
	g, err := New(Options{Handler: b, Resolve: b.resolve, Host: host})
	if err != nil {
		t.Fatal(err)
	}
	r, err := http.NewRequestWithContext(context.Background(), "POST", "/Arith/Mul", strings.NewReader(`{"a":1}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range header {
		if k, v, ok := strings.Cut(h, ": "); ok {
			r.Header.Add(k, v)
		}
	}
	w := &written{discard: discard{http.Header{}}}
	g.ServeHTTP(w, r)
	g.Wait()
	return w
}
