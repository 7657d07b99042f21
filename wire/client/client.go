// Package client calls services by name: it resolves the name to endpoints, balances over them, asks the rules, and
// sends.
//
//	endpoints, err := discovery.Static("tcp://10.0.0.5:8972")
//	…
//	c, err := client.New(client.Options{Resolver: endpoints})
//	…
//	defer c.Close()
//	reply, err := client.Call[Reply](ctx, c, "Arith", "Mul", &Args{A: 6, B: 7})
//
// A call is sent once. It goes to another endpoint only when it provably was not run: nobody could be reached, or the
// peer is draining and never read it. All else (deadlines, retries, hedges, breakers) is for the rules of the Guard.
//
// All errors are *code.Error of package wire/code, whose reason tells whether the call was run, and an error that a
// peer answered has the peer's text.
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

// ErrClosed is within the error of calls on a client that was closed or is shutting down.
var ErrClosed = errors.New("the client is closed")

// Client calls services. Any number of goroutines may use it at once.
type Client struct{ catalog }

// New makes a client, which whoever made it closes. It opens no connection before the first call. The error says which
// option is wrong.
func New(o Options) (*Client, error) {
	codec, err := o.complete()
	if err != nil {
		return nil, err
	}
	c := new(Client)
	c.o, c.codec, c.log, c.began = o, codec, o.Logger, time.Now()
	c.drained, c.done = make(chan struct{}), make(chan struct{})
	c.services, c.unknown, c.nodes = make(map[string]*service), make(map[*service]struct{}), make(map[netAddress]*node)
	c.closing, c.cutShort = context.WithCancel(context.Background())
	c.dial = dialer(o.TLS)
	c.resend = func(unread []*wire.Frame, forgotten int) { resendUnread(&c.catalog, unread, forgotten) }
	if o.Policy == ConsistentHash {
		c.hasher.init(o.HashOn, func(t reflect.Type) {
			c.log.Warn("the argument has no such field for consistentHash: its calls go by p2c", "type", t.String(), "hash_on", o.HashOn)
		})
	}
	if o.Wrap != nil {
		c.handler = o.Wrap(wire.HandlerFunc(c.inner))
	}
	if o.Upstream != "" {
		o.Pool.open(o.Upstream)
	}
	return c, nil
}

