package host

import (
	"context"
	"time"

	"github.com/easymicro/easymicro/wire/client"
)

// watchTwins looks out, until the cluster is closed, for another live host of this host's name. What such hosts share by
// their name (metrics, overrides, status of a fleet) is of one or the other by chance.
func (c *cluster) watchTwins(h *Host) {
	ctx, cancel := context.WithCancel(h.life)
	c.stopWatch = cancel
	changed := make(chan struct{}, 1)
	service := c.etcd.Status().Instances
	if len(service) == 0 {
		return
	}
	name := service[0].Service
	c.watching.Go(func() {
		_ = c.etcd.Watch(ctx, name, func([]client.Endpoint, error) {
			select {
			case changed <- struct{}{}:
			default:
			}
		})
	})
	c.watching.Go(func() { h.followTwins(ctx, c, changed) })
}

// followTwins believes in a twin that outlives a lease: before that it may be this host's own past.
func (h *Host) followTwins(ctx context.Context, c *cluster, changed <-chan struct{}) {
	believe := time.NewTimer(0)
	defer believe.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-changed:
			if c.twinNow(h.name) == "" {
				c.twin.Store(nil)
			} else if c.twin.Load() == nil {
				believe.Reset(c.made.config.Register.LeaseTTL.Std() + time.Second)
			}
		case <-believe.C:
			if at := c.twinNow(h.name); at != "" {
				c.twin.Store(&at)
				h.log.Warn("another live host has the name of this one: give each its own host.name", "host", h.name, "at", at, "etcd", c.name)
			}
		}
	}
}

// twinNow is where another live host of that name is, as far as the cluster knows.
func (c *cluster) twinNow(host string) string {
	s := c.etcd.Status()
	own := make(map[string]bool, len(s.Instances))
	for _, i := range s.Instances {
		own[i.Address] = true
	}
	for _, endpoints := range s.Services {
		for _, e := range endpoints {
			if e.Host == host && e.State == "live" && !own[e.Address] && len(own) > 0 {
				return e.Address
			}
		}
	}
	return ""
}
