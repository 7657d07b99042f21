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

const (
	// lastLook is how long an idle connection whose time is up is looked at once more: a request may be on its way.
	lastLook = time.Millisecond
	// writeLook is how often a write that waits for the peer notes what the peer has taken.
	writeLook = 500 * time.Millisecond
	// tlsRecord is how much TLS writes at once: the least that can be seen to be taken.
	tlsRecord = 16 << 10
)

// conn is a connection of a Server. It sees all that its peer sends before net/http does.
type conn struct {
	net.Conn
	server   *Server
	loopback bool // of the listener: only this machine can have connected
	opened   time.Time
	share    *wire.Share

	idleTimeout time.Duration

	messages  framing                // of HTTP/1
	frames    atomic.Pointer[frames] // of HTTP/2; nil: it is not that
	requested atomic.Bool            // a request has begun
	idle      atomic.Bool            // between two requests
	idleSince atomic.Int64           // in nanoseconds since 1970
	resting   atomic.Bool            // it has just become idle
	calls     atomic.Int64           // that hold places of the budget
	proven    atomic.Bool            // a call of it has ended
	entering  atomic.Bool            // a request waits for the place of a call
	leaving   atomic.Bool            // net/http is to read that the peer makes no more requests
	ahead     []byte                 // what it reads; belongs to the reader
	told      bool                   // the same: it has begun to read that
	woken     bool                   // the same: after it was told

	fragile bool         // a write that times out breaks the connection, as it does with TLS
	writeBy atomic.Int64 // in nanoseconds since 1970; 0 for no deadline
	waiting atomic.Int64 // bytes of answers
	taken   atomic.Int64 // of them, by the peer
	answers answers      // of HTTP/2; belongs to the writer
	seen    int64        // of taken; guarded by the server's mutex
	seenAt  time.Time    // the same
	closing sync.Once
	closed  chan struct{}
}

func newConn(nc net.Conn, s *Server, loopback bool) *conn {
	c := &conn{Conn: nc, server: s, loopback: loopback, opened: time.Now(), closed: make(chan struct{})}
	c.idleTimeout = time.Duration(s.idleTimeout.Load())
	_, c.fragile = nc.(interface{ Handshake() error }) // *tls.Conn
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

// idleFor returns how long a connection has been idle that is so now.
func (c *conn) idleFor(now time.Time) time.Duration { return now.Sub(time.Unix(0, c.idleSince.Load())) }

// SetReadDeadline sets a deadline of net/http. Without an idle timeout, which would be the same for all connections, it has
// none for one of HTTP/1 that becomes idle.
func (c *conn) SetReadDeadline(t time.Time) error {
	if c.resting.Swap(false) && t.IsZero() && c.frames.Load() == nil {
		t = time.Now().Add(c.idleTimeout)
	}
	return c.Conn.SetReadDeadline(t)
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
	if len(c.ahead) > 0 || c.goAway(f) {
		return c.readAhead(b)
	}
	n, err := c.Conn.Read(b)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		if c.goAway(f) {
			return c.readAhead(b)
		}
		if c.told && !c.woken { // by leave, which was late: net/http knows
			c.woken = true
			_ = c.Conn.SetReadDeadline(time.Time{})
			n, err = c.Conn.Read(b)
		}
	}
	count := f.watch(b[:n])
	f.allowance.earn(n)
	c.pause(f.allowance.take(count), f)
	return n, err
}

func (c *conn) readAhead(b []byte) (int, error) {
	n := copy(b, c.ahead)
	c.ahead = c.ahead[n:]
	return n, nil
}

// goAway has net/http read, between two frames, that the peer makes no more requests: it says so in its turn, finishes
// what has begun, and closes. It reports whether that is to be read now.
func (c *conn) goAway(f *frames) bool {
	if !c.leaving.Load() || c.told || !f.between() {
		return false
	}
	c.told, c.ahead = true, frameGoAway
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

// SetWriteDeadline sets when the peer is given up, unless it takes a byte before.
func (c *conn) SetWriteDeadline(t time.Time) error {
	if t.IsZero() {
		c.writeBy.Store(0)
		return c.Conn.SetWriteDeadline(t)
	}
	c.writeBy.Store(t.UnixNano())
	return c.Conn.SetWriteDeadline(c.nextLook(t))
}

// nextLook is when to see what of a write the peer has taken.
func (c *conn) nextLook(by time.Time) time.Time {
	if look := time.Now().Add(writeLook); !c.fragile && look.Before(by) {
		return look
	}
	return by
}

// Write writes to the peer. A deadline that passes while the peer takes bytes, however slowly, begins anew.
func (c *conn) Write(b []byte) (n int, err error) {
	step := len(b)
	if c.fragile {
		step = tlsRecord
	}
	second := c.frames.Load()
	for {
		var m int
		m, err = c.Conn.Write(b[n:min(len(b), n+step)])
		c.took(b[n:n+m], second != nil)
		n += m
		if n == len(b) || err != nil && (c.fragile || !errors.Is(err, os.ErrDeadlineExceeded)) || !c.mayGoOn(m) {
			break
		}
	}
	if second != nil {
		second.allowance.earn(n)
	}
	return n, err
}

// took notes what of the bytes that the peer has just taken is of answers. What net/http sends for frames that are no
// requests is not, or a peer could look as if it took its answers by sending PING.
func (c *conn) took(b []byte, second bool) {
	n := len(b)
	if second {
		n = c.answers.watch(b)
	}
	c.taken.Add(int64(n))
}

// mayGoOn reports whether a write of which the peer has just taken n bytes has more time, and sets its next deadline.
func (c *conn) mayGoOn(n int) bool {
	set := c.writeBy.Load()
	if set == 0 {
		return true
	}
	now, by := time.Now(), time.Unix(0, set)
	if n > 0 {
		if later := now.Add(c.server.limits.WriteTimeout); later.After(by) && c.writeBy.CompareAndSwap(set, later.UnixNano()) {
			by = later
		}
	}
	if !now.Before(by) {
		return false
	}
	_ = c.Conn.SetWriteDeadline(c.nextLook(by))
	return true
}

// Untaken returns what the peer has not taken and has taken of the answers. It and CutSlow make conn a wire.Holder.
func (c *conn) Untaken() (waiting, taken int64) { return c.waiting.Load(), c.taken.Load() }

// silent reports whether the peer has taken nothing of its answers for the write timeout. It needs the server's mutex.
func (c *conn) silent(now time.Time) bool {
	waiting, taken := c.Untaken()
	if waiting == 0 || taken != c.seen {
		c.seen, c.seenAt = taken, now
	}
	return now.Sub(c.seenAt) > c.server.limits.WriteTimeout
}

// CutSlow closes the connection of a peer that takes no answers.
func (c *conn) CutSlow() { _ = c.Conn.Close() }

// soon waits a moment for the place of a call. One request of a connection does, and none of a new one: a flood would be
// held here.
func (c *conn) soon(try func() bool) bool {
	if !c.proven.Load() || !c.entering.CompareAndSwap(false, true) {
		return false
	}
	defer c.entering.Store(false)
	return wire.RetryBriefly(try)
}

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
