package host

import (
	"context"
	"fmt"
	"maps"
	"net"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/discovery/etcd"
)

// clusters is the part that publishes the services of the host in etcd and finds those of others.
type clusters struct {
	*core
	addr      func(listener string) net.Addr // where a listener is bound
	listening func() bool                    // there is something to publish
}

// clustersStep opens the clusters that a change adds.
type clustersStep struct {
	noStep
	of         *clusters
	prev, next *generation
	opened     []*cluster
	abandoned  bool
}

func (d *clusters) plan(_ context.Context, prev, next *generation) (step, error) {
	next.clusters = make(map[string]*cluster)
	s := &clustersStep{of: d, prev: prev, next: next}
	if next.set.Manifest.Discovery == nil {
		return s, nil
	}
	for i, e := range next.set.Manifest.Discovery.Etcd {
		made, running := clusterSpec(next.set, e), prev.cluster(e.Name)
		c, opened, err := reuseOrOpen(next, running, made, func() (*cluster, error) {
			return d.openCluster(next.set, fmt.Sprintf("discovery.etcd[%d]", i), e, made)
		})
		if err != nil {
			return s, err
		}
		if opened {
			c.inherit(running)
			s.opened = append(s.opened, c)
		}
		next.clusters[e.Name] = c
	}
	return s, nil
}

func (s *clustersStep) abandon() { s.abandoned = true }

// retire closes the clusters that next does not have. They withdraw before their users are done.
func (s *clustersStep) retire(<-chan struct{}) {
	var retiring sync.WaitGroup
	defer retiring.Wait()
	if s.abandoned {
		for _, c := range s.opened {
			retiring.Go(func() {
				s.of.drained(&c.refCount)
				s.of.closeCluster(c)
			})
		}
		return
	}
	if s.prev == nil {
		return
	}
	for name, c := range s.prev.clusters {
		if s.next.clusters[name] != c {
			retiring.Go(func() { s.of.discardCluster(c, s.next.clusters[name]) })
		}
	}
}

func (d *clusters) openCluster(set *config.Set, path string, e config.Etcd, made spec[config.Etcd]) (*cluster, error) {
	c := &cluster{refCount: newRefCount(), name: e.Name, spec: made}
	o := etcd.Options{
		Name: e.Name, Endpoints: e.Endpoints, Prefix: e.Prefix, Layouts: e.Layouts, Logger: d.sampler.Logger(),
		Host: d.name, AllowEndpoints: e.AllowEndpoints, DropUnknown: !e.Staleness.KeepLastKnown, MinHealthy: e.Staleness.MinHealthyPercent,
		OnRegistered: func(up bool, err error) { d.registrationChanged(c, up, err) },
	}
	if o.MinHealthy == 0 {
		o.MinHealthy = -1 // none
	}
	if e.Register != nil {
		o.LeaseTTL = e.Register.LeaseTTL.Std()
	}
	var err error
	if o.TLS, err = clientTLS(set, path+".tls", e.TLS); err != nil {
		return nil, err
	}
	if o.Username, err = secret(set, path+".usernameFile", e.UsernameFile); err != nil {
		return nil, err
	}
	if o.Password, err = secret(set, path+".passwordFile", e.PasswordFile); err != nil {
		return nil, err
	}
	if c.etcd, err = etcd.New(o); err != nil {
		return nil, set.ProblemAt(path, err.Error())
	}
	return c, nil
}

// answerWait bounds how long a required cluster may take to answer at the start.
const answerWait = 10 * time.Second

// requireClusters waits for the clusters without which the host must not start. The error is config.Problems.
func (d *clusters) requireClusters(ctx context.Context) error {
	g := d.current.Load()
	found := g.set.Manifest.Discovery
	if found == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, answerWait)
	defer cancel()
	var problems config.Problems
	for i, e := range found.Etcd {
		if !e.Required {
			continue
		}
		if err := g.clusters[e.Name].answers(ctx); err != nil {
			problems = append(problems, g.set.ProblemAt(fmt.Sprintf("discovery.etcd[%d].required", i),
				err.Error()+"; start it, or write required: false to serve without it")...)
		}
	}
	return problems.Err()
}

// discardCluster withdraws and closes a cluster, after its successor has published the same services.
func (d *clusters) discardCluster(c, successor *cluster) {
	if successor != nil {
		succeeding, cancel := context.WithTimeout(d.life, answerWait)
		defer cancel()
		for succeeding.Err() == nil && successor.registering() {
			pause(succeeding, 50*time.Millisecond)
		}
	}
	c.leaving.Store(true)
	withdrawing, cancel := context.WithTimeout(d.life, withdrawWait)
	defer cancel()
	if err := c.etcd.Withdraw(withdrawing); err != nil && d.life.Err() == nil {
		d.log.Warn("what was published goes with its lease", "etcd", c.name, "error", err)
	}
	d.drained(&c.refCount)
	d.closeCluster(c)
}

// close closes the clusters of a host that ends.
func (d *clusters) close(g *generation) {
	var closing sync.WaitGroup
	for _, c := range g.clusters {
		closing.Go(func() { d.closeCluster(c) })
	}
	closing.Wait()
}

