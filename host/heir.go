package host

import (
	"context"
	"slices"

	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/wire/client"
)

// known is what a cluster knew when an edit put another in its place.
type known struct{ services names[[]client.Endpoint] }

// knows is what the cluster knows, or what it was left by the one before it when it has not answered yet; nil: nothing.
func (c *cluster) knows() *known {
	if left := c.left.Load(); left != nil {
		return left
	}
	found := c.etcd.Status().Services
	if len(found) == 0 {
		return nil
	}
	k := &known{newNames[[]client.Endpoint](len(found))}
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

// inherit has the cluster go on with what the one before it knows, until it has an answer of its own: an edit that names
// the wrong address must not take away what works.
func (c *cluster) inherit(before *cluster) {
	if before != nil && c.made.config.Staleness.KeepLastKnown {
		c.left.Store(before.knows())
	}
}

// Watch is that of client.Resolver.
func (c *cluster) Watch(ctx context.Context, service string, update func([]client.Endpoint, error)) error {
	if left := c.left.Load(); left != nil {
		if list, ok := left.services.find(service); ok {
			update(list, nil)
		}
	}
	return c.etcd.Watch(ctx, service, func(list []client.Endpoint, err error) {
		if err == nil && len(c.Missing()) == 0 {
			c.left.Store(nil)
		}
		update(list, err)
	})
}

// WatchServices is that of directory.
func (c *cluster) WatchServices(ctx context.Context, update func([]string, error)) error {
	if left := c.left.Load(); left != nil {
		update(left.services.all(), nil)
	}
	return c.etcd.WatchServices(ctx, func(services []string, err error) {
		left := c.left.Load()
		switch {
		case err == nil && len(c.Missing()) == 0:
			c.left.Store(nil)
		case err == nil && left != nil: // what is missing may still be there
			services = append(slices.Clip(services), left.services.all()...)
			slices.Sort(services)
			services = slices.Compact(services)
		}
		update(services, err)
	})
}

// Missing is that of directory.
func (c *cluster) Missing() []string { return c.etcd.Missing() }
