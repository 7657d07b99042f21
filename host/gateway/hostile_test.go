package gateway

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// sendRaw sends bytes unchanged, and returns the statuses of all responses until the server closes the connection.
func sendRaw(t *testing.T, addr, request string) (statuses []int) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, request); err != nil {
		t.Fatal(err)
	}
	for r := bufio.NewReader(conn); ; {
		res, err := http.ReadResponse(r, nil)
		if err != nil {
			return statuses
		}
		if _, err := io.Copy(io.Discard, res.Body); err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		statuses = append(statuses, res.StatusCode)
	}
}

// Bytes after a request are another request or nothing; the hidden call must never run.
func TestNoRequestHidesInAnother(t *testing.T) {
	const hidden = "POST /Arith/Div HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 13\r\n\r\n{\"a\":6,\"b\":3}"
	const head = "POST /Arith/Mul HTTP/1.1\r\nHost: x\r\n"
	for name, request := range map[string]string{
		"length and chunked":          head + "Content-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
		"two lengths":                 head + "Content-Length: 7\r\nContent-Length: 0\r\n\r\n{\"a\":1}",
		"list of lengths":             head + "Content-Length: 7, 0\r\n\r\n{\"a\":1}",
		"negative length":             head + "Content-Length: -1\r\n\r\n",
		"length with plus":            head + "Content-Length: +7\r\n\r\n{\"a\":1}",
		"hexadecimal length":          head + "Content-Length: 0x7\r\n\r\n{\"a\":1}",
		"unknown transfer encoding":   head + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
		"two transfer encodings":      head + "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
		"space before the colon":      head + "Content-Length : 0\r\n\r\n",
		"chunk size with a sign":      head + "Transfer-Encoding: chunked\r\n\r\n+7\r\n{\"a\":1}\r\n0\r\n\r\n",
		"chunk size too large":        head + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
		"bare line feed after a size": head + "Transfer-Encoding: chunked\r\n\r\n7;\n{\"a\":1}\r\n0\r\n\r\n",
		"no host":                     "POST /Arith/Mul HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
		"two hosts":                   "POST /Arith/Mul HTTP/1.1\r\nHost: a\r\nHost: b\r\nContent-Length: 0\r\n\r\n",
		"bad version":                 "POST /Arith/Mul HTTP/1.1.1\r\nHost: a\r\n\r\n",
		"null in a header":            head + "X: \x00\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			b := &backend{}
			statuses := sendRaw(t, serve(t, b, Options{}), request+hidden)
			if f, _ := b.lastCall(); f.Method == "Div" {
				t.Errorf("the hidden call was run; answers %v", statuses)
			}
			if len(statuses) != 1 || statuses[0] < 400 {
				t.Errorf("answers %v, want one refusal", statuses)
			}
		})
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	addr := serve(t, &backend{}, Options{})
	one := "POST /Arith/Mul HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\n\r\n{\"a\":1}"
	end := "POST /Arith/Mul HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\nConnection: close\r\n\r\n{\"a\":1}"
	two := "POST /Arith/Nope HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"
	if got := sendRaw(t, addr, one+two+end); len(got) != 3 || got[0] != 200 || got[1] != 404 || got[2] != 200 {
		t.Errorf("answers %v", got)
	}
}

func TestHeadersAreBounded(t *testing.T) {
	addr := serve(t, &backend{}, Options{})
	if got := sendRaw(t, addr, "POST /Arith/Mul HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 40<<10)); len(got) != 1 || got[0] != 431 {
		t.Errorf("answers %v", got)
	}
	if got := sendRaw(t, addr, "POST /Arith/Mul HTTP/1.1\r\nHost: x\r\nX: "+strings.Repeat("x", 24<<10)+"\r\nConnection: close\r\nContent-Length: 7\r\n\r\n{\"a\":1}"); len(got) != 1 || got[0] != 200 {
		t.Errorf("answers %v", got)
	}
	if got := sendRaw(t, addr, "POST /Arith/Mul?"+strings.Repeat("x", 40<<10)+" HTTP/1.1\r\n\r\n"); len(got) > 1 || len(got) == 1 && got[0] < 400 {
		t.Errorf("a long path: answers %v", got)
	}
}

