package gateway

import (
	"context"
	"errors"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// lastLook is how long an idle connection whose time is up is looked at once more: a request may be on its way.
const lastLook = time.Millisecond

// conn is a connection of a Server. It sees all that its peer sends before net/http does.
type conn struct {
	net.Conn
	server   *Server
	loopback bool // of the listener: only this machine can have connected
	opened   time.Time
	share    *wire.Share

	messages  framing                // of HTTP/1
	frames    atomic.Pointer[frames] // of HTTP/2; nil: it is not that
	requested atomic.Bool            // a request has begun
	idle      atomic.Bool            // between two requests, or before the first
	leaving   atomic.Bool            // net/http is to be told that the peer leaves
	ahead     []byte                 // what it is told with; belongs to the reader
	told      bool                   // the same

	waiting, taken atomic.Int64 // bytes of answers
	closing        sync.Once
	closed         chan struct{}
}

func newConn(nc net.Conn, s *Server, loopback bool) *conn {
	c := &conn{Conn: nc, server: s, loopback: loopback, opened: time.Now(), closed: make(chan struct{})}
	c.share = s.budget.NewShare(c)
	return c
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// connOf is the connection of a request; nil when it did not come through a Server.
func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

// Read reads what the peer sends.
func (c *conn) Read(b []byte) (int, error) {
	if f := c.frames.Load(); f != nil {
		return c.readFrames(f, b)
	}
	n, err := c.Conn.Read(b)
	if n == 0 && c.idle.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		_ = c.Conn.SetReadDeadline(time.Now().Add(lastLook))
		n, err = c.Conn.Read(b)
	}
	if behind, second := c.messages.watch(b[:n]); second {
		f := newFrames()
		f.watch(b[n-behind : n])
		c.frames.Store(f)
		c.server.follow(c)
	}
	return n, err
}

// readFrames reads what a peer of HTTP/2 sends, as fast as that may come.
func (c *conn) readFrames(f *frames, b []byte) (int, error) {
	if len(c.ahead) == 0 && !c.farewell(f) {
		n, err := c.Conn.Read(b)
		if err == nil || !errors.Is(err, os.ErrDeadlineExceeded) || !c.farewell(f) {
			count := f.watch(b[:n])
			f.allowance.earn(n)
			c.pause(f.allowance.take(count), f)
			return n, err
		}
	}
	n := copy(b, c.ahead)
	c.ahead = c.ahead[n:]
	return n, nil
}

// farewell has net/http told, between two frames, that the peer makes no more requests: it says so in its turn, finishes
// what has begun, and closes. It reports whether that is to be read now.
func (c *conn) farewell(f *frames) bool {
	if !c.leaving.Load() || c.told || !f.between() {
		return false
	}
	c.told, c.ahead = true, goAway
	_ = c.Conn.SetReadDeadline(time.Time{})
	return true
}

// leave ends a connection of HTTP/2 as soon as nothing is in flight on it.
func (c *conn) leave() {
	if !c.leaving.Swap(true) {
		_ = c.Conn.SetReadDeadline(time.Unix(1, 0)) // wakes the reader
	}
}

// pause holds the reader up until the peer may send its next frame.
func (c *conn) pause(d time.Duration, f *frames) {
	for ; d > 0; d = f.allowance.take(0) {
		timer := time.NewTimer(d)
		select {
		case <-timer.C:
		case <-c.closed:
			timer.Stop()
			return
		}
	}
}

// Write writes to the peer. A deadline that passes while the peer takes bytes, however slowly, begins anew.
func (c *conn) Write(b []byte) (int, error) {
	total := 0
	for {
		n, err := c.Conn.Write(b)
		c.taken.Add(int64(n))
		if total += n; n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			if f := c.frames.Load(); f != nil {
				f.allowance.earn(total)
			}
			return total, err
		}
		b = b[n:]
		_ = c.Conn.SetWriteDeadline(time.Now().Add(c.server.limits.WriteTimeout))
	}
}

// Untaken returns what the peer has not taken and has taken of the answers. It and CutSlow make conn a wire.Holder.
func (c *conn) Untaken() (waiting, taken int64) { return c.waiting.Load(), c.taken.Load() }

// CutSlow closes the connection of a peer that takes no answers.
func (c *conn) CutSlow() { _ = c.Conn.Close() }

// Close closes the connection. What is in flight on it gives back by itself what it has of the budget.
func (c *conn) Close() error {
	c.closing.Do(func() {
		close(c.closed)
		c.share.Close()
		c.server.forget(c)
	})
	return c.Conn.Close()
}

// CloseWrite closes the sending side, when the connection has sides.
func (c *conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return net.ErrClosed
	}
	return half.CloseWrite()
}

// endsAfter reports whether a connection of HTTP/1 must end behind the answer to r: its framing is such that a proxy in
// front may see another request in it (RFC 9112, 6.1).
func endsAfter(r *http.Request) bool {
	if r.ProtoMajor != 1 {
		return false
	}
	c := connOf(r.Context())
	if c == nil {
		return len(r.TransferEncoding) > 0 // net/http does not tell which of those have a length too
	}
	return c.messages.unclear.Load() || r.ProtoMinor == 0 && c.messages.encoded.Load()
}
