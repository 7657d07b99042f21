package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// newTestConn returns a connection of a server, and the peer's end of it.
func newTestConn(t *testing.T, s *Server) (*conn, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	c := s.newConn(near, true)
	t.Cleanup(func() {
		_ = c.Close()
		_ = far.Close()
	})
	return c, far
}

// A slow peer is not silent.
func TestAPeerIsSilentWhenItTakesNoByteWithinTheWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(ServerOptions{})
		c, far := newTestConn(t, s)
		begin := time.Now()
		var reader sync.WaitGroup
		defer reader.Wait()
		reader.Go(func() {
			one := make([]byte, 1)
			for range 20 {
				time.Sleep(9 * time.Second)
				_, _ = io.ReadFull(far, one)
			}
		})
		_ = c.SetWriteDeadline(time.Now().Add(s.limits.WriteTimeout))
		go func() { // while it is being written
			for range 18 {
				_, before := c.Progress()
				time.Sleep(10 * time.Second)
				if _, taken := c.Progress(); taken == before {
					t.Errorf("nothing of what was taken is seen after %s", time.Since(begin))
				}
			}
		}()
		n, err := c.Write(make([]byte, 100))
		if took := time.Since(begin); n != 20 || !errors.Is(err, os.ErrDeadlineExceeded) || took < 189*time.Second || took > 200*time.Second {
			t.Errorf("%d bytes in %s: %v", n, took, err)
		}
		if waiting, taken := c.Progress(); waiting != 0 || taken != 20 {
			t.Errorf("waiting %d, taken %d", waiting, taken)
		}
	})
}

// breakable is a connection that, like a TLS one, is unusable after a write has timed out.
type breakable struct {
	net.Conn
	broken bool
}

func (*breakable) Handshake() error { return nil }

func (b *breakable) Write(p []byte) (int, error) {
	if b.broken {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := b.Conn.Write(p)
	b.broken = err != nil
	return n, err
}

func TestASlowPeerWithTLSIsNotSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		s := NewServer(ServerOptions{})
		c := s.newConn(&breakable{Conn: near}, true)
		var reader sync.WaitGroup
		defer reader.Wait()
		reader.Go(func() {
			for b := make([]byte, 4<<10); ; time.Sleep(time.Second) { // 256 KiB in 64 s
				if _, err := far.Read(b); err != nil {
					return
				}
			}
		})
		_ = c.SetWriteDeadline(time.Now().Add(s.limits.WriteTimeout))
		if n, err := c.Write(make([]byte, writeStep)); n != writeStep || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
		_ = c.Close()
	})
}

// drain may wake the reader after it has begun the GOAWAY on its own.
func TestAConnectionIsReadAfterItsGoAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, far := newTestConn(t, NewServer(ServerOptions{}))
		f := newFrames()
		f.watch([]byte(preface2)[len("PRI * HTTP/2.0\r\n"):])
		c.frames.Store(f)
		c.goingAway.Store(true)
		b := make([]byte, 100)
		if n, err := c.Read(b); n != len(frameGoAway) || err != nil {
			t.Fatalf("%d bytes, %v", n, err)
		}
		_ = c.SetReadDeadline(time.Unix(1, 0)) // what drain does last
		go func() { _, _ = far.Write(frame(framePing, 0, 0, make([]byte, 8)...)) }()
		if n, err := c.Read(b); n != 17 || err != nil {
			t.Errorf("%d bytes, %v", n, err)
		}
	})
}

// Close ends the pause of the reader before it has closed the socket.
func TestAClosedConnectionIsNotReadFasterThanItsAllowance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, far := newTestConn(t, NewServer(ServerOptions{}))
		f := newFrames()
		f.watch([]byte(preface2)[len("PRI * HTTP/2.0\r\n"):])
		c.frames.Store(f)
		go func() { _, _ = far.Write(frame(framePing, 0, 0, make([]byte, 8)...)) }()
		close(c.closed)
		if n, err := c.Read(make([]byte, 100)); n != 0 || !errors.Is(err, net.ErrClosed) {
			t.Errorf("%d bytes, %v", n, err)
		}
		c.closing.Do(func() {})
	})
}

// A request in transit when the idle timeout ends is still read.
func TestAnExpiredIdleConnectionIsReadOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, idle := range []bool{true, false} {
			c, far := newTestConn(t, NewServer(ServerOptions{}))
			c.idle.Store(idle)
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			var late sync.WaitGroup
			late.Go(func() {
				time.Sleep(time.Second + idleGrace/2)
				_, _ = far.Write([]byte("P"))
			})
			n, err := c.Read(make([]byte, 10))
			if got := n == 1 && err == nil; got != idle {
				t.Errorf("idle %v: %d bytes, %v", idle, n, err)
			}
			_ = far.Close()
			late.Wait()
		}
	})
}

func TestAnIdleConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := newTestConn(t, NewServer(ServerOptions{}))
		c.owner.(*Server).state(c, http.StateIdle)
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		begin := time.Now()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != time.Second+idleGrace {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
	})
}

// Connections keep the idle timeout that they were opened with.
func TestTheIdleTimeoutIsLive(t *testing.T) {
	for _, proto := range []int{1, 2} {
		synctest.Test(t, func(t *testing.T) {
			b := &backend{}
			g, err := New(Options{Handler: b, Resolve: b.resolve})
			if err != nil {
				t.Fatal(err)
			}
			ln, s := newPipes(), NewServer(ServerOptions{Handler: g, Limits: wire.Limits{IdleTimeout: time.Minute}})
			var served sync.WaitGroup
			served.Go(func() { _ = s.Serve(context.Background(), ln) })
			idle := func(peer net.Conn) time.Duration {
				var begin time.Time
				watched := &watchedConn{Conn: peer, closed: make(chan struct{})}
				tr := overHTTP2(watched)
				if proto == 1 {
					tr.Protocols = nil
				}
				for range 2 {
					req, _ := http.NewRequestWithContext(t.Context(), "POST", "http://x/Arith/Mul", strings.NewReader("{}"))
					res, err := tr.RoundTrip(req)
					if err != nil {
						t.Fatal(err)
					}
					_, _ = io.Copy(io.Discard, res.Body)
					res.Body.Close()
					begin = time.Now()
					time.Sleep(30 * time.Second)
				}
				<-watched.closed
				return time.Since(begin)
			}
			first := ln.dial()
			synctest.Wait()
			s.SetTimeouts(5*time.Minute, 0)
			if took := idle(first); took < time.Minute || took > time.Minute+3*time.Second {
				t.Errorf("HTTP/%d: closed after %s, before the change", proto, took)
			}
			if took := idle(ln.dial()); took < 5*time.Minute || took > 5*time.Minute+3*time.Second {
				t.Errorf("HTTP/%d: closed after %s", proto, took)
			}
			_ = s.Close()
			served.Wait()
		})
	}
}

// watchedConn reports when its peer has closed it.
type watchedConn struct {
	net.Conn
	once   sync.Once
	closed chan struct{}
}

func (c *watchedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if err != nil {
		c.once.Do(func() { close(c.closed) })
	}
	return n, err
}

// lateConn is a connection whose first read after a response notices nothing but deadlines, as on a busy machine.
type lateConn struct {
	net.Conn
	late      atomic.Bool
	deadlines chan struct{}
}

func (c *lateConn) Read(b []byte) (int, error) {
	if !c.late.CompareAndSwap(true, false) {
		return c.Conn.Read(b)
	}
	for len(c.deadlines) > 0 {
		<-c.deadlines
	}
	<-c.deadlines
	return 0, os.ErrDeadlineExceeded
}

func (c *lateConn) Write(b []byte) (int, error) {
	c.late.Store(true)
	return c.Conn.Write(b)
}

func (c *lateConn) SetReadDeadline(t time.Time) error {
	c.deadlines <- struct{}{}
	return c.Conn.SetReadDeadline(t)
}

func (c *lateConn) Close() error {
	c.deadlines <- struct{}{}
	return c.Conn.Close()
}

func TestShutdownAnswersARequestThatHasArrivedOnAnIdleConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		ln := &oneConn{conn: &lateConn{Conn: near, deadlines: make(chan struct{}, 100)}, done: make(chan struct{})}
		s, _ := startOn(t, ln, &backend{}, Options{}, nil)
		c := &rawConn{far, bufio.NewReader(far)}
		c.post("Mul", factors)
		c.response(t)
		synctest.Wait()
		go c.post("Mul", factors)
		synctest.Wait()
		down := make(chan error, 1)
		go func() { down <- s.Shutdown(t.Context()) }()
		if r := c.response(t); r.StatusCode != http.StatusOK {
			t.Errorf("%d %s", r.StatusCode, r.body)
		}
		if err := <-down; err != nil {
			t.Error(err)
		}
		if _, err := c.in.ReadByte(); !errors.Is(err, io.EOF) {
			t.Errorf("the connection is open: %v", err)
		}
	})
}

func TestShutdownDoesNotWaitForIdleConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		s, _ := startOn(t, &oneConn{conn: near, done: make(chan struct{})}, &backend{}, Options{}, nil)
		c := &rawConn{far, bufio.NewReader(far)}
		c.post("Mul", factors)
		c.response(t)
		synctest.Wait()
		begin := time.Now()
		if err := s.Shutdown(t.Context()); err != nil || time.Since(begin) > 10*idleGrace {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
	})
}
