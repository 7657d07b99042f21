package gateway

import (
	"errors"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// deadlineCounter counts the deadlines that are set on a connection.
type deadlineCounter struct {
	net.Conn
	reads, writes atomic.Int64
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
