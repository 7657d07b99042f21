package outgoing

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/credentials"
	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/wire/client"
)

const (
	// answerWait bounds how long a required cluster may take to answer at the start, and a new one to take over.
	answerWait = 10 * time.Second
	// withdrawWait bounds how long withdrawing may take.
	withdrawWait = 2 * time.Second
)

// A Cluster is the connection to a cluster of discovery.etcd. Generations share it until its spec changes; it is
// closed when no upstream resolves by it any more.
type Cluster struct {
	route.RefCount // upstreams and gateways that find endpoints in it
	name, host     string
	log            *slog.Logger
	spec           spec[config.Etcd]
	etcd           *etcd.Cluster
	lastKnown      atomic.Pointer[endpoints] // by the cluster before it; nil once it has answered

	registered      atomic.Bool
	registeredOnce  atomic.Bool
	registeredSince atomic.Pointer[time.Time]
	leaving         atomic.Bool   // withdrawing is no loss
	settle          func()        // closes settled
	settled         chan struct{} // closed once it has registered, or has nothing to register

	watchOnce sync.Once // starts watching for duplicates
	stopWatch context.CancelFunc
	watching  sync.WaitGroup
	duplicate atomic.Pointer[string] // address of another live host of this name
}

func (c *Cluster) currentSpec() spec[config.Etcd] { return c.spec }

func clusterSpec(set *config.Set, e config.Etcd) spec[config.Etcd] {
	m := spec[config.Etcd]{config: e, files: credentials.Fingerprint(set, append(credentials.ClientFiles(e.TLS), e.UsernameFile, e.PasswordFile)...)}
	if e.Register != nil { // Publish passes the address to advertise
		r := *e.Register
		r.Advertise = ""
		m.config.Register = &r
	}
	m.config.Required = false // matters only at the start
	return m
}

// answers waits until etcd answers. When ctx ends first, it returns the reason. It keeps asking: a connection may be up
// although the cluster has no leader.
func (c *Cluster) answers(ctx context.Context) error {
	const again = 250 * time.Millisecond
	var why error
	for {
		err := c.etcd.Ping(ctx)
		if err == nil {
			return nil
		}
		if why == nil || ctx.Err() == nil { // the deadline alone says less
			why = err
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return why
		}
	}
}

// awaitRegistered waits until the published services are registered.
func (c *Cluster) awaitRegistered(ctx context.Context) {
	if s := c.etcd.Status(); s.Registered || len(s.Instances) == 0 {
		return
	}
	select {
	case <-c.settled:
	case <-ctx.Done():
	}
}

// endpoints holds the endpoints of each service.
type endpoints = route.Names[[]client.Endpoint]

// known returns the known endpoints; before the first answer, those of the cluster before it. It returns nil without any.
func (c *Cluster) known() *endpoints {
	if known := c.lastKnown.Load(); known != nil {
		return known
	}
	found := c.etcd.Status().Services
	if len(found) == 0 {
		return nil
	}
	all := route.NewNames[[]client.Endpoint](len(found))
	for name, states := range found {
		all.Add(name, endpointsOf(states))
	}
	return &all
}

func endpointsOf(states []etcd.EndpointState) []client.Endpoint {
	list := make([]client.Endpoint, len(states))
	for i := range states {
		list[i] = states[i].Endpoint
	}
	return list
}

// inherit uses the endpoints of the replaced cluster until this one has an answer: an edit with a wrong address must not
// remove endpoints that work.
func (c *Cluster) inherit(before *Cluster) {
	if before != nil && c.spec.config.Staleness.KeepLastKnown {
		c.lastKnown.Store(before.known())
	}
}

// Watch implements client.Resolver.
func (c *Cluster) Watch(ctx context.Context, service string, update func([]client.Endpoint, error)) error {
	if known := c.lastKnown.Load(); known != nil {
		if list, ok := known.Find(service); ok {
			update(list, nil)
		}
	}
	return c.etcd.Watch(ctx, service, func(list []client.Endpoint, err error) {
		if err == nil && len(c.Missing()) == 0 {
			c.lastKnown.Store(nil)
		}
		update(list, err)
	})
}

// WatchServices implements directory.
func (c *Cluster) WatchServices(ctx context.Context, update func([]string, error)) error {
	if known := c.lastKnown.Load(); known != nil {
		update(known.All(), nil)
	}
	return c.etcd.WatchServices(ctx, func(services []string, err error) {
		known := c.lastKnown.Load()
		switch {
		case err == nil && len(c.Missing()) == 0:
			c.lastKnown.Store(nil)
		case err == nil && known != nil: // the missing ones may still exist
			services = append(slices.Clip(services), known.All()...)
			slices.Sort(services)
			services = slices.Compact(services)
		}
		update(services, err)
	})
}

// Missing implements directory.
func (c *Cluster) Missing() []string { return c.etcd.Missing() }

// publish publishes the instances. It does not wait: a cluster that is down gets them when it is back.
func (c *Cluster) publish(life context.Context, list []etcd.Instance) {
	c.leaving.Store(false)
	before := c.etcd.Status().Instances
	c.etcd.Publish(list)
	if len(list) == 0 && len(before) > 0 {
		c.registered.Store(false) // so that the next registration is logged
		c.settle()
		c.log.Info("no services left to publish, deregistered", "etcd", c.name, "instances", len(before))
	}
	if len(list) > 0 {
		c.watchOnce.Do(func() {
			var ctx context.Context
			ctx, c.stopWatch = context.WithCancel(life)
			c.watching.Go(func() { c.followDuplicates(ctx) })
		})
	}
}