func TestHopByHopHeadersDoNotReachHandlers(t *testing.T) {
	b := &backend{}
	addr := serve(t, b, Options{})
	sendRaw(t, addr, "POST /Arith/Mul HTTP/1.1\r\nHost: x\r\nConnection: Traceparent, Authorization, close\r\nKeep-Alive: 5\r\nTE: trailers\r\n"+
		"Proxy-Authorization: Bearer t\r\nUpgrade: h2c\r\nTransfer-Encoding: chunked\r\nTrailer: Easymicro-Meta\r\n\r\n2\r\n{}\r\n0\r\nEasymicro-Meta: a=1\r\n\r\n")
	f, call := b.lastCall()
	if call == nil || len(f.Metadata) != 0 {
		t.Errorf("metadata %v", f.Metadata)
	}
}

func TestAContentLengthAllocatesNothingUntilBytesArrive(t *testing.T) {
	r, err := http.NewRequestWithContext(t.Context(), "POST", "/Arith/Mul", bytes.NewReader([]byte(`{"a":1}`)))
	if err != nil {
		t.Fatal(err)
	}
	r.ContentLength = 4 << 20
	s := &stream{w: discard{http.Header{}}, r: r}
	body, err := s.readAll(nil, 4<<20)
	if err != nil || cap(body) > 8<<10 {
		t.Errorf("%d bytes for 7: %v", cap(body), err)
	}
}

type discard struct{ h http.Header }

func (d discard) Header() http.Header         { return d.h }
func (d discard) Write(b []byte) (int, error) { return len(b), nil }
func (d discard) WriteHeader(int)             {}

func (d discard) SetReadDeadline(time.Time) error  { return nil }
func (d discard) SetWriteDeadline(time.Time) error { return nil }

func TestACallerThatNeverReadsIsCutOff(t *testing.T) {
	b := &backend{hook: func(_ context.Context, _, res *wire.Frame) error {
		res.Payload = append(res.Payload, make([]byte, 1<<20)...)
		return nil
	}}
	addr := serve(t, b, Options{Limits: wire.Limits{WriteTimeout: 50 * time.Millisecond}})
	requests := map[string]string{
		"long replies": "POST /Arith/Hook HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
		"refusals":     "POST /Nobody/None HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}",
		"preflights":   "OPTIONS /Arith/Mul HTTP/1.1\r\nHost: x\r\n\r\n",
		"heartbeats":   "POST /Arith/Mul HTTP/1.1\r\nHost: x\r\nX-Rpcx-Heartbeat: 1\r\n\r\n",
		"one-way calls": "POST /Arith/Mul HTTP/1.1\r\nHost: x\r\nX-Rpcx-Oneway: 1\r\nX-Rpcx-Serializetype: 1\r\n" +
			"Content-Length: 2\r\n\r\n{}",
	}
	var all sync.WaitGroup
	for name, request := range requests {
		conn, err := net.Dial("tcp", addr)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		all.Go(func() {
			if err := conn.SetWriteDeadline(time.Now().Add(time.Minute)); err != nil {
				t.Error(err)
				return
			}
			var err error
			many := strings.Repeat(request, 100)
			for err == nil {
				_, err = io.WriteString(conn, many)
			}
			if errors.Is(err, os.ErrDeadlineExceeded) {
				t.Errorf("%s: the connection was never cut", name)
			}
		})
	}
	all.Wait()
	if r := do(t, "POST", "http://"+addr+"/Arith/Mul", `{"a":73,"b":1500}`); r.body != line {
		t.Errorf("another caller: %d %s", r.StatusCode, r.body)
	}
}

// steps is a response writer that records how much is written within each write deadline.
type steps struct {
	discard
	within []int
}

func (s *steps) SetWriteDeadline(time.Time) error {
	s.within = append(s.within, 0)
	return nil
}

func (s *steps) Write(b []byte) (int, error) {
	s.within[len(s.within)-1] += len(b)
	return len(b), nil
}

func TestALongReplyMayTakeLongerThanTheWriteTimeout(t *testing.T) {
	const long = 1<<20 + 1
	b := &backend{hook: func(_ context.Context, _, res *wire.Frame) error {
		res.Payload = append(res.Payload, make([]byte, long)...)
		return nil
	}}
	g, err := New(Options{Handler: b, Resolve: b.resolve})
	if err != nil {
		t.Fatal(err)
	}
	w := &steps{discard: discard{http.Header{}}}
	r, err := http.NewRequestWithContext(t.Context(), "POST", "/Arith/Hook", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	g.ServeHTTP(w, r)
	sum := 0
	for _, n := range w.within {
		sum += n
		if n > 256<<10 {
			t.Errorf("%d bytes within one timeout", n)
		}
	}
	if sum != long+len("\n") {
		t.Errorf("%d bytes of %d", sum, long)
	}
}
