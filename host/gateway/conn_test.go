package gateway

import (
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// over is a connection of a server, and its peer's end.
func over(t *testing.T, s *Server) (*conn, net.Conn) {
	t.Helper()
	near, far := net.Pipe()
	c := newConn(near, s, true)
	t.Cleanup(func() {
		_ = c.Close()
		_ = far.Close()
	})
	return c, far
}

// A slow line is no silent one.
func TestAPeerIsSilentWhenItTakesNoByteForTheWriteTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewServer(ServerOptions{})
		c, far := over(t, s)
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
		n, err := c.Write(make([]byte, 100))
		if took := time.Since(begin); n != 20 || !errors.Is(err, os.ErrDeadlineExceeded) || took < 189*time.Second || took > 200*time.Second {
			t.Errorf("%d bytes in %s: %v", n, took, err)
		}
		if waiting, taken := c.Untaken(); waiting != 0 || taken != 20 {
			t.Errorf("waiting %d, taken %d", waiting, taken)
		}
	})
}

// A request that is on its way when the idle time is up is read all the same.
func TestAnIdleConnectionIsLookedAtOnceMore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, idle := range []bool{true, false} {
			c, far := over(t, NewServer(ServerOptions{}))
			c.idle.Store(idle)
			_ = c.SetReadDeadline(time.Now().Add(time.Second))
			var late sync.WaitGroup
			late.Go(func() {
				time.Sleep(time.Second + lastLook/2)
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

func TestAnIdleConnectionThatNobodyUsesIsClosedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := over(t, NewServer(ServerOptions{}))
		c.server.state(c, http.StateIdle)
		_ = c.SetReadDeadline(time.Now().Add(time.Second))
		begin := time.Now()
		if _, err := c.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || time.Since(begin) != time.Second+lastLook {
			t.Errorf("%v after %s", err, time.Since(begin))
		}
	})
}
