// Package etcd publishes services in etcd and finds those of others, in the key layouts of easymicro and rpcx.
//
// What was found once is kept while etcd is away, and what is published is published again when it is back, whatever
// happened to it meanwhile: a restart, an empty data folder, a compaction, a partition, a revoked lease.
package etcd

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// Options say which cluster, and how its keys are laid out. Endpoints are required, all else has a useful zero value.
type Options struct {
	Name        string   // of the cluster in the manifest, for logs and errors
	Endpoints   []string // URLs of the members: http or https, host and port
	Prefix      string   // of the first layout; empty: services/ for easymicro, rpcx/ for rpcx
	Layouts     []string // easymicro, rpcx or both; empty: easymicro
	TLS         *tls.Config
	Username    string
	Password    string
	LeaseTTL    time.Duration // 0: 10 s
	DropUnknown bool          // forget the endpoints while etcd is away
	MinHealthy  int           // percent of a list that must remain for the loss to be believed at once; negative: 0; 0: 50
	Host        string        // name of this host, whose own loopback addresses are believed
	Logger      *slog.Logger
	// AllowEndpoints has the kinds of addresses that are believed though they are of this machine or its surroundings:
	// loopback, linkLocal, unix. Loopback is also where etcd itself is, or where the key is of this host.
	AllowEndpoints []string

	OnRegistered func(up bool, err error) // told when the registration is lost and regained; must not block
}

// Instance is one service of this host as it is published.
type Instance struct {
	Service  string // exact name; an alias is an instance of its own
	Network  string // tcp
	Address  string // host:port that others reach it at
	Metadata map[string]string
	Host     string
	Version  string
}

// Cluster is an etcd cluster: a client.Resolver, and the place where a host publishes itself. It is safe for concurrent
// use.
type Cluster struct {
	o        Options
	layouts  []layout
	log      *slog.Logger
	table    *table
	registry *registrar
	lines    lines
	refusals refusals

	dialing chan struct{} // holds one token: whoever has it may make the client
	running sync.WaitGroup

	mu        sync.Mutex
	client    *clientv3.Client // nil until it is needed
	cancels   []context.CancelFunc
	kicks     []chan struct{} // of those who want to know of reconnects
	following bool
	closed    bool
	health    health
}

// The times of all traffic with etcd.
const (
	callTimeout       = 3 * time.Second // of one call, connecting included
	loginTimeout      = 5 * time.Second // of the first one with a password, which costs etcd some work
	defaultLeaseTTL   = 10 * time.Second
	minHold           = 30 * time.Second // for which a removed endpoint may stay in use
	listEvery         = time.Minute      // ± 10 %: the net under the watch
	sureAfter         = 10 * time.Second // when keys that a list has not, and of which no event tells, are gone all the same
	defaultMinHealthy = 50
)

var errClosed = errors.New("the connection to etcd was closed")

// New makes a Cluster. It opens nothing before it is used, and does not care whether etcd lives.
func New(o Options) (*Cluster, error) {
	if err := o.checkEndpoints(); err != nil {
		return nil, fmt.Errorf("%s: %w", o.label(), err)
	}
	layouts, err := layoutsOf(o.Layouts, o.Prefix)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.label(), err)
	}
	if o.LeaseTTL <= 0 {
		o.LeaseTTL = defaultLeaseTTL
	}
	if o.MinHealthy == 0 {
		o.MinHealthy = defaultMinHealthy
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Cluster{o: o, layouts: layouts, log: o.Logger.With("etcd", o.Name), dialing: make(chan struct{}, 1)}
	c.table = newTable(len(layouts), max(o.MinHealthy, 0), max(3*o.LeaseTTL, minHold), o.DropUnknown)
	c.registry = newRegistrar(c)
	return c, nil
}

// Ping asks the cluster for an answer. The error says why there is none.
func (c *Cluster) Ping(ctx context.Context) error {
	err := c.call(ctx, func(ctx context.Context, cl *clientv3.Client) error {
		_, err := cl.Get(ctx, c.layouts[0].prefix(), clientv3.WithPrefix(), clientv3.WithCountOnly())
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", c.o.label(), err)
	}
	return nil
}

// Close ends all that the cluster does, and returns when it has ended. What is published goes with its lease.
func (c *Cluster) Close() error {
	c.mu.Lock()
	c.closed = true
	cancels := c.cancels
	c.cancels = nil
	c.mu.Unlock()
	for _, cancel := range cancels {
		cancel()
	}
	c.table.close()
	c.running.Wait()
	c.mu.Lock()
	cl := c.client
	c.client = nil
	c.mu.Unlock()
	if cl == nil {
		return nil
	}
	if err := cl.Close(); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("%s: close: %w", c.o.label(), err)
	}
	return nil
}

// spawn runs f until it returns, which it does when the context that it gets ends: at Close.
func (c *Cluster) spawn(f func(context.Context)) {
	ctx, cancel := context.WithCancel(context.Background())
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		cancel()
		return
	}
	c.cancels = append(c.cancels, cancel)
	c.running.Go(func() { defer cancel(); f(ctx) })
}

// follow starts to follow the keys of all layouts, once.
func (c *Cluster) follow() {
	c.mu.Lock()
	started := c.following
	c.following = true
	c.mu.Unlock()
	if started {
		return
	}
	for i, l := range c.layouts {
		f := &follower{c: c, layout: l, index: i, kick: c.onReconnect()}
		c.spawn(f.run)
	}
}

// onReconnect is told when the connection was lost and when it is back.
func (c *Cluster) onReconnect() chan struct{} {
	kick := make(chan struct{}, 1)
	c.mu.Lock()
	c.kicks = append(c.kicks, kick)
	c.mu.Unlock()
	return kick
}
