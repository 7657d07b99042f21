package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// ConnOptions are settings of a calling connection. The zero value is useful.
type ConnOptions struct {
	// Limits: MaxMessageBytes, MaxDecompressedBytes, the metadata and name limits bound responses; MaxInFlight bounds the
	// calls that wait for one: further ones wait for a place. Zero fields mean the defaults.
	Limits Limits
	// KeepaliveInterval is after how long without a byte from the peer a heartbeat is sent; 0 means 10 s, a negative one
	// sends none. The connection is dead when KeepaliveTimeout more, 0 means 3 s, passes without a byte.
	KeepaliveInterval time.Duration
	KeepaliveTimeout  time.Duration
	// AcceptCompression is what responses may be compressed with, besides gzip for requests that are.
	AcceptCompression []Compression
	// OnChange is called when the peer asks to call elsewhere and when the connection has ended: see Draining and Done. It
	// may be called while NewConn still runs, and must not block.
	OnChange func()
	// OnUnread is given the one-way requests of which the peer says, while it drains, that it will not run them, so that
	// they may be sent elsewhere, and the number of those of which too much was sent to keep them. __ServerTimeout is what
	// is left of a request's deadline. It is the owner of the frames from then on, and must not block.
	OnUnread func(unread []*Frame, forgotten int)
}

const (
	defaultKeepaliveInterval = 10 * time.Second
	defaultKeepaliveTimeout  = 3 * time.Second
)

// ErrConnClosed is within the error of calls on a connection that was closed with Close.
var ErrConnClosed = errors.New("the connection was closed")

// Conn is a calling connection. Any number of goroutines may call at once: their calls share the connection, each
// waiting for its own answer only.
type Conn struct {
	conn     net.Conn
	lim      Limits
	interval time.Duration
	timeout  time.Duration
	accept   string // value of x-em-accept-compression
	server   serverInfo
	out      outbox
	flushes  chan struct{} // wakes the flusher
	changed  func()
	missed   func([]*Frame, int)
	draining atomic.Bool
	done     chan struct{}
	over     sync.WaitGroup

	mu      sync.Mutex
	err     error // why it ended
	idle    bool  // it ended in good order between two calls
	seq     uint64
	kept    unread // one-way requests that were sent
	refused error  // of calls that the peer will never read; set when it has said which was the last
	pending map[uint64]*answer
	free    []*answer
	places  chan struct{} // closed when a place is free; made by those who wait for one

	asks, echoes uint64 // heartbeats that were sent, and that were answered
	unproven     bool   // a one-way request was sent of which it is not known that it was read
	lastOneWay   uint64
	news         chan struct{} // closed when that may have changed; made by those who wait for it
}

// answer is what a caller waits on.
type answer struct {
	res *Frame
	err error
	got chan struct{} // one token an answer
}

// Dial connects and makes a Conn of it.
func Dial(ctx context.Context, network, address string, o ConnOptions) (*Conn, error) {
	var d net.Dialer
	c, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, failed(code.Unavailable, code.ReasonNoEndpoint, "%w", err)
	}
	return NewConn(c, o), nil
}

// NewConn makes a Conn of a connection, which it owns from now on.
func NewConn(nc net.Conn, o ConnOptions) *Conn {
	c := &Conn{
		conn: nc, lim: o.Limits.WithDefaults(), interval: o.KeepaliveInterval, timeout: o.KeepaliveTimeout,
		accept: names(o.AcceptCompression), flushes: make(chan struct{}, 1), done: make(chan struct{}),
		pending: make(map[uint64]*answer), changed: o.OnChange, missed: o.OnUnread,
	}
	c.server.spoken = make(chan struct{})
	if c.changed == nil {
		c.changed = func() {}
	}
	orDefault(&c.timeout, defaultKeepaliveTimeout)
	if c.interval == 0 {
		c.interval = defaultKeepaliveInterval
	}
	c.out.init(nc, &c.lim)
	c.kept.most = 2 * c.out.backlog.max // what is queued, and as much on its way
	c.over.Go(c.read)
	c.over.Go(c.flushAll)
	return c
}

