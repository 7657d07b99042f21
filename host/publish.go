package host

import (
	"context"
	"maps"
	"sync"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/discovery/etcd"
)

const (
	// withdrawWait bounds how long a host that ends waits for etcd to forget it.
	withdrawWait = 2 * time.Second
	// publishedDrainDelay is the default of drainDelay for a host that others find by discovery.
	publishedDrainDelay = 5 * time.Second
)

// publish has every cluster that this host registers with publish what the generation in force says. It returns at once:
// a cluster that is away gets it when it comes back.
func (h *Host) publish() {
	g := h.current.Load()
	for _, c := range g.inNameOrder() {
		if c.made.config.Register != nil {
			c.publish(h, h.instances(g, c.name))
		}
	}
}

func (c *cluster) publish(h *Host, list []etcd.Instance) {
	before := c.etcd.Status().Instances
	c.etcd.Publish(list)
	if len(list) == 0 && len(before) > 0 {
		c.registered.Store(false) // so that the next time is news
		h.log.Info("nothing is left to publish: withdrawn", "etcd", c.name, "instances", len(before))
	}
	if len(list) > 0 {
		c.lookOut.Do(func() { c.watchTwins(h) })
	}
}

// instances are the services of a generation as a cluster publishes them, aliases included.
func (h *Host) instances(g *generation, clusterName string) []etcd.Instance {
	address := h.advertised(g.set.Manifest, clusterName)
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
				Service: name, Network: "tcp", Address: address, Metadata: maps.Clone(s.config.Metadata), Host: h.name, Version: h.version,
			})
		}
	}
	return list
}

// advertised is where others reach this host.
func (h *Host) advertised(m *config.Manifest, clusterName string) string {
	for i := range m.Discovery.Etcd {
		if e := &m.Discovery.Etcd[i]; e.Name == clusterName && e.Register != nil && e.Register.Advertise != "" {
			return e.Register.Advertise
		}
	}
	l := m.PublishedListener()
	if l == nil {
		return ""
	}
	if addr := h.Addr(l.Name); addr != nil {
		return addr.String() // with the port that the system chose
	}
	return ""
}

// publishes tells whether others find this host by discovery.
func (h *Host) publishes() bool {
	g := h.current.Load()
	for _, s := range g.services {
		if g.set.Manifest.IsPublished(s.config) {
			return true
		}
	}
	return false
}

// withdraw takes back what is published everywhere, so that callers go elsewhere while the host still serves.
func (h *Host) withdraw() {
	ctx, cancel := context.WithTimeout(h.life, withdrawWait)
	defer cancel()
	var all sync.WaitGroup
	for _, c := range h.current.Load().inNameOrder() {
		if c.made.config.Register == nil {
			continue
		}
		all.Go(func() {
			c.leaving.Store(true)
			before := c.etcd.Status()
			switch err := c.etcd.Withdraw(ctx); {
			case err != nil && !c.registeredOnce.Load():
				h.log.Warn("perhaps not withdrawn: callers may find this host until its lease ends", "etcd", c.name, "error", err)
			case err != nil:
				h.log.Warn("not withdrawn: callers find this host until its lease ends", "etcd", c.name, "error", err)
			case before.Registered:
				h.log.Info("withdrawn", "etcd", c.name, "instances", len(before.Instances))
			}
		})
	}
	all.Wait()
}

// registrationChanged logs how it stands with what is published.
func (h *Host) registrationChanged(c *cluster, up bool, err error) {
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
		h.log.Info(word, "etcd", c.name, "instances", len(s.Instances), "lease", s.Lease)
	case !up && was:
		h.log.Warn("lease lost", "etcd", c.name, "error", err)
	case !up:
		h.log.Warn("not registered yet", "etcd", c.name, "error", err)
	}
}
