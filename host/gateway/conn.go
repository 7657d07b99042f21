package gateway

import (
	"context"
	"crypto/x509"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire"
)

const (
	// idleGrace is how long an expired idle connection is still read: a request may be on its way.
	idleGrace = 10 * time.Millisecond
	// writeCheckInterval is how often a blocked write checks how much the peer has taken.
	writeCheckInterval = 500 * time.Millisecond
	// tlsRecord is how much TLS writes at once, the smallest observable progress.
	tlsRecord = 16 << 10
)

// conn is a connection of a Server. It sees all bytes of its peer before net/http does.
type conn struct {
	net.Conn
	connOptions
	opened time.Time
	peer   netip.Addr        // the zero Addr if it has none
	proof  *x509.Certificate // of the peer, if it was verified
	share  *wire.Share

	leaves       retirement
	messages     framing                // of HTTP/1
	served       int64                  // requests of HTTP/1 so far; used by the goroutine that serves the connection only
	unread       []byte                 // what net/http had read ahead before serveOn; used by the reader only
	resumed      bool                   // nothing has been read since serveOn; used by the reader only
	frames       atomic.Pointer[frames] // of HTTP/2; nil: HTTP/1
	requested    atomic.Bool            // a request has begun
	idle         atomic.Bool            // between two requests
	idleSince    atomic.Int64           // an instant
	becameIdle   atomic.Bool            // it has just become idle
	calls        atomic.Int64           // in flight, in the budget
	hasAnswered  atomic.Bool            // one of its calls has ended
	waitsForRoom atomic.Bool            // a request waits for the budget
	goingAway    atomic.Bool            // net/http has to read a GOAWAY
	injected     []byte                 // unread rest of the GOAWAY; used by the reader only
	goAwayRead   bool                   // net/http has begun to read the GOAWAY; used by the reader only
	woken        bool                   // the reader was woken after that; used by the reader only

	reads      readDeadline
	readOn     func()       // reads.release
	fragile    bool         // a write that times out breaks the connection, as with TLS
	writeBy    atomic.Int64 // an instant; 0 for no deadline
	writeCheck atomic.Int64 // the deadline of the socket, which may be earlier; the same
	waiting    atomic.Int64 // bytes of responses
	taken      atomic.Int64 // of them, by the peer
	answers    answers      // of HTTP/2; used by the writer only
	seen       int64        // of taken; guarded by the server's mutex
	seenAt     time.Time    // the same
	closing    sync.Once
	closed     chan struct{}
}

// errFlood ends a connection whose peer sends too many frames. The peer may be gone, and the frames that wait in the socket would
// keep its calls in flight for minutes.
var errFlood = errors.New("too many HTTP/2 frames")

// connOptions are the settings that a Server gives its connections.
type connOptions struct {
	owner        connOwner
	transfers    *transfers
	watch        *wire.Watch
	loopback     bool // only this machine can connect to the listener
	idleTimeout  time.Duration
	writeTimeout time.Duration
	maxAge       time.Duration // 0: none
}

// connOwner tracks its connections, and those of them that have changed their goroutine.
type connOwner interface {
	untrack(c *conn) // c was closed
	resume(c *conn)  // c has been taken from net/http, to be served by another goroutine
	resumed(c *conn) // after that, bytes of a request have arrived
}

var _ wire.Holder = (*conn)(nil)

func newConn(nc net.Conn, b *wire.Budget, o connOptions) *conn {
	c := &conn{Conn: nc, connOptions: o, opened: time.Now(), closed: make(chan struct{})}
	if a := nc.RemoteAddr(); a != nil {
		c.peer = parseHop(a.String())
	}
	c.proof = wire.PeerCertificate(nc)
	_, c.fragile = nc.(interface{ Handshake() error }) // *tls.Conn
	c.share, c.readOn = b.NewShare(c), c.reads.release
	return c
}

type connKey struct{}

