package wire

import (
	"context"
	"net/netip"
	"sync"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// Call is the context of a call that is being served. It implements context.Context and ends at its deadline, when the peer
// disconnects, when the server is cut and when the call has been handled. It may be kept after Handle returned.
type Call struct {
	from    *origin
	arrived time.Time
	values  context.Context //nolint:containedctx // a context has a parent: for its values and its deadline; its end is followed by detach
	detach  func() bool     // stops following values; nil if it is not followed

	mu       sync.Mutex
	charged  int64
	answerer answerer
	deadline time.Time // the earliest ExpireAt; zero for none
	onExpire func() *code.Error
	timer    *callTimer
	done     chan struct{} // made by the first Done
	err      error
	answered bool
	expiring chan struct{} // closed when expire has answered; nil before
	returned bool          // Handle has returned: nothing is charged any more
	after    map[*afterFunc]struct{}
}

// origin is what the calls over one connection have in common.
type origin struct {
	transport  string
	peer       netip.Addr
	host       string
	share      *Share // of the connection; nil when nothing is charged
	maxDecoded int
}

// answerer answers a call whose deadline passes before its handler returned.
type answerer interface {
	answerExpired(*code.Error)
}

type answerFunc func(*code.Error)

func (f answerFunc) answerExpired(e *code.Error) { f(e) }

type afterFunc struct{ run func() }

// CallOptions describe where a call came from.
type CallOptions struct {
	Transport string     // "rpcx", "http"
	Peer      netip.Addr // address of the peer
	Host      string     // name of the host in the errors of Charge
	Share     *Share     // charged by Charge; may be nil
	// MaxDecodedBytes bounds what decoding the argument may allocate, see Decoding.
	MaxDecodedBytes int
	// Answer is called once, from a goroutine of its own, when the deadline passes before Handle returned. May be nil.
	Answer func(*code.Error)
}

// NewCall returns the context of a call that did not come through a Server, such as one of the gateway, of a test or within
// the process. It ends with parent. The caller must call End.
func NewCall(parent context.Context, o CallOptions) *Call {
	own := &struct {
		Call
		origin
	}{origin: origin{o.Transport, o.Peer, o.Host, o.Share, o.MaxDecodedBytes}}
	c := &own.Call
	c.from, c.arrived, c.values = &own.origin, time.Now(), parent
	if o.Answer != nil {
		c.answerer = answerFunc(o.Answer)
	}
	if parent.Done() != nil {
		c.detach = context.AfterFunc(parent, func() { c.cancel(parent.Err()) })
	}
	return c
}

type callKey struct{}

// CallFrom returns the call that ctx is, or is derived from; nil if there is none.
func CallFrom(ctx context.Context) *Call {
	if c, ok := ctx.(*Call); ok {
		return c
	}
	c, _ := ctx.Value(callKey{}).(*Call)
	return c
}

// Transport returns what the call came over: "rpcx" or "http".
func (c *Call) Transport() string { return c.from.transport }

// Peer returns the address the call came from; the zero Addr if there is none.
func (c *Call) Peer() netip.Addr { return c.from.peer }

// Decoding returns how to decode the argument of the call: within the limits of its listener, and charged to the call.
func (c *Call) Decoding() Decoding { return Decoding{MaxBytes: c.from.maxDecoded, Account: c} }

// Arrived returns when the call's last byte was read.
func (c *Call) Arrived() time.Time { return c.arrived }

// Charge takes bytes from the host's budget, until End, for what is made of the call. It fails with UNAVAILABLE/overloaded
// when they are not there. Calls without a Share are not charged.
func (c *Call) Charge(bytes int) error {
	share := c.from.share
	if share == nil {
		return nil
	}
	if !share.TakeBytes(int64(bytes)) { // without the lock: it may cut connections, even this one
		return share.budget.Refuse(c.from.host)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.returned {
		share.Give(int64(bytes))
		return nil
	}
	c.charged += int64(bytes)
	return nil
}

// Deadline returns the earliest ExpireAt, or an earlier deadline of the parent.
func (c *Call) Deadline() (time.Time, bool) {
	c.mu.Lock()
	d := c.deadline
	c.mu.Unlock()
	if p, ok := c.values.Deadline(); ok && (d.IsZero() || p.Before(d)) {
		return p, true
	}
	return d, !d.IsZero()
}

// closed is the done channel of calls that ended before the first Done.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Done returns a channel that is closed when the call ends.
func (c *Call) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		if c.err != nil {
			return closed
		}
		c.done = make(chan struct{})
	}
	return c.done
}