// followDuplicates looks for another live host with the name of this one until the cluster is closed. What is kept by
// the name of a host (metrics, status) would mix both. A duplicate is reported when it outlives a lease; a younger one
// may be an earlier run of this host.
func (c *Cluster) followDuplicates(ctx context.Context) {
	tick := time.NewTicker(c.spec.config.Register.LeaseTTL.Std() + time.Second)
	defer tick.Stop()
	var before string
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		at := c.duplicateNow()
		switch {
		case at == "":
			c.duplicate.Store(nil)
		case at == before && c.duplicate.Load() == nil:
			c.duplicate.Store(&at)
			c.log.Warn("another live host has the same name: give each its own host.name", "host", c.host, "at", at, "etcd", c.name)
		}
		before = at
	}
}

// duplicateNow returns the address of another live host of this name, the lowest of several.
func (c *Cluster) duplicateNow() string {
	s := c.etcd.Status()
	own := make(map[string]bool, len(s.Instances))
	for _, i := range s.Instances {
		own[i.Address] = true
	}
	var first string
	for _, endpoints := range s.Services {
		for _, e := range endpoints {
			if e.Host == c.host && e.State == etcd.StateLive && !own[e.Address] && len(own) > 0 && (first == "" || e.Address < first) {
				first = e.Address
			}
		}
	}
	return first
}

// Lost returns the endpoints of a service that discovery no longer has and that stay in use for a while.
func (c *Cluster) Lost(service string) map[string]bool {
	if c == nil {
		return nil
	}
	lost := make(map[string]bool)
	for _, address := range c.etcd.Stale(service) {
		lost[address] = true
	}
	if known := c.lastKnown.Load(); known != nil {
		list, _ := known.Find(service)
		for _, e := range list {
			lost[e.Address] = true
		}
	}
	return lost
}

// registrationChanged logs whether the services are registered.
func (c *Cluster) registrationChanged(up bool, err error) {
	if c.leaving.Load() {
		return
	}
	switch was := c.registered.Swap(up); {
	case up && !was:
		now := time.Now()
		c.registeredSince.Store(&now)
		c.settle()
		word := "registered"
		if c.registeredOnce.Swap(true) {
			word = "registered again"
		}
		s := c.etcd.Status()
		c.log.Info(word, "etcd", c.name, "instances", len(s.Instances), "lease", s.Lease)
	case !up && was:
		c.log.Warn("lease lost", "etcd", c.name, "error", err)
	case !up:
		c.log.Warn("not registered yet", "etcd", c.name, "error", err)
	}
}

// withdraw deregisters the services, so that callers stop using this host while it still serves.
func (c *Cluster) withdraw(ctx context.Context) error {
	c.leaving.Store(true)
	c.registered.Store(false) // so that the next registration is logged
	c.settle()
	return c.etcd.Withdraw(ctx)
}

// leave withdraws for a host that ends or is drained.
func (c *Cluster) leave(ctx context.Context) error {
	before := c.etcd.Status()
	err := c.withdraw(ctx)
	switch {
	case err != nil:
		what := "not deregistered: callers find this host until its lease expires"
		if !c.registeredOnce.Load() {
			what = "may not be deregistered: callers may find this host until its lease expires"
		}
		c.log.Warn(what, "etcd", c.name, "error", err)
		return fmt.Errorf("%s: %w", what, err)
	case before.Registered:
		c.log.Info("deregistered", "etcd", c.name, "instances", len(before.Instances))
	}
	return nil
}

// discard withdraws and closes the cluster, after its successor has published the same services.
func (c *Cluster) discard(life context.Context, successor *Cluster) {
	if successor != nil {
		succeeding, cancel := context.WithTimeout(life, answerWait)
		defer cancel()
		successor.awaitRegistered(succeeding)
	}
	withdrawing, cancel := context.WithTimeout(life, withdrawWait)
	defer cancel()
	if err := c.withdraw(withdrawing); err != nil && life.Err() == nil {
		c.log.Warn("not deregistered: the registration expires with its lease", "etcd", c.name, "error", err)
	}
	c.Drain(life)
	c.close()
}

func (c *Cluster) close() {
	if c.stopWatch != nil {
		c.stopWatch()
	}
	c.watching.Wait()
	if err := c.etcd.Close(); err != nil {
		c.log.Warn("etcd connection not closed cleanly", "etcd", c.name, "error", err)
	}
}

// ClusterStatus is the state of a cluster.
type ClusterStatus struct {
	etcd.Status
	Name            string
	Registers       bool // the manifest says so
	RegisteredSince time.Time
	Duplicate       string // address of another live host of this name; empty without one
}

// Status returns the state of the cluster.
func (c *Cluster) Status() ClusterStatus {
	s := ClusterStatus{Status: c.etcd.Status(), Name: c.name, Registers: c.spec.config.Register != nil}
	if since := c.registeredSince.Load(); since != nil && s.Registered {
		s.RegisteredSince = *since
	}
	if at := c.duplicate.Load(); at != nil {
		s.Duplicate = *at
	}
	return s
}

// isUp reports whether all published services are registered.
func (c *Cluster) isUp() bool {
	s := c.etcd.Status()
	return c.spec.config.Register == nil || s.Registered || len(s.Instances) == 0 && !c.leaving.Load()
}