// Done is closed when the connection has ended.
func (c *Conn) Done() <-chan struct{} { return c.done }

// Err is why the connection has ended; nil before that.
func (c *Conn) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// EndedIdle reports whether the peer has closed the connection in good order, while no call was out.
func (c *Conn) EndedIdle() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.idle
}

// Draining tells whether the peer has asked to call elsewhere. Calls that are out are still answered.
func (c *Conn) Draining() bool { return c.draining.Load() }

// closeWait is how long a connection that is closed waits for what is queued to be written.
const closeWait = 30 * time.Second

// Close shuts the connection down within 30 s, see Shutdown. Its error is always nil.
func (c *Conn) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), closeWait)
	defer cancel()
	_ = c.Shutdown(ctx)
	return nil
}

// Shutdown ends the connection, once what is queued has been written and the peer has read the one-way requests, see Flush.
// When ctx ends first it ends the connection all the same. Calls that wait for an answer fail. The error is that of Flush.
func (c *Conn) Shutdown(ctx context.Context) error {
	err := c.Flush(ctx)
	c.out.settle(ctx)
	c.fail(ErrConnClosed)
	c.over.Wait()
	return err
}

// flushAgain is how long a peer that drains is left alone between two questions: it closes connections on which there is
// silence.
const flushAgain = 250 * time.Millisecond

// Flush returns when the peer has read all one-way requests that were sent. One that drains must have begun to run them, or
// have said that it will not, see ConnOptions.OnUnread. It returns the error of ctx when that ends first, and why the
// connection has ended when it does. A connection without heartbeats cannot be flushed: it takes no more requests, and has
// a quarter of a second for those on their way.
func (c *Conn) Flush(ctx context.Context) error {
	for first := true; ; first = false {
		c.mu.Lock()
		owes, last, draining := c.owes(), c.lastOneWay, c.draining.Load()
		c.mu.Unlock()
		switch {
		case !owes:
			return nil
		case c.interval < 0:
			return c.flushSilently(ctx)
		case !first && draining:
			if err := c.pause(ctx, flushAgain); err != nil {
				return err
			}
		}
		if err := c.echo(ctx, last); err != nil {
			return err
		}
	}
}

// owes reports whether there are one-way requests of which it is not known that they will be run. It needs c.mu.
func (c *Conn) owes() bool { return c.unproven || c.draining.Load() && !c.kept.empty() }

// echo sends a heartbeat and waits for the answer. It proves that the one-way requests up to the sequence last were read.
func (c *Conn) echo(ctx context.Context, last uint64) error {
	c.ask(c.hello())
	c.mu.Lock()
	defer c.mu.Unlock()
	for mine := c.asks; c.echoes < mine && c.owes(); {
		if c.news == nil {
			c.news = make(chan struct{})
		}
		news := c.news
		c.mu.Unlock()
		err := c.until(ctx, news)
		c.mu.Lock()
		if err != nil {
			return err
		}
	}
	c.proven(last)
	return nil
}

// proven says that one-way requests up to a sequence have been read. It needs c.mu.
func (c *Conn) proven(last uint64) {
	if c.unproven = c.unproven && c.lastOneWay > last; c.news != nil {
		close(c.news)
		c.news = nil
	}
}

// flushSilently ends the sending side and waits for the peer to do the same.
func (c *Conn) flushSilently(ctx context.Context) error {
	c.out.settle(ctx)
	if half, ok := c.conn.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		return c.pause(ctx, lingerWait)
	}
	return nil
}

// pause waits for d, unless the connection or ctx ends before.
func (c *Conn) pause(ctx context.Context, d time.Duration) error {
	over, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	return c.until(ctx, over.Done())
}

