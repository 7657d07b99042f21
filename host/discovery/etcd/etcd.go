// Package etcd publishes services in etcd and discovers those of other hosts, in the key layouts of easymicro and rpcx.
//
// Endpoints that were found stay in use while etcd is unreachable. Services are published again once etcd is reachable,
// whatever happened to it: a restart, an empty data directory, a compaction, a partition, a revoked lease.
package etcd

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"

	"github.com/easymicro/easymicro/wire/client"
)

// Cluster is a client of an etcd cluster. It discovers services, as a client.Resolver, and publishes those of this host. It
// is safe for concurrent use.
type Cluster struct {
	o            Options
	layouts      layouts
	log          *slog.Logger
	conn         *connection
	cache        *cache
	trust        *trust
	registration *registration
	following    sync.Once
}

// minHold is the minimum time for which a lost endpoint stays in use.
const minHold = 30 * time.Second

// New returns a Cluster. It connects on first use; etcd need not be reachable.
func New(o Options) (*Cluster, error) {
	if err := o.checkEndpoints(); err != nil {
		return nil, fmt.Errorf("%s: %w", o.label(), err)
	}
	layouts, err := newLayouts(o.Layouts, o.Prefix)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", o.label(), err)
	}
	o.setDefaults()
	log := o.Logger.With("etcd", o.Name)
	c := &Cluster{o: o, layouts: layouts, log: log}
	c.conn = newConnection(&c.o, log)
	c.cache = newCache(len(layouts), max(o.MinHealthy, 0), max(3*o.LeaseTTL, minHold), o.DropUnknown, log)
	c.registration = newRegistration(&c.o, layouts, c.cache, log, c.conn.onReconnect())
	c.trust = &trust{allow: o.AllowEndpoints, host: o.Host, etcdLocal: o.onLoopback(), owns: c.registration.owns, log: log}
	return c, nil
}

// Ping sends a request to the cluster, and returns the reason if there is no answer.
func (c *Cluster) Ping(ctx context.Context) error {
	err := c.conn.call(ctx, func(ctx context.Context, cl *clientv3.Client) error {
		_, err := cl.Get(ctx, c.layouts[0].prefix(), clientv3.WithPrefix(), clientv3.WithCountOnly())
		return err
	})
	if err != nil {
		return fmt.Errorf("%s: %w", c.o.label(), err)
	}
	return nil
}

// Close stops all work of the cluster and waits for it. Published keys expire with their lease.
func (c *Cluster) Close() error { return c.conn.close() }

// follow starts following the keys of all layouts, once.
func (c *Cluster) follow() {
	c.following.Do(func() {
		for i, l := range c.layouts {
			f := &follower{
				conn: c.conn, layout: l, index: i, cache: c.cache, trust: c.trust, log: c.log,
				onChange: c.registration.check, reconnect: c.conn.onReconnect(),
			}
			c.conn.spawn(f.run)
		}
	})
}

// Publish replaces what this host publishes and keeps it published until Withdraw, whatever happens to etcd. It returns at
// once; OnRegistered and Status report when it is done. The caller must not change list afterwards.
func (c *Cluster) Publish(list []Instance) {
	if isClosed(c.conn.closed) {
		return
	}
	if c.registration.set(list) {
		c.follow() // it notices keys that another program deletes
		c.conn.spawn((&publisher{conn: c.conn, reg: c.registration, log: c.log}).run)
	}
	notify(c.registration.wake)
}

// Withdraw removes what was published. It returns when that is deleted from etcd, or with the error of ctx.
func (c *Cluster) Withdraw(ctx context.Context) error {
	c.Publish(nil)
	select {
	case <-c.registration.withdrawn():
		return nil
	case <-c.conn.closed:
		return fmt.Errorf("%s: deregister: %w", c.o.label(), errClosed)
	case <-ctx.Done():
		return fmt.Errorf("%s: deregister: %w: the keys expire with their lease, within %v", c.o.label(), ctx.Err(), c.o.LeaseTTL)
	}
}

// Watch implements client.Resolver; all watches share one watch of etcd. If no service has exactly this name, it matches
// regardless of case, provided that only one service does.
func (c *Cluster) Watch(ctx context.Context, service string, update func([]client.Endpoint, error)) error {
	var last []callable
	same := func(a, b callable) bool { return a.sameEndpoint(b.node) }
	return c.watch(ctx, strings.ToLower(service), func(v view, first bool) {
		if first || !slices.EqualFunc(last, v.list, same) {
			last = v.list
			update(endpoints(v.list), nil)
		}
	}, func(err error) { update(nil, err) }, func(now time.Time) view { return c.cache.lookup(now, service) })
}

