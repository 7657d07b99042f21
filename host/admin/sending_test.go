package admin

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slowly sends a request and reads the header of its response alone.
func slowly(t *testing.T, addr string) (net.Conn, *http.Response) {
	t.Helper()
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := errors.Join(conn.SetDeadline(time.Now().Add(time.Minute)), conn.(*net.TCPConn).SetReadBuffer(256<<10)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	return conn, res
}

func TestSlowReadersOfLargeResponsesMakeRoomForOthers(t *testing.T) {
	const size = 24 << 20 // more than the buffers of sockets have
	s, body := newSending(size+size/2), bytes.Repeat([]byte("x"), size)
	addr := serve(t, "tcp", "127.0.0.1:0", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = s.writer(w).Write(body) }))
	var slow []*http.Response
	for range 5 {
		_, res := slowly(t, addr)
		slow = append(slow, res)
		s.mu.Lock()
		if s.held > s.max || len(s.open) > 1 {
			t.Errorf("%d bytes of %d responses are held", s.held, len(s.open))
		}
		s.mu.Unlock()
	}
	if a := ask(t, "GET", "http://"+addr+"/", nil); a.status != 200 || len(a.body) != size {
		t.Errorf("a quick reader got %d with %d bytes", a.status, len(a.body))
	}
	for _, res := range slow {
		if n, err := io.Copy(io.Discard, res.Body); err == nil || n == size {
			t.Errorf("a slow reader got %d bytes: %v", n, err)
		}
		_ = res.Body.Close()
	}
	if s.held != 0 || len(s.open) != 0 {
		t.Errorf("%d bytes are still held", s.held)
	}
}

// piped is a listener with one connection.
type piped struct {
	net.Listener
	conns chan net.Conn
}

func (p piped) Accept() (net.Conn, error) {
	if c, ok := <-p.conns; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}

func (piped) Close() error   { return nil }
func (piped) Addr() net.Addr { return &net.UnixAddr{} }

func TestAResponseThatIsReadTooSlowlyEnds(t *testing.T) {
	for name, tt := range map[string]struct {
		pause time.Duration // between two chunks
		ends  time.Duration
	}{
		"not at all": {time.Hour, chunkTimeout},
		"a trickle":  {chunkTimeout - time.Second, sendTimeout},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				in := piped{conns: make(chan net.Conn, 1)}
				in.conns <- far
				s := newSending(1 << 30)
				var ended time.Duration
				server := NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
					began := time.Now()
					if _, err := s.writer(w).Write(make([]byte, 20<<20)); err == nil {
						t.Error("it was sent")
					}
					ended = time.Since(began)
				}), nil)
				go func() { _ = server.Serve(in) }()
				go func() {
					_, _ = io.WriteString(near, "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
					for {
						if _, err := io.CopyN(io.Discard, near, chunkBytes); err != nil {
							return
						}
						time.Sleep(tt.pause)
					}
				}()
				time.Sleep(2 * sendTimeout)
				synctest.Wait()
				if ended < tt.ends || ended > tt.ends+time.Second {
					t.Errorf("it ended after %s, want %s", ended, tt.ends)
				}
				close(in.conns)
				_ = server.Close()
				time.Sleep(tt.pause) // the reader ends, too
			})
		})
	}
}

// crowded counts the requests that it serves at a time.
type crowded struct {
	told
	running, most atomic.Int32
	release       chan struct{}
}

func (h *crowded) enter() {
	h.most.Store(max(h.most.Load(), h.running.Add(1)))
	<-h.release
	h.running.Add(-1)
}

func (h *crowded) Config(context.Context) (*Configuration, error) {
	h.enter()
	return &Configuration{}, nil
}

func (h *crowded) Apply(_ context.Context, q ApplyRequest) (*Attempt, error) {
	h.enter()
	return &Attempt{}, q.Unreadable
}

func TestLargeRequestsAndResponsesAtATimeAreBounded(t *testing.T) {
	for name, tt := range map[string]struct {
		method, path, body string
		chunked            bool
		most               int32
	}{
		"responses":                {method: "GET", path: "/api/v1/config", most: 1},
		"large bodies":             {method: "POST", path: "/api/v1/apply", body: `{"files": [{"path": "a.yaml", "text": "` + strings.Repeat("x", largeBody) + `"}]}`, most: maxLargeBodies},
		"bodies of unknown length": {method: "POST", path: "/api/v1/apply", body: `{}`, chunked: true, most: maxLargeBodies},
		"small bodies":             {method: "POST", path: "/api/v1/apply", body: `{}`, most: 20},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				h := &crowded{release: make(chan struct{})}
				handler := Handler(h, Options{})
				var served, refused atomic.Int32
				for range 20 {
					go func() {
						r := httptest.NewRequestWithContext(context.WithValue(t.Context(), http.LocalAddrContextKey, &net.UnixAddr{}), tt.method, tt.path, strings.NewReader(tt.body))
						r.Host = "localhost"
						if tt.chunked {
							r.ContentLength = -1
						}
						w := httptest.NewRecorder()
						handler.ServeHTTP(w, r)
						switch w.Code {
						case http.StatusOK:
							served.Add(1)
						case http.StatusServiceUnavailable:
							refused.Add(1)
						default:
							t.Errorf("%d %s", w.Code, w.Body)
						}
					}()
				}
				time.Sleep(slotWait + time.Second)
				if n := refused.Load(); n != 20-tt.most {
					t.Errorf("%d are refused", n)
				}
				close(h.release)
				synctest.Wait()
				if h.most.Load() != tt.most || served.Load() != tt.most {
					t.Errorf("%d at a time, %d served, want %d", h.most.Load(), served.Load(), tt.most)
				}
			})
		})
	}
}