// until waits for something, unless the connection or ctx ends before.
func (c *Conn) until(ctx context.Context, something <-chan struct{}) error {
	select {
	case <-something:
		return nil
	case <-c.done:
		return c.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}

// fail ends the connection and fails the calls that are out. Only the first reason counts.
func (c *Conn) fail(err error) {
	c.mu.Lock()
	if c.err != nil {
		c.mu.Unlock()
		return
	}
	c.err, c.idle = err, err == io.EOF && len(c.pending) == 0 //nolint:errorlint // as Reader gives it between two frames
	for seq, a := range c.pending {
		delete(c.pending, seq)
		a.err = lost(err)
		a.got <- struct{}{}
	}
	c.freePlace()
	close(c.done)
	c.mu.Unlock()
	c.out.close()
	_ = c.conn.Close()
	c.changed()
}

// flushAll writes for callers that shall not do it themselves.
func (c *Conn) flushAll() {
	for {
		select {
		case <-c.flushes:
			if err := c.out.flush(true); err != nil {
				c.fail(err)
			}
		case <-c.done:
			return
		}
	}
}

// freePlace needs c.mu.
func (c *Conn) freePlace() {
	if c.places != nil {
		close(c.places)
		c.places = nil
	}
}

// closedToCalls is why calls can be sent no more. It needs c.mu.
func (c *Conn) closedToCalls() error {
	if c.err != nil {
		return gone(c.err)
	}
	return c.refused
}

// register takes a place among the calls that are out, if there is one. It needs c.mu.
func (c *Conn) register(req, res *Frame) (q queued) {
	if len(c.pending) >= c.lim.MaxInFlight {
		if c.places == nil {
			c.places = make(chan struct{})
		}
		q.places = c.places
		return q
	}
	if n := len(c.free); n > 0 {
		q.answer, c.free = c.free[n-1], c.free[:n-1]
	} else {
		q.answer = &answer{got: make(chan struct{}, 1)}
	}
	q.res, q.err = res, nil
	req.Seq = c.nextSeq()
	c.pending[req.Seq] = q.answer
	q.alone = len(c.pending) == 1
	return q
}

// neverRead fails the calls behind the last one that the peer has read, and gives the one-way ones away: it has said so,
// and reads no more.
func (c *Conn) neverRead(last uint64) {
	c.mu.Lock()
	if c.refused != nil {
		c.mu.Unlock()
		return
	}
	c.refused = failed(code.Unavailable, code.ReasonDraining, "the peer drains, and has not read the call")
	for seq, a := range c.pending {
		if last == HeartbeatSeq || seq > last {
			delete(c.pending, seq)
			a.err = c.refused
			a.got <- struct{}{}
		}
	}
	c.freePlace()
	missed, forgotten := c.kept.behind(last)
	c.unproven = true // until they are given away
	c.mu.Unlock()
	if c.missed != nil && len(missed)+forgotten > 0 {
		c.missed(missed, forgotten)
	}
	c.mu.Lock()
	c.proven(HeartbeatSeq)
	c.mu.Unlock()
}

// nextSeq needs c.mu. The sequence of unasked heartbeats is left out.
func (c *Conn) nextSeq() uint64 {
	if c.seq == HeartbeatSeq {
		c.seq = 0
	}
	seq := c.seq
	c.seq++
	return seq
}

// forget gives up on an answer. It tells false when the answer has come, or is just coming.
func (c *Conn) forget(seq uint64) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if _, ok := c.pending[seq]; !ok {
		return false
	}
	delete(c.pending, seq)
	c.freePlace()
	return true
}

func (c *Conn) reuse(a *answer) {
	a.res = nil
	c.mu.Lock()
	c.free = append(c.free, a)
	c.mu.Unlock()
}

// Takes reports whether the peer has shown that it takes payloads that are compressed with z. Stock peers know gzip; zstd
// has to be learned, from the first response.
func (c *Conn) Takes(z Compression) bool { return z <= Gzip || z == Zstd && c.server.zstd.Load() }

// acceptsAny reports whether the caller has said itself what it accepts.
func acceptsAny(m Metadata) bool {
	return slices.ContainsFunc(m, func(p [2]string) bool { return p[0] == MetaAcceptCompression })
}