func withConn(ctx context.Context, c net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

// connOf returns the connection of a request; nil if it did not come through a Server.
func connOf(ctx context.Context) *conn {
	c, _ := ctx.Value(connKey{}).(*conn)
	return c
}

// PeerCertificate returns the verified certificate of the peer that has sent a request through a Server; nil if it has none.
func PeerCertificate(r *http.Request) *x509.Certificate {
	if c := connOf(r.Context()); c != nil {
		return c.proof
	}
	return nil
}

// idleFor returns how long an idle connection has been idle.
func (c *conn) idleFor(now time.Time) time.Duration { return now.Sub(timeOf(c.idleSince.Load())) }

// SetReadDeadline sets a deadline of net/http, or, when an HTTP/1 connection becomes idle, its own idle timeout: net/http
// has only one for all connections.
func (c *conn) SetReadDeadline(t time.Time) error {
	if c.becameIdle.Swap(false) && (t.IsZero() || c.resumed) && c.frames.Load() == nil {
		return c.reads.rest(c.Conn, time.Now().Add(c.idleTimeout))
	}
	return c.reads.move(c.Conn, t)
}

// SetDeadline sets both deadlines.
func (c *conn) SetDeadline(t time.Time) error {
	return errors.Join(c.SetReadDeadline(t), c.SetWriteDeadline(t))
}

// Read reads from the peer.
func (c *conn) Read(b []byte) (int, error) {
	if f := c.frames.Load(); f != nil {
		return c.readFrames(f, b)
	}
	if len(c.unread) > 0 {
		n := copy(b, c.unread)
		c.unread = c.unread[n:]
		return n, nil
	}
	n, err := c.reads.read(c.Conn, b)
	if n == 0 && c.idle.Load() && errors.Is(err, os.ErrDeadlineExceeded) {
		_ = c.reads.rest(c.Conn, time.Now().Add(idleGrace))
		n, err = c.reads.read(c.Conn, b)
	}
	if n > 0 && c.resumed {
		c.resumed = false
		c.owner.resumed(c)
		_ = c.reads.move(c.Conn, time.Now().Add(headerTimeout))
	}
	if behind, second := c.messages.watch(b[:n]); second {
		f := newFrames()
		f.watch(b[n-behind : n])
		c.frames.Store(f)
	}
	return n, err
}

// readFrames reads from an HTTP/2 peer, no faster than its allowance, and nothing once Close has ended a pause.
func (c *conn) readFrames(f *frames, b []byte) (int, error) {
	select {
	case <-c.closed:
		return 0, net.ErrClosed
	default:
	}
	if len(c.injected) > 0 || c.goAway(f) {
		return c.readInjected(b)
	}
	n, err := c.reads.read(c.Conn, b)
	if n == 0 && errors.Is(err, os.ErrDeadlineExceeded) {
		if c.goAway(f) {
			return c.readInjected(b)
		}
		if c.goAwayRead && !c.woken { // drain came late: net/http has the GOAWAY
			c.woken = true
			_ = c.reads.move(c.Conn, time.Time{})
			n, err = c.reads.read(c.Conn, b)
		}
	}
	count := f.watch(b[:n])
	f.allowance.earn(n)
	c.pause(f.allowance.take(count), f)
	if f.allowance.exceeded() {
		return 0, errFlood
	}
	return n, err
}

func (c *conn) readInjected(b []byte) (int, error) {
	n := copy(b, c.injected)
	c.injected = c.injected[n:]
	return n, nil
}

// goAway injects a GOAWAY between two frames, as if the peer had sent it: net/http replies with its own, finishes the open
// streams, and closes. It reports whether the GOAWAY is to be read now.
func (c *conn) goAway(f *frames) bool {
	if !c.goingAway.Load() || c.goAwayRead || !f.between() {
		return false
	}
	c.goAwayRead, c.injected = true, frameGoAway
	_ = c.reads.move(c.Conn, time.Time{})
	return true
}

// drain closes an HTTP/2 connection once nothing is in flight on it.
func (c *conn) drain() {
	if !c.goingAway.Swap(true) {
		_ = c.reads.move(c.Conn, time.Unix(1, 0)) // wakes the reader
	}
}

// pause delays the reader until the peer may send its next frame.
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

// SetWriteDeadline sets when a write fails, unless the peer takes a byte before. The socket's deadline is left if it is earlier:
// Write moves it once it has passed.
func (c *conn) SetWriteDeadline(t time.Time) error {
	by, check := int64(0), c.writeCheck.Load()
	if !t.IsZero() {
		by = instant(t)
	}
	c.writeBy.Store(by)
	if !c.fragile && check != 0 && (by == 0 || check <= by) {
		return nil
	}
	return c.setWriteCheck(t)
}

// setWriteCheck sets the deadline of the socket for a write until by: when to check how much of it the peer has taken.
func (c *conn) setWriteCheck(by time.Time) error {
	if by.IsZero() {
		c.writeCheck.Store(0)
		return c.Conn.SetWriteDeadline(by)
	}
	if look := time.Now().Add(writeCheckInterval); !c.fragile && look.Before(by) {
		by = look
	}
	c.writeCheck.Store(instant(by))
	return c.Conn.SetWriteDeadline(by)
}

// Write writes to the peer. The deadline starts again as long as the peer takes bytes, however slowly.
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
		if n == len(b) || err != nil && (c.fragile || !errors.Is(err, os.ErrDeadlineExceeded)) || !c.mayContinue(m) {
			break
		}
	}
	if second != nil {
		second.allowance.earn(n)
	}
	return n, err
}