// WatchServices calls update with the names of all services that have endpoints, as Watch does with endpoints. The first
// list may be of some layouts only; another follows when Missing is empty.
func (c *Cluster) WatchServices(ctx context.Context, update func([]string, error)) error {
	var last, found []string
	complete := false
	return c.watch(ctx, "", func(v view, first bool) {
		if first || v.complete != complete || !slices.Equal(last, found) {
			last, complete = found, v.complete
			update(found, nil)
		}
	}, func(err error) { update(nil, err) }, func(now time.Time) view {
		list, v := c.cache.all(now)
		found = make([]string, 0, len(list))
		for _, s := range list {
			found = append(found, s.name)
		}
		return v
	})
}

// Listed returns nil once the keys of every layout have been listed, or, when ctx ends, an error with what is missing and
// why. Until then Watch and WatchServices may report the endpoints of some layouts only.
func (c *Cluster) Listed(ctx context.Context) error {
	waiting, done := context.WithCancel(ctx)
	defer done()
	var reason error
	err := c.watch(waiting, "", func(view, bool) { done() }, func(err error) { reason = err }, func(time.Time) view { return c.cache.state() })
	missing := c.Missing()
	if err != nil || len(missing) == 0 {
		return err
	}
	if reason == nil {
		reason = context.Cause(ctx)
	}
	return fmt.Errorf("%s: the keys of layout %s were not listed: %w", c.o.label(), strings.Join(missing, ", "), reason)
}

// Missing returns the layouts whose keys have not been listed yet.
func (c *Cluster) Missing() []string {
	var names []string
	for _, i := range c.cache.unlisted() {
		names = append(names, c.layouts[i].name())
	}
	return names
}

// watch passes the result of look to found whenever it may have changed, until ctx ends. first is true if it must be passed
// on even if unchanged: at the beginning, and after an error.
func (c *Cluster) watch(ctx context.Context, name string, found func(v view, first bool), failed func(error), look func(time.Time) view) error {
	wake, unsubscribe := c.cache.subscribe(name)
	defer unsubscribe()
	c.follow()
	expire := time.NewTimer(time.Hour)
	defer expire.Stop()
	first, failure := true, ""
	for {
		now := time.Now()
		v := look(now)
		if v.known {
			found(v, first || failure != "" && v.err == nil)
			first = false
		}
		switch {
		case v.err == nil:
			failure = ""
		case v.err.Error() != failure:
			failure = v.err.Error()
			failed(v.err)
		}
		expire.Stop()
		if !v.expires.IsZero() {
			expire.Reset(v.expires.Sub(now))
		}
		select {
		case <-ctx.Done():
			return nil
		case <-c.conn.closed:
			return errClosed
		case <-wake:
		case <-expire.C:
		}
	}
}

func endpoints(list []callable) []client.Endpoint {
	found := make([]client.Endpoint, len(list))
	for i, n := range list {
		found[i] = n.Endpoint
	}
	return found
}

// Stale returns the stale ones of the addresses that Watch reports for a service.
func (c *Cluster) Stale(service string) []string {
	var stale []string
	for _, n := range c.cache.lookup(time.Now(), service).list {
		if n.stale {
			stale = append(stale, n.Address)
		}
	}
	return stale
}

// Status is the state of a Cluster.
type Status struct {
	Connected  bool
	Err        string    // why it is not connected
	Lease      string    // hexadecimal; empty: none
	Registered bool      // all instances are published under the lease
	Since      time.Time // of the last change of Connected; zero before the first answer
	Instances  []Instance
	Services   map[string][]EndpointState // what was found, by service
	LeftOut    []LeftOut                  // found but not accepted
}

// States of found endpoints.
const (
	StateLive  = "live"
	StateStale = "stale" // no longer in etcd, kept for a while
)

// EndpointState is a found endpoint.
type EndpointState struct {
	client.Endpoint
	Host    string   // empty if its layout does not have it
	Version string   // of the host; empty if its layout does not have it
	Layouts []string // in which it was found: easymicro, rpcx or both
	State   string   // StateLive or StateStale
}

// Status returns the state of the cluster.
func (c *Cluster) Status() Status {
	h := c.cache.currentHealth()
	s := Status{Connected: h.connected, Since: h.since, LeftOut: c.cache.leftOut()}
	if h.err != nil {
		s.Err = h.err.Error()
	}
	s.Lease, s.Registered, s.Instances = c.registration.state()
	list, _ := c.cache.all(time.Now())
	s.Services = make(map[string][]EndpointState, len(list))
	for _, found := range list {
		states := make([]EndpointState, len(found.list))
		for i, n := range found.list {
			states[i] = EndpointState{n.Endpoint, n.host, n.version, n.layouts, StateLive}
			if n.stale {
				states[i].State = StateStale
			}
		}
		s.Services[found.name] = states
	}
	return s
}
