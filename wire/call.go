package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// Call is a call that is being served, and its context. It is done at its deadline, when the peer disconnects or cancels, when
// the server closes the connection, and after the call has been handled. A Server uses it again when Handle has returned; Keep
// returns a context that may be kept.
type Call struct {
	from    *origin
	arrived time.Time
	values  context.Context //nolint:containedctx // the parent, for its values and its deadline
	detach  func() bool     // stops waiting for the end of values; nil if nothing waits

	mu       sync.Mutex
	use      uint64 // counts the calls that it has been
	charged  int64
	answerer answerer
	deadline time.Time // the earliest ExpireAt; zero: none
	expirer  Expirer
	timer    *time.Timer
	young    bool     // the watch starts the timer, if the call lasts
	kept     *Context // nil: not needed so far
	err      error
	answered bool
	settled  bool          // the deadline no longer ends the call
	expiring chan struct{} // closed when the early answer has been given; nil if none was begun
	returned bool          // Handle has returned: nothing more is charged
}

// origin is what all calls over a connection share.
type origin struct {
	transport  string
	peer       netip.Addr
	host       string
	share      *Share // of the connection; nil when nothing is charged
	maxDecoded int

	certificate *x509.Certificate // of the peer; nil if it has none that was verified
}

// answerer answers a call whose deadline passes before its handler has returned.
type answerer interface {
	answerExpired(*code.Error)
}

// Expirer is told when the deadline of a call has passed.
type Expirer interface {
	// Expired returns the error to answer with.
	Expired() *code.Error
}

// ExpirerFunc is an adapter to use a function as an Expirer.
type ExpirerFunc func() *code.Error

// Expired calls f.
func (f ExpirerFunc) Expired() *code.Error { return f() }

// CallOptions describe the origin of a call.
type CallOptions struct {
	Transport string     // TransportRPCX or TransportHTTP
	Peer      netip.Addr // address of the peer
	Host      string     // name of this host, for the errors of Charge
	Share     *Share     // charged by Charge; may be nil
	// MaxDecodedBytes limits what decoding the argument may allocate; see Decoding.MaxBytes.
	MaxDecodedBytes int
	// Certificate is the verified certificate of the peer; may be nil. See PeerCertificate.
	Certificate *x509.Certificate
}

func (o *CallOptions) origin() origin {
	return origin{
		transport: o.Transport, peer: o.Peer, host: o.Host, share: o.Share, maxDecoded: o.MaxDecodedBytes, certificate: o.Certificate,
	}
}

// NewCall returns the context of a call that did not arrive through a server, such as one from a test or from the same
// process. It is done when parent is. The caller must call End.
func NewCall(parent context.Context, o CallOptions) *Call {
	own := &struct {
		Call
		origin
	}{origin: o.origin()}
	c := &own.Call
	c.from, c.arrived, c.values = &own.origin, time.Now(), parent
	if parent.Done() != nil {
		c.detach = context.AfterFunc(parent, func() { c.cancel(parent.Err()) })
	}
	return c
}

type callKey struct{}

// CallFrom returns the Call that ctx is or is derived from, or nil.
func CallFrom(ctx context.Context) *Call {
	if c, ok := ctx.(*Call); ok {
		return c
	}
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}

// The transports of calls. They are also the names of the protocols of a listener, and labels of metrics.
const (
	TransportRPCX = "rpcx"
	TransportHTTP = "http"
)

// Transport returns the transport over which the call arrived.
func (c *Call) Transport() string { return c.from.transport }

// Peer returns the address of the peer; the zero Addr if it has none.
func (c *Call) Peer() netip.Addr { return c.from.peer }

// Certificate returns the certificate of the peer, which the TLS handshake has verified; nil if it has none.
func (c *Call) Certificate() *x509.Certificate { return c.from.certificate }

// PeerCertificate returns the certificate of the peer of a TLS connection if it was verified, and nil for other connections.
func PeerCertificate(c net.Conn) *x509.Certificate {
	secure, ok := c.(interface{ ConnectionState() tls.ConnectionState })
	if !ok {
		return nil
	}
	if s := secure.ConnectionState(); len(s.VerifiedChains) > 0 {
		return s.VerifiedChains[0][0]
	}
	return nil
}

// Decoding returns the Decoding for the argument of the call, with the limit of its listener and charged to the call.
func (c *Call) Decoding() Decoding { return Decoding{MaxBytes: c.from.maxDecoded, Account: c} }

// Arrived returns the time when the last byte of the call was read.
func (c *Call) Arrived() time.Time { return c.arrived }