func (d *clusters) closeCluster(c *cluster) {
	if c.stopWatch != nil {
		c.stopWatch()
	}
	c.watching.Wait()
	if err := c.etcd.Close(); err != nil {
		d.log.Warn("the connection to etcd was not closed cleanly", "etcd", c.name, "error", err)
	}
}

const (
	// withdrawWait bounds how long withdrawing may take.
	withdrawWait = 2 * time.Second
	// publishedDrainDelay is the default of drainDelay for a host that is published.
	publishedDrainDelay = 5 * time.Second
)

// publish publishes the services of the generation in force in each cluster that this host registers with. It does
// not wait: a cluster that is down gets them when it is back.
func (d *clusters) publish() {
	g := d.current.Load()
	for _, c := range g.inNameOrder() {
		if c.spec.config.Register != nil {
			c.publish(d, d.instances(g, c.name))
		}
	}
}

// instances returns the services of a generation as a cluster publishes them, aliases included.
func (d *clusters) instances(g *generation, clusterName string) []etcd.Instance {
	address := d.advertised(g.set.Manifest, clusterName)
	if address == "" {
		return nil
	}
	var list []etcd.Instance
	for _, s := range g.services {
		if !g.set.Manifest.IsPublished(s.config) {
			continue
		}
		for _, name := range append([]string{s.config.Name}, s.config.Aliases...) {
			list = append(list, etcd.Instance{
				Service: name, Network: "tcp", Address: address, Metadata: maps.Clone(s.config.Metadata), Host: d.name, Version: d.version,
			})
		}
	}
	return list
}

// advertised returns the address that is published; empty if there is none.
func (d *clusters) advertised(m *config.Manifest, clusterName string) string {
	for i := range m.Discovery.Etcd {
		if e := &m.Discovery.Etcd[i]; e.Name == clusterName && e.Register != nil && e.Register.Advertise != "" {
			return e.Register.Advertise
		}
	}
	l := m.PublishedListener()
	if l == nil {
		return ""
	}
	if addr := d.addr(l.Name); addr != nil {
		return addr.String() // with the port that the system chose
	}
	return ""
}

// publishes reports whether the host is published anywhere.
func (d *clusters) publishes() bool {
	g := d.current.Load()
	for _, s := range g.services {
		if g.set.Manifest.IsPublished(s.config) {
			return true
		}
	}
	return false
}

// withdraw removes what is published everywhere, so that callers stop using this host while it still serves.
func (d *clusters) withdraw() {
	ctx, cancel := context.WithTimeout(d.life, withdrawWait)
	defer cancel()
	var all sync.WaitGroup
	for _, c := range d.current.Load().inNameOrder() {
		if c.spec.config.Register == nil {
			continue
		}
		all.Go(func() {
			c.leaving.Store(true)
			before := c.etcd.Status()
			switch err := c.etcd.Withdraw(ctx); {
			case err != nil && !c.registeredOnce.Load():
				d.log.Warn("perhaps not withdrawn: callers may find this host until its lease ends", "etcd", c.name, "error", err)
			case err != nil:
				d.log.Warn("not withdrawn: callers find this host until its lease ends", "etcd", c.name, "error", err)
			case before.Registered:
				d.log.Info("withdrawn", "etcd", c.name, "instances", len(before.Instances))
			}
		})
	}
	all.Wait()
}

// registrationChanged logs whether the services are registered.
func (d *clusters) registrationChanged(c *cluster, up bool, err error) {
	if c.leaving.Load() {
		return
	}
	switch was := c.registered.Swap(up); {
	case up && !was:
		now := time.Now()
		c.registeredSince.Store(&now)
		word := "registered"
		if c.registeredOnce.Swap(true) {
			word = "registered again"
		}
		s := c.etcd.Status()
		d.log.Info(word, "etcd", c.name, "instances", len(s.Instances), "lease", s.Lease)
	case !up && was:
		d.log.Warn("lease lost", "etcd", c.name, "error", err)
	case !up:
		d.log.Warn("not registered yet", "etcd", c.name, "error", err)
	}
}

// followDuplicates reports a duplicate that outlives a lease; a younger one may be an earlier run of this host.
func (d *clusters) followDuplicates(ctx context.Context, c *cluster) {
	tick := time.NewTicker(c.spec.config.Register.LeaseTTL.Std() + time.Second)
	defer tick.Stop()
	var before string
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		at := c.duplicateNow(d.name)
		switch {
		case at == "":
			c.duplicate.Store(nil)
		case at == before && c.duplicate.Load() == nil:
			c.duplicate.Store(&at)
			d.log.Warn("another live host has the name of this one: give each its own host.name", "host", d.name, "at", at, "etcd", c.name)
		}
		before = at
	}
}

// publisher is the part that publishes a generation once its listeners are bound.
type publisher struct{ clusters *clusters }

type publishStep struct {
	noStep
	of *clusters
}

func (p publisher) plan(context.Context, *generation, *generation) (step, error) {
	return publishStep{of: p.clusters}, nil
}

func (s publishStep) commit() {
	if s.of.listening() {
		s.of.publish()
	}
}
