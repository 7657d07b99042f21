package gateway

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// deadlineCounter counts the deadlines that are set on a connection, and how often it is read.
type deadlineCounter struct {
	net.Conn
	reads, writes, begun atomic.Int64
}

func (c *deadlineCounter) Read(b []byte) (int, error) {
	c.begun.Add(1)
	return c.Conn.Read(b)
}

func (c *deadlineCounter) SetReadDeadline(t time.Time) error {
	c.reads.Add(1)
	return c.Conn.SetReadDeadline(t)
}

func (c *deadlineCounter) SetWriteDeadline(t time.Time) error {
	c.writes.Add(1)
	return c.Conn.SetWriteDeadline(t)
}

func TestDeadlinesOfAConnectionAreMovedOnlyWhenNeeded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		counter := &deadlineCounter{Conn: near}
		s := NewServer(ServerOptions{})
		c := s.newConn(counter, true)
		defer far.Close()
		defer c.Close()
		one := make([]byte, 1)
		go func() {
			for {
				if _, err := far.Read(one); err != nil {
					return
				}
			}
		}()
		for range 100 { // as net/http does for each request
			go func() { _, _ = far.Write([]byte("x")) }()
			_ = c.SetReadDeadline(time.Now().Add(headerTimeout))
			_, _ = c.Read(one)
			_ = c.SetReadDeadline(time.Unix(1, 0))
			if _, err := c.Read(one); !errors.Is(err, os.ErrDeadlineExceeded) {
				t.Fatal(err)
			}
			_ = c.SetReadDeadline(time.Time{})
			_ = c.SetWriteDeadline(time.Now().Add(time.Minute))
			if _, err := c.Write(one); err != nil {
				t.Fatal(err)
			}
			_ = c.SetWriteDeadline(time.Time{})
			time.Sleep(10 * time.Millisecond)
		}
		if r, w := counter.reads.Load(), counter.writes.Load(); r > 1 || w > 3 {
			t.Errorf("the socket's deadlines were set %d and %d times", r, w)
		}
	})
}

func TestAReadEndsAtTheDeadlineThatWasSetLast(t *testing.T) {
	for _, test := range []struct {
		name string
		set  []time.Duration // from now; 0: none
		want time.Duration   // 0: it does not end
	}{
		{"earlier", []time.Duration{time.Minute, time.Second}, time.Second},
		{"later", []time.Duration{time.Second, time.Minute}, time.Minute},
		{"none", []time.Duration{time.Second, 0}, 0},
		{"none for a while", []time.Duration{time.Second, 0, 3 * time.Second}, 3 * time.Second},
		{"past", []time.Duration{time.Minute, -time.Hour}, 0},
		{"not past any more", []time.Duration{-time.Hour, 0, time.Minute}, time.Minute},
		{"earlier than what replaces the past", []time.Duration{-time.Hour, 0, time.Second}, time.Second},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer near.Close()
				defer far.Close()
				var d readDeadline
				begin := time.Now()
				for _, after := range test.set {
					at := begin.Add(after)
					switch {
					case after == 0:
						at = time.Time{}
					case after < 0:
						at = time.Unix(1, 0)
					}
					if err := d.move(near, at); err != nil {
						t.Fatal(err)
					}
				}
				if test.want == 0 && test.set[len(test.set)-1] == 0 {
					go func() {
						time.Sleep(time.Hour)
						_, _ = far.Write([]byte("x"))
					}()
					if n, err := d.read(near, make([]byte, 1)); n != 1 || err != nil || time.Since(begin) != time.Hour {
						t.Errorf("%d bytes after %s: %v", n, time.Since(begin), err)
					}
					return
				}
				n, err := d.read(near, make([]byte, 1))
				if took := time.Since(begin); n != 0 || !errors.Is(err, os.ErrDeadlineExceeded) || took != test.want {
					t.Errorf("%d bytes after %s: %v", n, took, err)
				}
			})
		})
	}
}