// took counts the bytes of responses among those the peer has just taken. Other frames do not count, or a peer could appear
// to read its responses by sending PING.
func (c *conn) took(b []byte, second bool) {
	n := len(b)
	if second {
		n = c.answers.watch(b)
	}
	c.taken.Add(int64(n))
}

// mayContinue reports whether a write, of which the peer has just taken n bytes, may continue, and sets its next deadline.
func (c *conn) mayContinue(n int) bool {
	set := c.writeBy.Load()
	if set == 0 {
		return c.writeCheck.Load() == 0 || c.setWriteCheck(time.Time{}) == nil
	}
	now, by := time.Now(), timeOf(set)
	if n > 0 {
		if later := now.Add(c.writeTimeout); later.After(by) && c.writeBy.CompareAndSwap(set, instant(later)) {
			by = later
		}
	}
	if !now.Before(by) {
		return false
	}
	return c.setWriteCheck(by) == nil
}

// Progress implements wire.Holder.
func (c *conn) Progress() (waiting, taken int64) { return c.waiting.Load(), c.taken.Load() }

// silent reports whether the peer has taken nothing of its responses for the write timeout. The caller holds the server's
// mutex.
func (c *conn) silent(now time.Time) bool {
	waiting, taken := c.Progress()
	if waiting == 0 || taken != c.seen {
		c.seen, c.seenAt = taken, now
	}
	return now.Sub(c.seenAt) > c.writeTimeout
}

// Abort implements wire.Holder.
func (c *conn) Abort() { _ = c.Conn.Close() }

// retry repeats try for a moment, until it succeeds. Only one request of a connection may do so, and none of a new
// connection, or a flood would pile up here.
func (c *conn) retry(try func() bool) bool {
	if !c.hasAnswered.Load() || !c.waitsForRoom.CompareAndSwap(false, true) {
		return false
	}
	defer c.waitsForRoom.Store(false)
	return wire.RetryBriefly(try)
}

// Close closes the connection. Calls in flight release their share of the budget by themselves.
func (c *conn) Close() error {
	c.closing.Do(func() {
		close(c.closed)
		c.reads.release()
		c.share.Close()
		c.owner.untrack(c)
	})
	return c.Conn.Close()
}

// CloseWrite closes the sending side, if the connection supports that.
func (c *conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return net.ErrClosed
	}
	return half.CloseWrite()
}

// serveOn sends what has been written to w and then serves the connection on another goroutine: that of net/http runs a handler
// whose call has been answered.
func (c *conn) serveOn(w http.ResponseWriter) {
	control := http.NewResponseController(w)
	errWrite := control.Flush()
	_, ahead, err := control.Hijack()
	if errWrite != nil || err != nil {
		_ = c.Close()
		return
	}
	c.unread, _ = ahead.Reader.Peek(ahead.Reader.Buffered())
	c.resumed = len(c.unread) == 0
	c.owner.resume(c)
}

// mayServeOn reports whether serveOn works for a request, which has been read: net/http would not close the connection after
// the response, and has not read the next request either.
func (c *conn) mayServeOn(w http.ResponseWriter, r *http.Request) bool {
	if !r.ProtoAtLeast(1, 1) || r.ProtoMajor != 1 || r.Close || w.Header()["Connection"] != nil || c.messages.begun(c.served) ||
		c.frames.Load() != nil { // the preface of HTTP/2 is behind the request, and not a request
		return false
	}
	asked := r.Header["Connection"]
	return len(asked) == 0 || len(asked) == 1 && strings.EqualFold(asked[0], "keep-alive")
}

// hasArrived reports whether an HTTP/1 request with a body has been read from the peer in full. Call it before net/http reads the
// body.
func (c *conn) hasArrived() bool { return c.frames.Load() == nil && c.messages.whole() }

// endsAfter reports whether an HTTP/1 connection must end after the response to r, because a proxy in front may see another
// request in its framing (RFC 9112, 6.1).
func endsAfter(c *conn, r *http.Request) bool {
	if r.ProtoMajor != 1 {
		return false
	}
	if c == nil {
		return len(r.TransferEncoding) > 0 // net/http does not report which of these have a length too
	}
	return c.messages.unclear.Load() || r.ProtoMinor == 0 && c.messages.encoded.Load()
}
