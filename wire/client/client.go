// Package client calls services by name. It resolves names to endpoints, balances load between them, and applies rules.
//
//	endpoints, err := discovery.Static("tcp://10.0.0.5:8972")
//	…
//	c, err := client.New(client.Options{Resolver: endpoints})
//	…
//	defer c.Close()
//	reply, err := client.Call[Reply](ctx, c, "Arith", "Mul", &Args{A: 6, B: 7})
//
// A call is sent once. It is sent to another endpoint only if it was provably not run: there was no connection, or the peer
// is draining and did not read it. The rules of a Guard add deadlines, retries, hedging and circuit breakers.
//
// A Pool holds the endpoints. Clients may share one; otherwise each has its own.
//
// All errors of calls are *code.Error of package wire/code. The reason shows whether the call may have run; an error that a
// peer returned has the peer's text.
package client

import (
	"context"
	"errors"
	"reflect"
	"strconv"
	"sync"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// ErrClosed is wrapped by the errors of calls on a client that is closed or shutting down.
var ErrClosed = errors.New("the client is closed")

// Client calls services. Status returns the state of its services, and TakeOver looks up those of the client that it
// replaces; both are in catalog.go. A Client is safe for concurrent use.
type Client struct{ catalog }

// New returns a client, which the caller must close. It opens no connection before the first call. It fails if an option is
// invalid.
func New(o Options) (*Client, error) {
	codec, err := o.complete()
	if err != nil {
		return nil, err
	}
	c := new(Client)
	c.o, c.codec, c.log, c.began = o, codec, o.Logger, time.Now()
	c.drained, c.done = make(chan struct{}), make(chan struct{})
	c.services, c.unknown, c.nodes = make(map[string]*service), make(map[*service]struct{}), make(map[netAddress]*node)
	c.closing, c.cutShort = context.WithCancel(context.Background()) //nolint:gosec // end calls it
	c.dial = dialer(o.TLS)
	c.resend = func(unread []*wire.Frame, forgotten int) { resendUnread(&c.catalog, unread, forgotten) }
	if o.Policy == ConsistentHash {
		c.hasher.init(o.HashOn, func(t reflect.Type) {
			c.log.Warn("the argument type has no field for consistentHash: its calls are balanced by p2c", "type", t.String(), "hash_on", o.HashOn)
		})
	}
	if o.Wrap != nil {
		c.handler = o.Wrap(wire.HandlerFunc(c.afterWrap))
	}
	if o.Upstream != "" {
		o.Pool.open(o.Upstream)
	}
	return c, nil
}

// handOver waits until peers have read all one-way requests, including those sent elsewhere, or ctx ends.
func (c *Client) handOver(ctx context.Context) {
	for {
		var flushed sync.WaitGroup
		for _, l := range c.allLinks() {
			flushed.Go(func() { _ = l.Flush(ctx) })
		}
		flushed.Wait()
		idle := c.jobsDone()
		if idle == nil {
			return
		}
		select {
		case <-idle:
		case <-c.done:
			return
		case <-ctx.Done():
			return
		}
	}
}

// allLinks returns all connections.
func (c *Client) allLinks() (all []*link) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, n := range c.nodes {
		all = append(all, n.all()...)
	}
	return all
}

// Shutdown refuses new calls, waits until those in flight have ended and peers have read the one-way requests, and closes
// the client. If ctx ends first, it closes the client anyway and returns the error of ctx.
func (c *Client) Shutdown(ctx context.Context) error {
	c.shut.Store(true)
	if c.calls.Load() == 0 {
		c.drain.Do(func() { close(c.drained) })
	}
	select {
	case <-c.drained:
	case <-c.done:
	case <-ctx.Done():
	}
	c.handOver(ctx)
	err := ctx.Err()
	c.end(ctx)
	return err
}

// Close waits up to 10 s until peers have read the one-way requests, and closes all connections. Calls in flight fail. When
// it returns, the client's goroutines have ended, except calls that block in a Guard or Wrap. Close may be called again. It
// always returns nil.
func (c *Client) Close() error {
	c.shut.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), resendTimeout)
	defer cancel()
	c.handOver(ctx)
	c.end(ctx)
	return nil
}

// end closes the client. It waits for peers until ctx ends.
func (c *Client) end(ctx context.Context) {
	stop := context.AfterFunc(ctx, c.cutShort)
	defer stop()
	c.mu.Lock()
	first := !c.closed
	if first {
		c.closed = true
		close(c.done)
		for _, s := range c.services {
			c.over.Go(s.lookup.Close)
		}
	}
	nodes := make([]*node, 0, len(c.nodes))
	for _, n := range c.nodes {
		nodes = append(nodes, n)
	}
	c.mu.Unlock()
	c.stop()
	var ends sync.WaitGroup
	for _, n := range nodes {
		for _, l := range n.close() {
			ends.Go(l.end)
		}
	}
	ends.Wait()
	c.over.Wait()
	if first && c.o.Upstream != "" {
		c.o.Pool.close(c.o.Upstream)
	}
}

