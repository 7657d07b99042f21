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
	"log/slog"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// ErrClosed is within the error of calls on a client that was closed or is shutting down.
var ErrClosed = errors.New("the client is closed")

// Client calls services. Any number of goroutines may use it at once.
type Client struct {
	o       Options
	codec   wire.Codec
	handler wire.Handler // the client within Options.Wrap; nil without
	log     *slog.Logger
	began   time.Time

	hashOn   string       // a metadata key, or the plain name of a field
	hashMeta bool         // which of them
	fields   sync.Map     // of reflect.Type: the []int of the field that hashOn names
	lacking  atomic.Int64 // types that have no such field

	dial func(ctx context.Context, network, address string) (net.Conn, error)

	calls atomic.Int64  // that are out or wait
	shut  atomic.Bool   // no more calls are taken
	quiet chan struct{} // closed when the last call has ended, once shut
	hush  sync.Once
	done  chan struct{} // closed by Close
	over  sync.WaitGroup

	closing  context.Context //nolint:containedctx // its end cuts connections short that wait for their peers to be closed
	cutShort context.CancelFunc

	mu       sync.RWMutex // before node.mu
	closed   bool
	sweeping bool
	services map[string]*service
	unknown  map[*service]struct{} // those that nobody serves
	nodes    map[place]*node

	spawning sync.Mutex    // after all others
	spawned  bool          // all that will be
	errands  int           // that are being run
	errand   chan struct{} // closed when there is none; made by those who wait for that
}

// New makes a client, which whoever made it closes. It opens no connection before the first call. The error says which
// option is wrong.
func New(o Options) (*Client, error) {
	codec, err := o.complete()
	if err != nil {
		return nil, err
	}
	c := &Client{
		o: o, codec: codec, log: o.Logger, began: time.Now(),
		quiet: make(chan struct{}), done: make(chan struct{}),
		services: make(map[string]*service), unknown: make(map[*service]struct{}), nodes: make(map[place]*node),
	}
	c.closing, c.cutShort = context.WithCancel(context.Background())
	c.dial = c.connect
	if o.Policy == ConsistentHash {
		where, name, _ := strings.Cut(o.HashOn, ".")
		if c.hashMeta = where == hashMetadata; !c.hashMeta {
			name = plainName(name)
		}
		c.hashOn = name
	}
	if o.Wrap != nil {
		c.handler = o.Wrap(wire.HandlerFunc(c.inner))
	}
	return c, nil
}

// spawn runs f in a goroutine that Close waits for. It tells false when the client is closed.
func (c *Client) spawn(f func()) bool {
	c.spawning.Lock()
	defer c.spawning.Unlock()
	if c.spawned {
		return false
	}
	c.over.Go(f)
	return true
}

// spawnErrand runs f as spawn does; Close ends no connection before it is done.
func (c *Client) spawnErrand(f func()) bool {
	c.spawning.Lock()
	defer c.spawning.Unlock()
	if c.spawned {
		return false
	}
	c.errands++
	c.over.Go(func() {
		defer c.errandDone()
		f()
	})
	return true
}

func (c *Client) errandDone() {
	c.spawning.Lock()
	defer c.spawning.Unlock()
	c.errands--
	if c.errands == 0 && c.errand != nil {
		close(c.errand)
		c.errand = nil
	}
}

// noErrand is closed when there is no errand; nil when there is none.
func (c *Client) noErrand() <-chan struct{} {
	c.spawning.Lock()
	defer c.spawning.Unlock()
	if c.errands > 0 && c.errand == nil {
		c.errand = make(chan struct{})
	}
	return c.errand
}

// handOver returns when all one-way requests on their way have been read, or sent elsewhere, or ctx has ended.
func (c *Client) handOver(ctx context.Context) {
	for {
		var flushed sync.WaitGroup
		for _, l := range c.links() {
			flushed.Go(func() { _ = l.Flush(ctx) })
		}
		flushed.Wait()
		idle := c.noErrand()
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
		c.hush.Do(func() { close(c.quiet) })
	}
	select {
	case <-c.quiet:
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
	if !c.closed {
		c.closed = true
		close(c.done)
		for _, s := range c.services {
			s.stop()
		}
	}
	nodes := make([]*node, 0, len(c.nodes))
	for _, n := range c.nodes {
		nodes = append(nodes, n)
	}
	c.mu.Unlock()
	c.spawning.Lock()
	c.spawned = true
	c.spawning.Unlock()
	var ends sync.WaitGroup
	for _, n := range nodes {
		for _, l := range n.close() {
			ends.Go(l.end)
		}
	}
	ends.Wait()
	c.over.Wait()
}