func TestAPendingReadIsEndedByADeadlineInThePast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer near.Close()
		defer far.Close()
		var d readDeadline
		begin := time.Now()
		_ = d.move(near, begin.Add(time.Minute))
		go func() {
			time.Sleep(time.Second)
			_ = d.move(near, time.Unix(1, 0))
		}()
		if _, err := d.read(near, make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != time.Second {
			t.Errorf("it ends after %s: %v", time.Since(begin), err)
		}
	})
}

func TestAHeldReadWaitsForItsEnd(t *testing.T) {
	past := func(d *readDeadline, nc net.Conn) { _ = d.move(nc, time.Unix(1, 0)) }
	soon := func(d *readDeadline, nc net.Conn) { _ = d.move(nc, time.Now().Add(time.Second)) }
	release := func(d *readDeadline, _ net.Conn) { d.release() }
	for _, test := range []struct {
		name  string
		event func(*readDeadline, net.Conn) // after a minute
		want  time.Duration                 // when the read ends: a byte comes after an hour
		n     int
		reads int64 // of the socket
	}{
		{"a deadline in the past", past, time.Minute, 0, 0},
		{"another deadline", soon, time.Minute + time.Second, 0, 1},
		{"release", release, time.Hour, 1, 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				near, far := net.Pipe()
				defer near.Close()
				defer far.Close()
				counter := &deadlineCounter{Conn: near}
				begin := time.Now()
				var d readDeadline
				d.hold()
				time.AfterFunc(time.Minute, func() { test.event(&d, counter) })
				time.AfterFunc(time.Hour, func() {
					_ = far.SetDeadline(time.Now().Add(time.Second)) // nobody may read
					_, _ = far.Write([]byte("x"))
				})
				n, err := d.read(counter, make([]byte, 1))
				if took := time.Since(begin); n != test.n || errors.Is(err, os.ErrDeadlineExceeded) != (n == 0) || took != test.want {
					t.Errorf("%d bytes after %s: %v", n, took, err)
				}
				if reads := counter.begun.Load(); reads != test.reads {
					t.Errorf("the socket was read %d times", reads)
				}
			})
		})
	}
}

func TestAReadIsNoLongerHeldOnceItsConnectionIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		near, far := net.Pipe()
		defer far.Close()
		c := NewServer(ServerOptions{}).newConn(near, true)
		c.reads.hold()
		time.AfterFunc(time.Second, func() { _ = c.Close() })
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
			t.Error(err)
		}
	})
}

// net/http begins to read for each request, to notice that its peer has left.
func TestTheSocketIsReadBesideLongCallsOnly(t *testing.T) {
	for _, test := range []struct {
		takes  time.Duration
		beside int64 // reads of the socket while the call runs
	}{
		{0, 0},
		{time.Millisecond / 2, 0},
		{time.Second, 1},
	} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			counter := &deadlineCounter{Conn: near}
			var before, beside int64
			b := &backend{hook: func(context.Context, *wire.Frame, *wire.Frame) error {
				before = counter.begun.Load()
				time.Sleep(test.takes)
				synctest.Wait()
				beside = counter.begun.Load() - before
				return nil
			}}
			ln := &oneConn{conn: counter, done: make(chan struct{})}
			_, _ = startOn(t, ln, b, Options{}, nil)
			c := &rawConn{far, bufio.NewReader(far)}
			asWanted := 0
			for range 10 { // the read begins before its call in some of them
				c.post("Hook", "{}")
				if r := c.response(t); r.StatusCode != 200 {
					t.Errorf("status %d", r.StatusCode)
				}
				if beside == test.beside {
					asWanted++
				}
			}
			if asWanted == 0 {
				t.Errorf("in none of ten calls of %s is the socket read %d times", test.takes, test.beside)
			}
			_ = far.Close()
		})
	}
}

// oneConn is a listener that accepts one connection.
type oneConn struct {
	conn   net.Conn
	once   sync.Once
	closed sync.Once
	done   chan struct{}
}

func (l *oneConn) Accept() (c net.Conn, err error) {
	if l.once.Do(func() { c = l.conn }); c == nil {
		<-l.done
		err = net.ErrClosed
	}
	return c, err
}

func (l *oneConn) Close() error {
	l.closed.Do(func() { close(l.done) })
	return nil
}

func (l *oneConn) Addr() net.Addr { return l.conn.LocalAddr() }
