package wire

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// sleeping is a server with n connections that have made one call each and are asleep.
func sleeping(t *testing.T, n int, lim Limits) (*Server, []net.Conn, func(net.Conn)) {
	t.Helper()
	s := NewServer(ServerOptions{Limits: lim, Handler: HandlerFunc(func(_ context.Context, req, res *Frame) error {
		res.Payload = append(res.Payload[:0], req.Payload...)
		return nil
	})})
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(t.Context(), ln) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		_ = s.Shutdown(ctx)
		<-served
	})
	call := func(c net.Conn) {
		t.Helper()
		if _, err := c.Write(AppendFrame(nil, &Frame{Seq: 7, Service: "S", Method: "M", Payload: []byte("x")})); err != nil {
			t.Error(err)
			return
		}
		var f Frame
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if err := NewReader(c, Limits{}).Read(&f); err != nil || string(f.Payload) != "x" {
			t.Errorf("%q, %v", f.Payload, err)
		}
	}
	conns := make([]net.Conn, n)
	for i := range conns {
		if conns[i], err = net.Dial("tcp", ln.Addr().String()); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conns[i].Close() })
		call(conns[i])
	}
	asleep := func() int {
		s.pool.sleepers.mu.Lock()
		defer s.pool.sleepers.mu.Unlock()
		return len(s.pool.sleepers.conns)
	}
	for end := time.Now().Add(30 * time.Second); asleep() < n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d idle connections are asleep", asleep(), n)
		}
	}
	return s, conns, call
}

func TestAConnectionThatIsAsleepNoticesEverything(t *testing.T) {
	const n = 100
	ended := func(t *testing.T, c net.Conn) {
		t.Helper()
		_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("not closed by the server: %v", err)
		}
	}
	for name, act := range map[string]func(t *testing.T, s *Server, conns []net.Conn, call func(net.Conn)){
		"calls, again and again": func(_ *testing.T, _ *Server, conns []net.Conn, call func(net.Conn)) {
			for range 3 {
				var all sync.WaitGroup
				for _, c := range conns {
					all.Go(func() { call(c) })
				}
				all.Wait()
			}
		},
		"a heartbeat, then a call": func(t *testing.T, _ *Server, conns []net.Conn, call func(net.Conn)) {
			t.Helper()
			for _, c := range conns {
				_, _ = c.Write(AppendFrame(nil, &Frame{Heartbeat: true, Seq: 1}))
				var f Frame
				_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
				if err := NewReader(c, Limits{}).Read(&f); err != nil || !f.Heartbeat {
					t.Fatalf("%+v, %v", f, err)
				}
				call(c)
			}
		},
		"half a frame, then the rest": func(t *testing.T, _ *Server, conns []net.Conn, _ func(net.Conn)) {
			t.Helper()
			frame := AppendFrame(nil, &Frame{Seq: 9, Service: "S", Method: "M", Payload: []byte("halves")})
			for _, c := range conns {
				_, _ = c.Write(frame[:5])
			}
			for _, c := range conns {
				_, _ = c.Write(frame[5:])
				var f Frame
				_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
				if err := NewReader(c, Limits{}).Read(&f); err != nil || string(f.Payload) != "halves" {
					t.Fatalf("%q, %v", f.Payload, err)
				}
			}
		},
		"the end of the peer": func(t *testing.T, _ *Server, conns []net.Conn, _ func(net.Conn)) {
			t.Helper()
			for _, c := range conns {
				_ = c.(*net.TCPConn).CloseWrite()
			}
			for _, c := range conns {
				ended(t, c)
			}
		},
		"a drain": func(t *testing.T, s *Server, conns []net.Conn, _ func(net.Conn)) {
			t.Helper()
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			if err := s.Shutdown(ctx); err != nil {
				t.Error(err)
			}
			for _, c := range conns {
				ended(t, c)
			}
		},
		"a drain without time": func(t *testing.T, s *Server, conns []net.Conn, _ func(net.Conn)) {
			t.Helper()
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			_ = s.Shutdown(ctx)
			for _, c := range conns {
				_ = c.SetReadDeadline(time.Now().Add(10 * time.Second))
				if _, err := io.Copy(io.Discard, c); err != nil && err.(net.Error).Timeout() { //nolint:errorlint // of package net
					t.Error(err)
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, conns, call := sleeping(t, n, Limits{})
			act(t, s, conns, call)
		})
	}
}

func TestAConnectionThatIsAsleepEndsWhenIdleForTooLong(t *testing.T) {
	t.Parallel()
	_, conns, _ := sleeping(t, 20, Limits{IdleTimeout: 5 * time.Second})
	for _, c := range conns {
		_ = c.SetReadDeadline(time.Now().Add(20 * time.Second))
		if _, err := io.Copy(io.Discard, c); err != nil {
			t.Errorf("not closed by the server: %v", err)
		}
	}
}
