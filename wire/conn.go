package wire

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// ConnOptions configure a Conn. The zero value is ready to use.
type ConnOptions struct {
	// Limits apply to responses: MaxMessageBytes, MaxDecompressedBytes, and the limits of metadata and names. Calls beyond
	// MaxInFlight wait. Zero fields mean the defaults.
	Limits Limits
	// KeepaliveInterval is the silence of the peer after which a heartbeat is sent; 0 means 10 s, a negative value no
	// heartbeats. The connection ends after KeepaliveTimeout of further silence; 0 means 3 s.
	KeepaliveInterval time.Duration
	KeepaliveTimeout  time.Duration
	// AcceptCompression lists the compressions accepted in responses. Responses to gzip requests may use gzip in any case.
	AcceptCompression []Compression
	// OnChange is called when the peer starts to drain and when the connection has ended; see Draining and Done. It may be
	// called before NewConn returns, and must not block.
	OnChange func()
	// OnUnread is called with the one-way requests that a draining peer will not run, so that they can be sent elsewhere,
	// and with the number of those that were not kept because there were too many. Their __ServerTimeout is the time left.
	// OnUnread owns the frames, and must not block.
	OnUnread func(unread []*Frame, dropped int)
}

const (
	defaultKeepaliveInterval = 10 * time.Second
	defaultKeepaliveTimeout  = 3 * time.Second

	// closeWait is the timeout of Close.
	closeWait = 30 * time.Second

	// flushEvery is the interval at which Flush sends heartbeats to a draining peer, which closes silent connections.
	flushEvery = 250 * time.Millisecond

	// directBytes is the length up to which a caller writes a request itself: an idle connection accepts it without
	// blocking.
	directBytes = 16 << 10
)

// ErrConnClosed is wrapped by the errors of calls on a closed Conn.
var ErrConnClosed = errors.New("the connection was closed")

// Conn is the client side of a connection. It is safe for concurrent use: calls are multiplexed, and each waits for its own
// response only.
type Conn struct {
	t      clientTransport
	reader responseReader
	accept string // value of x-em-accept-compression
}

// Dial connects to an address and returns a Conn.
func Dial(ctx context.Context, network, address string, o ConnOptions) (*Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, failed(code.Unavailable, code.ReasonNoEndpoint, "%w", err)
	}
	return NewConn(c, o), nil
}

// NewConn returns a Conn over nc, and takes ownership of nc.
func NewConn(nc net.Conn, o ConnOptions) *Conn {
	orDefault(&o.KeepaliveTimeout, defaultKeepaliveTimeout)
	if o.KeepaliveInterval == 0 {
		o.KeepaliveInterval = defaultKeepaliveInterval
	}
	if o.OnChange == nil {
		o.OnChange = func() {}
	}
	c := &Conn{accept: compressionList(o.AcceptCompression)}
	t := &c.t
	t.conn, t.lim, t.asks = nc, o.Limits.WithDefaults(), o.KeepaliveInterval > 0
	t.hello = Metadata{{MetaAcceptCompression, cmp.Or(c.accept, NoCompression.String())}}
	t.onChange, t.onUnread = o.OnChange, o.OnUnread
	t.done = make(chan struct{})
	t.server.firstFrame = make(chan struct{})
	t.pending = pendingCalls{max: t.lim.MaxInFlight, bySeq: make(map[uint64]*answer), expire: t.expire}
	t.out.init(nc, &t.lim)
	t.oneWays.kept.max = 2 * t.out.backlog.max // what is queued, and as much in transit
	r := &c.reader
	r.t = t
	r.alive = keepalive{conn: nc, interval: o.KeepaliveInterval, timeout: o.KeepaliveTimeout, out: &t.out, ask: t.ask}
	r.alive.init()
	r.in = NewReader(&r.alive, t.lim)
	t.over.Add(1)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.role.start(r.background)
	return c
}

// Done returns a channel that is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.t.done }

// Err returns the error that ended the connection, or nil.
func (c *Conn) Err() error { return c.t.reason() }

// EndedIdle reports whether the peer closed the connection cleanly while no call was in flight.
func (c *Conn) EndedIdle() bool {
	c.t.mu.Lock()
	defer c.t.mu.Unlock()
	return c.t.endedIdle
}

// Draining reports whether the peer has announced that it drains. Calls in flight are still answered, but new ones should
// use another connection.
func (c *Conn) Draining() bool { return c.t.draining.Load() }

// Takes reports whether the peer is known to accept z. All peers accept gzip; those that accept zstd announce it with their
// first response.
func (c *Conn) Takes(z Compression) bool { return z <= Gzip || z == Zstd && c.t.server.zstd.Load() }