// Charge takes bytes from the host's budget until End, for memory that the call uses. It fails with UNAVAILABLE/overloaded
// when the budget has too few. Calls without a Share are not charged.
func (c *Call) Charge(bytes int) error {
	share := c.from.share
	if share == nil {
		return nil
	}
	if !share.AcquireBytes(int64(bytes)) { // without the lock: it may close connections, even this one
		return share.budget.Refuse(c.from.host)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.returned {
		share.ReleaseBytes(int64(bytes))
		return nil
	}
	c.charged += int64(bytes)
	return nil
}

// Free implements Account.
func (c *Call) Free() int {
	if c.from.share == nil {
		return minWalk
	}
	return int(c.from.share.budget.free.Load())
}

// Deadline returns the earliest of the times given to ExpireAt and the parent's deadline.
func (c *Call) Deadline() (time.Time, bool) {
	c.mu.Lock()
	d := c.deadline
	c.mu.Unlock()
	return deadlineWithin(c.values, d)
}

// Keep returns the context of the call, which may be kept when the call is over. It is x, unless there is one already.
func (c *Call) Keep(x *Context) *Context {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.keep(x)
}

// keep needs c.mu.
func (c *Call) keep(x *Context) *Context {
	if c.kept == nil {
		if x == nil {
			x = new(Context)
		}
		x.parent, x.call, x.deadline, x.err = c.values, c, c.deadline, c.err
		c.kept = x
	}
	return c.kept
}

// Done implements context.Context.
func (c *Call) Done() <-chan struct{} { return c.Keep(nil).Done() }

// Err implements context.Context.
func (c *Call) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Value implements context.Context.
func (c *Call) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return c
	}
	return c.values.Value(key)
}

// AfterFunc arranges to call f in its own goroutine when the call ends. Package context uses it, so that contexts derived
// from a call need no goroutine.
func (c *Call) AfterFunc(f func()) (stop func() bool) { return c.Keep(nil).AfterFunc(f) }

// End must be called when the call has been handled. It stops timers, ends the context and releases what was charged.
func (c *Call) End() { c.finish() }

// finish ends the call and reports whether it had not been answered.
func (c *Call) finish() (answer bool) {
	c.mu.Lock()
	answer = !c.answered
	c.answered = true
	c.end(context.Canceled)
	if c.charged > 0 {
		c.from.share.ReleaseBytes(c.charged)
		c.charged = 0
	}
	c.returned = true
	if c.kept != nil {
		c.kept.leave()
	}
	c.mu.Unlock()
	if c.detach != nil {
		c.detach()
	}
	return answer
}

// reset prepares a call that is over for another use.
func (c *Call) reset() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.values == nil {
		return // not used
	}
	c.from, c.values, c.detach, c.answerer, c.deadline, c.kept, c.err, c.expiring = nil, nil, nil, nil, time.Time{}, nil, nil, nil
	c.answered, c.settled, c.returned = false, false, false
	c.use++
}

// cancel ends the context, but leaves the answer to the handler.
func (c *Call) cancel(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(err)
}

// end needs c.mu. Only the first error counts.
func (c *Call) end(err error) {
	if c.timer != nil {
		c.timer.Stop()
		c.timer = nil
	}
	c.expirer = nil
	if c.answered {
		c.answerer = nil
	}
	if c.err != nil {
		return
	}
	c.err = err
	if c.kept != nil {
		c.kept.end(err)
	}
}

// ExpireAt ends the call at t. If it has not been answered by then, the error that e returns is sent at once, the context
// ends with context.DeadlineExceeded, and what the handler returns later is dropped. The call still counts as in flight, and
// its frames stay with the handler, until Handle returns. Of several times the earliest counts. A t in the past takes effect at
// once.
func (c *Call) ExpireAt(t time.Time, e Expirer) {
	left := time.Until(t)
	c.mu.Lock()
	if c.err != nil || c.answered || c.settled || !c.deadline.IsZero() && !t.Before(c.deadline) {
		c.mu.Unlock()
		return
	}
	c.deadline, c.expirer = t, e
	if c.kept != nil {
		c.kept.setDeadline(t)
	}
	use := c.use
	if left <= 0 {
		c.mu.Unlock()
		c.expire(use)
		return
	}
	defer c.mu.Unlock()
	if !c.young || left < minYoung {
		c.arm(left)
	}
}

// minYoung is the time to a deadline below which a call that is watched needs a timer from the beginning.
const minYoung = 4 * watchTick

// arm starts the timer. It needs c.mu.
func (c *Call) arm(d time.Duration) {
	c.young = false
	if c.timer != nil {
		c.timer.Stop()
	}
	use := c.use
	c.timer = time.AfterFunc(d, func() { c.expire(use) })
}

// outlasts is called when the call is no longer watched.
func (c *Call) outlasts() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.young && !c.deadline.IsZero() && c.err == nil && !c.answered {
		c.arm(time.Until(c.deadline))
	}
	c.young = false
}

// expire answers the call and ends it, if it is still the one that use counts.
func (c *Call) expire(use uint64) {
	c.mu.Lock()
	if c.use != use || c.err != nil || c.answered || c.settled {
		c.mu.Unlock()
		return
	}
	answered := make(chan struct{})
	c.answered, c.expiring = true, answered
	answerer, expirer := c.answerer, c.expirer
	c.mu.Unlock()
	defer close(answered)
	if answerer != nil {
		answerer.answerExpired(expirer.Expired())
	} else {
		_ = expirer.Expired() // called for its side effects: guards release what they hold
	}
	c.cancel(context.DeadlineExceeded)
}

// Settle keeps the deadline from ending the call, and reports whether it does not end it already: then Expired is not called
// any more.
func (c *Call) Settle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.expiring != nil {
		return false
	}
	c.settled = true
	return true
}

// awaitExpiry waits until a call that is expiring has been answered.
func (c *Call) awaitExpiry() {
	c.mu.Lock()
	answered := c.expiring
	c.mu.Unlock()
	if answered != nil {
		<-answered
	}
}