// Err returns nil until the call ended, then context.DeadlineExceeded or context.Canceled.
func (c *Call) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Value returns the value of the parent.
func (c *Call) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return c
	}
	return c.values.Value(key)
}

// AfterFunc arranges to call f in its own goroutine when the call ends. Package context uses it, so that contexts derived
// from a call cost no goroutine.
func (c *Call) AfterFunc(f func()) (stop func() bool) {
	a := &afterFunc{run: f}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = make(map[*afterFunc]struct{}, 1)
	}
	c.after[a] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waiting := c.after[a]
		delete(c.after, a)
		return waiting
	}
}

// End is called when Handle has returned: it stops timers, ends the context and returns what was charged.
func (c *Call) End() { c.finish() }

// finish ends the call and reports whether it was still to be answered.
func (c *Call) finish() (answer bool) {
	c.mu.Lock()
	answer = !c.answered
	c.answered = true
	c.end(context.Canceled)
	if c.charged > 0 {
		c.from.share.Give(c.charged)
		c.charged = 0
	}
	c.returned = true
	c.mu.Unlock()
	if c.detach != nil {
		c.detach()
	}
	return answer
}

// cancel ends the context, but leaves the answer to the handler.
func (c *Call) cancel(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end(err)
}

// end needs c.mu. The first end counts.
func (c *Call) end(err error) {
	if c.timer != nil {
		c.timer.release()
		c.timer, c.onExpire = nil, nil
	}
	if c.answered {
		c.answerer = nil
	}
	if c.err != nil {
		return
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	for a := range c.after {
		go a.run()
	}
	c.after = nil
}

// ExpireAt ends the call at t. If it has not been answered by then, the error that expired returns is sent at once, the
// context ends with context.DeadlineExceeded, and what the handler returns later is dropped. The handler's frames and its
// place among the calls in flight stay taken until Handle returns. The earliest of several calls wins. A t in the past acts
// at once.
func (c *Call) ExpireAt(t time.Time, expired func() *code.Error) {
	left := time.Until(t)
	c.mu.Lock()
	if c.err != nil || c.answered || !c.deadline.IsZero() && !t.Before(c.deadline) {
		c.mu.Unlock()
		return
	}
	c.deadline, c.onExpire = t, expired
	if left <= 0 {
		c.mu.Unlock()
		c.expire()
		return
	}
	defer c.mu.Unlock()
	if c.timer == nil {
		c.timer = new(callTimer)
	}
	c.timer.arm(c, left)
}

// expire answers the call and ends it.
func (c *Call) expire() {
	c.mu.Lock()
	if c.err != nil || c.answered {
		c.mu.Unlock()
		return
	}
	settled := make(chan struct{})
	c.answered, c.expiring = true, settled
	answerer, expired := c.answerer, c.onExpire
	c.mu.Unlock()
	defer close(settled)
	if answerer != nil {
		answerer.answerExpired(expired())
	} else {
		_ = expired() // it settles what the guard of the handler holds
	}
	c.cancel(context.DeadlineExceeded)
}

// awaitExpiry waits until a call that expires has been answered.
func (c *Call) awaitExpiry() {
	c.mu.Lock()
	settled := c.expiring
	c.mu.Unlock()
	if settled != nil {
		<-settled
	}
}

// callTimer is the timer of the deadline of a call. The next call of the same worker uses it again, unless it fired: then
// it may still be on its way into its call.
type callTimer struct {
	timer *time.Timer
	call  *Call
	spent bool
	armed bool
}

// arm needs the lock of the call.
func (t *callTimer) arm(c *Call, d time.Duration) {
	t.release()
	if t.spent {
		c.timer = new(callTimer)
		t = c.timer
	}
	t.call, t.armed = c, true
	if t.timer == nil {
		t.timer = time.AfterFunc(d, t.fire)
		return
	}
	t.timer.Reset(d)
}

func (t *callTimer) fire() { t.call.expire() }

// release stops the timer. It is spent if it could not be stopped.
func (t *callTimer) release() {
	if !t.armed {
		return
	}
	t.armed = false
	if !t.timer.Stop() {
		t.spent = true
		return
	}
	t.call = nil
}

// Handler runs one call: it fills res (payload and metadata, but not sequence, service or method) or returns an error,
// which becomes the answer. req and res belong to the server and are valid until Handle returns; copy what is kept longer.
// ctx is the *Call. Handlers are called concurrently.
type Handler interface {
	Handle(ctx context.Context, req, res *Frame) error
}

// HandlerFunc is a function as a Handler.
type HandlerFunc func(ctx context.Context, req, res *Frame) error

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, req, res *Frame) error { return f(ctx, req, res) }
