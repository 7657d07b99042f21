package host

import (
	"context"
	"time"

	"github.com/easymicro/easymicro/host/discovery/etcd"
)

// watchTwins looks out, until the cluster is closed, for another live host of this host's name. What such hosts share by
// their name (metrics, overrides, status of a fleet) is of one or the other by chance.
func (c *cluster) watchTwins(h *Host) {
	ctx, cancel := context.WithCancel(h.life)
	c.stopWatch = cancel
	c.watching.Go(func() { h.followTwins(ctx, c) })
}

// followTwins believes in a twin that outlives a lease: before that it may be this host's own past.
func (h *Host) followTwins(ctx context.Context, c *cluster) {
	tick := time.NewTicker(c.made.config.Register.LeaseTTL.Std() + time.Second)
	defer tick.Stop()
	var before string
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		at := c.twinNow(h.name)
		switch {
		case at == "":
			c.twin.Store(nil)
		case at == before && c.twin.Load() == nil:
			c.twin.Store(&at)
			h.log.Warn("another live host has the name of this one: give each its own host.name", "host", h.name, "at", at, "etcd", c.name)
		}
		before = at
	}
}

// twinNow is where another live host of that name is, as far as the cluster knows: of several, the first by address.
func (c *cluster) twinNow(host string) string {
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
