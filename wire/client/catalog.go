package client

import (
	"maps"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

const (
	maxServices = 4096             // further ones take the place of those that nobody serves
	unknownKept = 10 * time.Second // a service that nobody serves is forgotten when it was not called for so long
	serviceKept = 10 * time.Minute // any other service
	sweepEvery  = 5 * time.Second
	evictLooks  = 8
)

// sweepAll forgets services that are not called any more, for as long as there are any.
func (c *Client) sweepAll() {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for left := true; left; {
		select {
		case <-c.done:
			return
		case <-tick.C:
		}
		c.mu.Lock()
		for _, s := range c.services {
			kept := unknownKept
			if s.kept || len(s.list.Load().members) > 0 {
				kept = serviceKept
			}
			if !s.usedWithin(kept) {
				c.drop(s)
			}
		}
		for at, n := range c.nodes {
			if len(*n.users.Load()) == 0 && n.settleUsers() {
				delete(c.nodes, at)
			}
		}
		left = len(c.services)+len(c.nodes) > 0
		c.sweeping = left
		c.mu.Unlock()
	}
}

// evict forgets a service that nobody serves, if there is one: whoever invents names must not keep others from being
// looked up, nor make that slow. Of a few, taken at random, it is the one that was not called for longest. It needs c.mu.
func (c *Client) evict() bool {
	var found *service
	looks := evictLooks
	for s := range c.unknown {
		if found == nil || s.used.Load() < found.used.Load() {
			found = s
		}
		looks--
		if looks == 0 {
			break
		}
	}
	if found == nil {
		return false
	}
	c.drop(found)
	return true
}

// drop needs c.mu.
func (c *Client) drop(s *service) {
	s.gone = true
	c.over.Go(s.lookup.Close)
	delete(c.services, s.name)
	delete(c.unknown, s)
	s.depart(s.list.Load().members, nil)
}

// member makes an endpoint one of a list; old is the same endpoint in the list before. It needs c.mu.
func (c *Client) member(e Endpoint, old *member, index int) *member {
	m := &member{ep: e, index: index, weight: e.weight(), hash: hashOf(e.Address)}
	if old != nil {
		m.node, m.load = old.node, old.load
	} else {
		m.node, m.load = c.node(e.place()), new(load)
	}
	return m
}

// node is the node of a place. It needs c.mu.
func (c *Client) node(at place) *node {
	n := c.nodes[at]
	if n == nil {
		n = &node{c: c, place: at, links: make([]atomic.Pointer[link], c.o.PoolSize+1), kick: make(chan struct{}, 1)}
		n.users.Store(new([]user))
		c.nodes[at] = n
	}
	return n
}

// service is the service of that name; the first call of it starts to watch it.
func (c *Client) service(name string) (*service, error) {
	c.mu.RLock()
	s := c.services[name]
	if s != nil {
		s.touch() // under the lock, so that it is not forgotten now
	}
	c.mu.RUnlock()
	if s == nil {
		return c.newService(name)
	}
	return s, nil
}

func (c *Client) newService(name string) (*service, error) {
	s, err := c.addService(name, false)
	if err != nil {
		return nil, err
	}
	s.lookup.join()
	return s, nil
}

func (c *Client) addService(name string, kept bool) (*service, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, closedError()
	}
	if s := c.services[name]; s != nil {
		s.touch()
		return s, nil
	}
	if len(c.services) >= maxServices && !c.evict() {
		return nil, failed(code.Unavailable, code.ReasonOverloaded,
			"%s cannot be looked up: %d services are in use already", name, maxServices)
	}
	s := &service{c: c, name: strings.Clone(name), lower: strings.ToLower(name), kept: kept}
	s.lookup = c.o.Pool.newSubscription(Lookup{
		Resolver: c.o.Resolver, Service: s.name, Upstream: c.o.Upstream, Group: c.o.Group, Logger: c.log, Update: s.update,
	})
	s.first = s.lookup.first
	s.used.Store(c.now())
	s.list.Store(new(list))
	c.services[s.name] = s
	c.unknown[s] = struct{}{}
	if !c.sweeping {
		c.sweeping = true
		c.over.Go(c.sweepAll)
	}
	return s, nil
}

// TakeOver looks up what before does, which is still open: the rules of both go on with what they know of the endpoints.
// What is not called then is given up in time.
func (c *Client) TakeOver(before *Client) {
	before.mu.RLock()
	names := slices.Collect(maps.Keys(before.services))
	before.mu.RUnlock()
	for _, name := range names {
		if s, err := c.addService(name, true); err == nil {
			s.lookup.join()
		}
	}
}