// Do sends req, waits for the response and stores it in res, decompressed; res may be nil to discard it. It sets req's
// sequence and, if ctx has a deadline, its __ServerTimeout. A one-way call returns when it is written, or queued behind
// others. All errors are *code.Error: the peer's error (res then has its response), UNAVAILABLE/connection_lost when the
// connection breaks, UNAVAILABLE/no_endpoint when it was broken before anything was sent, DEADLINE_EXCEEDED/timeout at
// the deadline of ctx, CANCELLED/cancelled within a millisecond after ctx was cancelled, and INTERNAL/bad_reply when the
// response exceeds a limit or cannot be decompressed.
func (c *Conn) Do(ctx context.Context, req, res *Frame) error {
	if ctx.Err() != nil {
		return ended(ctx.Err())
	}
	direct, err := c.prepare(ctx, req)
	if err != nil {
		return err
	}
	if res == nil && !req.OneWay {
		res = new(Frame)
	}
	t := &c.t
	c.reader.notice()
	q, err := c.introduce(ctx, req, res)
	if err != nil {
		return err
	}
	if q.flush {
		if !q.alone || len(req.Payload) > directBytes {
			direct = 0
		}
		if err := t.flush(direct); err != nil {
			t.fail(err)
			if req.OneWay && !t.handedOver() {
				return connLost(err)
			}
		}
	}
	if req.OneWay {
		if q.ask {
			t.askWith(t.hello)
		}
		return nil
	}
	return c.await(ctx, q, req, res)
}

// prepare sets the header and metadata of req. direct is how long the caller may block in a write.
func (c *Conn) prepare(ctx context.Context, req *Frame) (direct time.Duration, err error) {
	if len(req.Payload) > maxPayload {
		return 0, failed(code.ResourceExhausted, code.ReasonTooLarge, "a request of %d bytes does not fit into a frame", len(req.Payload))
	}
	req.Type, req.Heartbeat, req.Status = Request, false, StatusNormal
	if err := c.recompress(req); err != nil {
		return 0, err
	}
	if c.accept != "" && !acceptsAny(req.Metadata) {
		req.Metadata.Set(MetaAcceptCompression, c.accept)
	}
	deadline, ok := ctx.Deadline()
	if !ok {
		return directWait, nil
	}
	left := time.Until(deadline)
	if left <= 0 {
		return 0, ended(context.DeadlineExceeded)
	}
	ms := max(left.Milliseconds(), 1)
	req.Metadata.Set(MetaTimeout, strconv.FormatInt(ms, 10))
	return min(left, directWait), nil
}

// recompress switches the payload to gzip unless the peer is known to accept its compression.
func (c *Conn) recompress(req *Frame) error {
	if c.Takes(req.Compression) || req.Compression > Zstd {
		return nil
	}
	if err := req.Decompress(maxPayload); err != nil {
		return failed(code.Of(err), code.From(err).Reason, "the payload of the request: %w", err)
	}
	return req.Compress(Gzip)
}

// introduce queues req, with a key of ours until the peer has answered: a server of ours introduces itself in its first
// answer. The key is removed from req afterwards, since the caller may reuse the frame.
func (c *Conn) introduce(ctx context.Context, req, res *Frame) (queued, error) {
	if c.t.server.answered.Load() || acceptsAny(req.Metadata) {
		return c.t.enqueue(ctx, req, res)
	}
	req.Metadata.Set(MetaAcceptCompression, NoCompression.String())
	defer req.Metadata.Del(MetaAcceptCompression)
	return c.t.enqueue(ctx, req, res)
}

// acceptsAny reports whether the metadata lists accepted compressions.
func acceptsAny(m Metadata) bool {
	return slices.ContainsFunc(m, func(p [2]string) bool { return p[0] == MetaAcceptCompression })
}

// await waits for the response of a call in flight.
func (c *Conn) await(ctx context.Context, q queued, req, res *Frame) error {
	if q.leads {
		if arrived, err := c.reader.lead(ctx, q.answer); err != nil {
			return err
		} else if arrived {
			return c.open(ctx, req, res)
		}
	}
	a := q.answer
	if err := c.arrived(ctx, req.Seq, a); err != nil {
		return err
	}
	err := a.err
	c.t.reuse(a)
	if err != nil {
		return err
	}
	return c.open(ctx, req, res)
}

// arrived waits until the answer has arrived. It returns an error if ctx ends first.
func (c *Conn) arrived(ctx context.Context, seq uint64, a *answer) error {
	until := c.t.endOf(ctx, a)
	done := until.Done()
	if done == nil { // a select would take twice the time
		<-a.got
		return nil
	}
	select {
	case <-a.got:
	case <-done:
		if why := until.Err(); c.t.abandon(seq, a, why) {
			return ended(why)
		}
		<-a.got
	}
	return nil
}

