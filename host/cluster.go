package host

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/wire/client"
)

// A cluster is the connection to a cluster of discovery.etcd. Generations share it until its spec changes; it is
// closed when no upstream resolves by it any more.
type cluster struct {
	refCount  // who looks for endpoints in it
	name      string
	spec      spec[config.Etcd]
	etcd      *etcd.Cluster
	lastKnown atomic.Pointer[lastKnown] // by the cluster before it; nil once it has answered

	registered      atomic.Bool
	registeredOnce  atomic.Bool
	registeredSince atomic.Pointer[time.Time]
	leaving         atomic.Bool // withdrawing is no loss

	watchOnce sync.Once // for twins
	stopWatch context.CancelFunc
	watching  sync.WaitGroup
	duplicate atomic.Pointer[string] // where another live host of this name is
}

func (c *cluster) currentSpec() spec[config.Etcd] { return c.spec }

func clusterSpec(set *config.Set, e config.Etcd) spec[config.Etcd] {
	m := spec[config.Etcd]{config: e, files: fingerprint(set, append(tlsFiles(e.TLS), e.UsernameFile, e.PasswordFile)...)}
	if e.Register != nil { // where it is advertised is said with each publishing
		r := *e.Register
		r.Advertise = ""
		m.config.Register = &r
	}
	m.config.Required = false // asked for at the start alone
	return m
}

// answers waits until etcd answers. When ctx ends first, the error says why it did not.
func (c *cluster) answers(ctx context.Context) error {
	const again = 250 * time.Millisecond
	var why error
	for {
		err := c.etcd.Ping(ctx)
		if err == nil {
			return nil
		}
		if why == nil || ctx.Err() == nil { // that the time is over says less
			why = err
		}
		pause(ctx, again)
		if ctx.Err() != nil {
			return why
		}
	}
}

// registering reports whether some of what is published is not registered yet.
func (c *cluster) registering() bool {
	s := c.etcd.Status()
	return !s.Registered && len(s.Instances) > 0
}

// lastKnown is what a cluster knew when an edit replaced it.
type lastKnown struct{ services names[[]client.Endpoint] }

// known returns what the cluster knows or, before its first answer, what the one before it knew; nil if nothing.
func (c *cluster) known() *lastKnown {
	if left := c.lastKnown.Load(); left != nil {
		return left
	}
	found := c.etcd.Status().Services
	if len(found) == 0 {
		return nil
	}
	k := &lastKnown{newNames[[]client.Endpoint](len(found))}
	for name, states := range found {
		k.services.add(name, endpointsOf(states))
	}
	return k
}

func endpointsOf(states []etcd.EndpointState) []client.Endpoint {
	list := make([]client.Endpoint, len(states))
	for i := range states {
		list[i] = states[i].Endpoint
	}
	return list
}

// inherit uses what the replaced cluster knows until this one has an answer: an edit with a wrong address must not
// take away endpoints that work.
func (c *cluster) inherit(before *cluster) {
	if before != nil && c.spec.config.Staleness.KeepLastKnown {
		c.lastKnown.Store(before.known())
	}
}

// Watch implements client.Resolver.
func (c *cluster) Watch(ctx context.Context, service string, update func([]client.Endpoint, error)) error {
	if left := c.lastKnown.Load(); left != nil {
		if list, ok := left.services.find(service); ok {
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
func (c *cluster) WatchServices(ctx context.Context, update func([]string, error)) error {
	if left := c.lastKnown.Load(); left != nil {
		update(left.services.all(), nil)
	}
	return c.etcd.WatchServices(ctx, func(services []string, err error) {
		left := c.lastKnown.Load()
		switch {
		case err == nil && len(c.Missing()) == 0:
			c.lastKnown.Store(nil)
		case err == nil && left != nil: // what is missing may still be there
			services = append(slices.Clip(services), left.services.all()...)
			slices.Sort(services)
			services = slices.Compact(services)
		}
		update(services, err)
	})
}

// Missing implements directory.
func (c *cluster) Missing() []string { return c.etcd.Missing() }

func (c *cluster) publish(d *clusters, list []etcd.Instance) {
	before := c.etcd.Status().Instances
	c.etcd.Publish(list)
	if len(list) == 0 && len(before) > 0 {
		c.registered.Store(false) // so that the next time is news
		d.log.Info("nothing is left to publish: withdrawn", "etcd", c.name, "instances", len(before))
	}
	if len(list) > 0 {
		c.watchOnce.Do(func() { c.watchDuplicates(d) })
	}
}

// watchDuplicates looks for another live host with the name of this one until the cluster is closed. What is kept by
// the name of a host (metrics, status) would mix both.
func (c *cluster) watchDuplicates(d *clusters) {
	ctx, cancel := context.WithCancel(d.life)
	c.stopWatch = cancel
	c.watching.Go(func() { d.followDuplicates(ctx, c) })
}

// duplicateNow returns the address of another live host of that name, the lowest of several.
func (c *cluster) duplicateNow(host string) string {
	s := c.etcd.Status()
	own := make(map[string]bool, len(s.Instances))
	for _, i := range s.Instances {
		own[i.Address] = true
	}
	var first string
	for _, endpoints := range s.Services {
		for _, e := range endpoints {
			if e.Host == host && e.State == etcd.StateLive && !own[e.Address] && len(own) > 0 && (first == "" || e.Address < first) {
				first = e.Address
			}
		}
	}
	return first
}

// lost returns the endpoints of a service that discovery no longer has and that stay in use for a while.
func (c *cluster) lost(service string) map[string]bool {
	if c == nil {
		return nil
	}
	lost := make(map[string]bool)
	for _, address := range c.etcd.Stale(service) {
		lost[address] = true
	}
	if left := c.lastKnown.Load(); left != nil {
		list, _ := left.services.find(service)
		for _, e := range list {
			lost[e.Address] = true
		}
	}
	return lost
}