// Call calls a method, waits for the response and decodes it into reply, a pointer to a zero value, or nil to discard it. If
// an error response has a payload, Call tries to decode that too. After Call returns, args may be reused and reply is no
// longer written to.
//
// The deadline of ctx is sent with the call. When ctx ends, Call returns DEADLINE_EXCEEDED/timeout or CANCELLED/cancelled,
// but the call may still run. The other errors of a client are
//
//   - UNAVAILABLE/no_endpoint: no endpoint is known or can be reached
//   - UNAVAILABLE/connection_lost: the connection broke while the call was in flight
//   - UNAVAILABLE/overloaded: Options.MaxPending calls are pending
//   - INVALID_ARGUMENT/bad_payload: args cannot be encoded
//   - INTERNAL/bad_reply: the reply exceeds a limit or cannot be decoded
func (c *Client) Call(ctx context.Context, service, method string, args, reply any, o ...CallOption) error {
	cl, err := c.newCall(service, method, args, o)
	if err != nil {
		return err
	}
	defer cl.end()
	return cl.sendAndDecode(ctx, reply)
}

// Call is like Client.Call, but returns the reply.
func Call[Reply any](ctx context.Context, c *Client, service, method string, args any, o ...CallOption) (*Reply, error) {
	reply := new(Reply)
	if err := c.Call(ctx, service, method, args, reply, o...); err != nil {
		return nil, err
	}
	return reply, nil
}

// Notify sends a one-way call and returns when it is queued. It does not report whether the call arrives or succeeds.
func (c *Client) Notify(ctx context.Context, service, method string, args any, o ...CallOption) error {
	cl, err := c.newCall(service, method, args, o)
	if err != nil {
		return err
	}
	defer cl.end()
	cl.req.OneWay = true
	return cl.sendAndDecode(ctx, nil)
}

// newCall returns a call with the encoded argument.
func (c *Client) newCall(service, method string, args any, o []CallOption) (*call, error) {
	cl, err := c.countedCall()
	if err != nil {
		return nil, err
	}
	for _, set := range o {
		set(&cl.callOptions)
	}
	if err := cl.encode(service, method, args); err != nil {
		cl.end()
		return nil, err
	}
	return cl, nil
}

// Go is like Call, but does not wait: it sends the returned Pending to done when the call has ended. If done is nil, Go
// allocates a channel; otherwise it must have capacity for all its calls, since Go drops a Pending that does not fit. args
// may be reused when Go returns.
func (c *Client) Go(ctx context.Context, service, method string, args, reply any, done chan *Pending, o ...CallOption) *Pending {
	if done == nil {
		done = make(chan *Pending, 1)
	}
	p := &Pending{Service: service, Method: method, Reply: reply, Done: done}
	cl, err := c.newCall(service, method, args, o)
	if err != nil {
		p.end(err)
		return p
	}
	started := c.spawn(func() {
		err := cl.sendAndDecode(ctx, reply)
		cl.end()
		p.end(err)
	})
	if !started {
		cl.end()
		p.end(closedError())
	}
	return p
}

// countedCall returns a call that is counted in core.calls, which Options.MaxPending limits.
func (c *Client) countedCall() (*call, error) {
	n := c.calls.Add(1)
	switch {
	case c.shut.Load():
		c.leave()
		return nil, closedError()
	case n > int64(c.o.MaxPending):
		c.leave()
		const full = "too many calls are in flight"
		return nil, code.Remote(code.Refuse(code.Unavailable, code.ReasonOverloaded,
			full+": the client's MaxPending is "+strconv.Itoa(c.o.MaxPending), "", "", 0)).InPublic(full)
	}
	cl := pooledCall(&c.catalog)
	cl.counted = true
	return cl, nil
}

// Handle implements wire.Handler. It sends req as it is encoded, and stores codec, metadata and decompressed payload of the
// response in res. For an error response res also has the status, which shows that the peer answered, but not the metadata
// of the error. Both frames may be reused when Handle returns.
func (c *Client) Handle(ctx context.Context, req, res *wire.Frame) error {
	cl, err := c.countedCall()
	if err != nil {
		return err
	}
	defer cl.end()
	cl.req = req
	from := wire.CallFrom(ctx)
	cl.headers = from != nil && from.Transport() == wire.TransportHTTP
	cl.hashPayload()
	if c.handler != nil {
		return c.handler.Handle(&callContext{ctx, cl}, req, res)
	}
	return cl.sendInto(ctx, res)
}

// afterWrap is the handler passed to Options.Wrap. The call has been counted; req need not be the caller's frame.
func (c *Client) afterWrap(ctx context.Context, req, res *wire.Frame) error {
	outer, _ := ctx.Value(callKey{}).(*call)
	if outer != nil && outer.c == &c.catalog && outer.req == req {
		return outer.sendInto(ctx, res)
	}
	cl := pooledCall(&c.catalog)
	defer cl.end()
	cl.req = req
	if outer != nil && outer.c == &c.catalog {
		cl.idempotent, cl.hashKey, cl.whole = outer.idempotent, outer.hashKey, outer.whole
		cl.packs, cl.compression = outer.packs, outer.compression
	}
	cl.hashPayload()
	return cl.sendInto(ctx, res)
}