// open decompresses the response and returns its error. An error without a code that arrives after the peer's deadline is
// taken for a timeout.
func (c *Conn) open(ctx context.Context, req, res *Frame) error {
	limit := c.t.lim.MaxDecompressedBytes
	if e := errorOf(res, req); e != nil {
		if res.Decompress(limit) != nil {
			res.Payload = res.Payload[:0] // the error matters more
		}
		if lacksCode(res) && peerExpired(ctx) {
			e.Code, e.Reason = code.DeadlineExceeded, code.ReasonTimeout
		}
		return e
	}
	if err := res.Decompress(limit); err != nil {
		return badReply(err)
	}
	return nil
}

// peerExpired reports whether the deadline that was sent to the peer has passed. In whole milliseconds, it is up to one
// before that of ctx.
func peerExpired(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < time.Millisecond
}

// Ping sends a heartbeat and waits for the first frame from the peer, which may have arrived earlier. It fails with
// UNAVAILABLE/no_endpoint when the connection or ctx ends without one, as with a peer that is not an rpcx server. A server
// of ours introduces itself in the answer, so later calls need no metadata for that.
func (c *Conn) Ping(ctx context.Context) error {
	c.t.askWith(c.t.hello)
	select {
	case <-c.t.server.firstFrame:
		return nil
	case <-c.Done():
		return noFrameError(c.Err())
	case <-ctx.Done():
		return noFrameError(ctx.Err())
	}
}

// Close is Shutdown with a timeout of 30 s. It always returns nil.
func (c *Conn) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	_ = c.Shutdown(ctx)
	return nil
}

// Shutdown waits until the peer has read the one-way requests, see Flush, and the queue has been written, or ctx ends. Then
// it closes the connection. Calls that wait for a response fail. It returns the error of Flush.
func (c *Conn) Shutdown(ctx context.Context) error {
	err := c.Flush(ctx)
	c.t.out.settle(ctx)
	c.t.fail(ErrConnClosed)
	c.t.over.Wait()
	return err
}

// Flush waits until the peer has read all one-way requests that were sent. A draining peer must have begun to run them, or
// have announced that it will not; see ConnOptions.OnUnread. Flush returns the error of ctx if that ends first, and that of
// the connection if it ends. Without heartbeats it cannot ask the peer: it closes the sending side and waits 250 ms.
func (c *Conn) Flush(ctx context.Context) error {
	t := &c.t
	for first := true; ; first = false {
		t.mu.Lock()
		draining := t.draining.Load()
		unconfirmed, last := t.oneWays.unconfirmed(draining), t.oneWays.last
		t.mu.Unlock()
		switch {
		case !unconfirmed:
			return nil
		case !t.asks:
			return c.flushUnasked(ctx)
		case !first && draining:
			if err := c.pause(ctx, flushEvery); err != nil {
				return err
			}
		}
		if err := c.probe(ctx, last); err != nil {
			return err
		}
	}
}

// probe sends a heartbeat and waits for the answer, which confirms that the one-way requests up to last were read.
func (c *Conn) probe(ctx context.Context, last uint64) error {
	t := &c.t
	t.askWith(t.hello)
	t.mu.Lock()
	defer t.mu.Unlock()
	for mine := t.oneWays.asked; t.oneWays.answered < mine && t.oneWays.unconfirmed(t.draining.Load()); {
		changes := t.oneWays.changes()
		t.mu.Unlock()
		err := c.wait(ctx, changes)
		t.mu.Lock()
		if err != nil {
			return err
		}
	}
	t.oneWays.read(last)
	t.oneWays.notify()
	return nil
}

// flushUnasked closes the sending side and gives the peer time to close the connection.
func (c *Conn) flushUnasked(ctx context.Context) error {
	c.t.out.settle(ctx)
	if ctx.Err() != nil { // something is being written still, for which closing the sending side would be an error
		return ctx.Err()
	}
	if half, ok := c.t.conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		return c.pause(ctx, lingerWait)
	}
	return nil
}

// pause waits for d. It returns an error if the connection or ctx ends first.
func (c *Conn) pause(ctx context.Context, d time.Duration) error {
	over, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return c.wait(ctx, over.Done())
}

// wait waits for event. It returns an error if the connection or ctx ends first.
func (c *Conn) wait(ctx context.Context, event <-chan struct{}) error {
	select {
	case <-event:
		return nil
	case <-c.Done():
		return c.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