// handOver returns when all one-way requests on their way have been read, or sent elsewhere, or ctx has ended.
func (c *Client) handOver(ctx context.Context) {
	for {
		var flushed sync.WaitGroup
		for _, l := range c.links() {
			flushed.Go(func() { _ = l.Flush(ctx) })
		}
		flushed.Wait()
		idle := c.errandsDone()
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

// links are all connections.
func (c *Client) links() (all []*link) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for _, n := range c.nodes {
		all = append(all, n.all()...)
	}
	return all
}

// Shutdown takes no more calls, waits until those that are out have ended and one-way ones on their way have been read, and
// closes the client. When ctx ends first it closes the client all the same, and returns the error of ctx.
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

// Close ends all connections, once the one-way requests that are on their way have been read, or 10 s have passed. Calls
// that are out fail. When it returns nothing that the client started is running, except
// calls that the caller's Guard or Wrap hold up. It may be called again, and its error is always nil.
func (c *Client) Close() error {
	c.shut.Store(true)
	ctx, cancel := context.WithTimeout(context.Background(), againWithin)
	defer cancel()
	c.handOver(ctx)
	c.end(ctx)
	return nil
}

// end closes the connections, and cuts those short that have not ended when ctx does.
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

// Call calls a method and waits for its answer, which is decoded into reply, a pointer to a zero value; nil drops it. A
// reply that comes next to an error is decoded, too, as far as that is possible.
// args may be used again when it returns, and reply is no longer written to. The deadline of ctx travels with the call;
// the end of ctx ends the wait with DEADLINE_EXCEEDED/timeout or CANCELLED/cancelled, and the call is perhaps run all the
// same. When no endpoint is known or can be reached the error is UNAVAILABLE/no_endpoint, when a connection breaks with
// the call out UNAVAILABLE/connection_lost, above Options.MaxPending UNAVAILABLE/overloaded, when args cannot be encoded
// INVALID_ARGUMENT/bad_payload, and INTERNAL/bad_reply when the reply is over a limit or cannot be decoded.
func (c *Client) Call(ctx context.Context, service, method string, args, reply any, o ...CallOption) error {
	cl, err := c.newCall(service, method, args, o)
	if err != nil {
		return err
	}
	defer cl.end()
	return cl.finish(ctx, reply)
}

// Call is Client.Call with a reply of its own.
func Call[Reply any](ctx context.Context, c *Client, service, method string, args any, o ...CallOption) (*Reply, error) {
	reply := new(Reply)
	if err := c.Call(ctx, service, method, args, reply, o...); err != nil {
		return nil, err
	}
	return reply, nil
}

// Notify calls a method that gives no answer, and returns when the request is on its way: whether it arrives, and what
// became of it, is never told.
func (c *Client) Notify(ctx context.Context, service, method string, args any, o ...CallOption) error {
	cl, err := c.newCall(service, method, args, o)
	if err != nil {
		return err
	}
	defer cl.end()
	cl.req.OneWay = true
	return cl.finish(ctx, nil)
}

// newCall makes a call of arguments.
func (c *Client) newCall(service, method string, args any, o []CallOption) (*call, error) {
	cl, err := c.begin()
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

// Go is Call without waiting: the Pending comes over done when the call has ended. A nil done makes a channel for it. One
// that is given must have room for all calls that it is given for; a Pending for which there is none is dropped. args may
// be used again at once.
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
		err := cl.finish(ctx, reply)
		cl.end()
		p.end(err)
	})
	if !started {
		cl.end()
		p.end(closedError())
	}
	return p
}

// begin makes a call, if there may be one more.
func (c *Client) begin() (*call, error) {
	n := c.calls.Add(1)
	switch {
	case c.shut.Load():
		c.leave()
		return nil, closedError()
	case n > int64(c.o.MaxPending):
		c.leave()
		const most = "too many calls are out already"
		return nil, code.Remote(code.Refuse(code.Unavailable, code.ReasonOverloaded,
			most+": the client's MaxPending are "+strconv.Itoa(c.o.MaxPending), "", "", 0)).InPublic(most)
	}
	cl := newCall(&c.catalog)
	cl.counted = true
	return cl, nil
}

// Handle sends a request whose payload is encoded already, with the codec, compression and metadata that the frame has,
// and puts the payload, the codec and the metadata of the response into res. The payload of res is decompressed. It makes
// a client a wire.Handler. When the response is an error its metadata is in res, too, without what the error itself says,
// and its status, which tells that the peer answered. req and res may be used again when it returns.
func (c *Client) Handle(ctx context.Context, req, res *wire.Frame) error {
	cl, err := c.begin()
	if err != nil {
		return err
	}
	defer cl.end()
	cl.req = req
	from := wire.CallFrom(ctx)
	cl.headers = from != nil && from.Transport() == "http"
	cl.hashPayload()
	if c.handler != nil {
		return c.handler.Handle(&callContext{ctx, cl}, req, res)
	}
	return cl.respond(ctx, res)
}

// inner is the client within Options.Wrap. The call was counted when it came to Wrap, which may hand on another frame.
func (c *Client) inner(ctx context.Context, req, res *wire.Frame) error {
	outer, _ := ctx.Value(callKey{}).(*call)
	if outer != nil && outer.c == &c.catalog && outer.req == req {
		return outer.respond(ctx, res)
	}
	cl := newCall(&c.catalog)
	defer cl.end()
	cl.req = req
	if outer != nil && outer.c == &c.catalog {
		cl.idempotent, cl.hashKey, cl.whole = outer.idempotent, outer.hashKey, outer.whole
		cl.packs, cl.compression = outer.packs, outer.compression
	}
	cl.hashPayload()
	return cl.respond(ctx, res)
}
