package client

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

const (
	maxServices = 4096             // beyond that, new ones replace those without endpoints
	unknownKept = 10 * time.Second // a service without endpoints is dropped after this time without a call
	serviceKept = 10 * time.Minute // any other service
	sweepEvery  = 5 * time.Second
	evictLooks  = 8
)

// catalog holds the services that a client calls and the nodes that serve them.
type catalog struct {
	core

	mu       sync.RWMutex // locked before node.mu
	closed   bool
	sweeping bool
	services map[string]*service
	unknown  map[*service]struct{} // those without endpoints
	nodes    map[netAddress]*node
}

// sweepAll drops services that are no longer called. It returns when none is left.
func (c *catalog) sweepAll() {
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
			if !s.within(c.now(), kept) {
				c.drop(s)
			}
		}
		for at, n := range c.nodes {
			if len(n.users.all()) == 0 && n.settle() {
				delete(c.nodes, at)
			}
		}
		left = len(c.services)+len(c.nodes) > 0
		c.sweeping = left
		c.mu.Unlock()
	}
}

// evict drops a service without endpoints, so that calls of made-up names do not keep real ones from being looked up. Of a
// few chosen at random it drops the least recently used. It reports whether it dropped one. It needs c.mu.
func (c *catalog) evict() bool {
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
func (c *catalog) drop(s *service) {
	s.gone = true
	c.over.Go(s.lookup.Close)
	delete(c.services, s.name)
	delete(c.unknown, s)
	c.depart(s, s.list.Load().members, nil)
}

// member returns a member for e. old is the member for it in the previous list, or nil. It needs c.mu.
func (c *catalog) member(e Endpoint, old *member, index int) *member {
	m := &member{ep: e, index: index, weight: e.weight(), hash: hashOf(e.Address)}
	if old != nil {
		m.node, m.load = old.node, old.load
	} else {
		m.node, m.load = c.node(e.netAddress()), new(load)
	}
	return m
}

// node returns the node at an address, new if necessary. It needs c.mu.
func (c *catalog) node(at netAddress) *node {
	n := c.nodes[at]
	if n == nil {
		n = newNode(&c.core, at)
		c.nodes[at] = n
	}
	return n
}

// service returns the service with a name. The first call starts to look it up.
func (c *catalog) service(name string) (*service, error) {
	c.mu.RLock()
	s := c.services[name]
	if s != nil {
		s.touch(c.now()) // under the lock, so that it is not dropped meanwhile
	}
	c.mu.RUnlock()
	if s == nil {
		return c.newService(name)
	}
	return s, nil
}

func (c *catalog) newService(name string) (*service, error) {
	s, err := c.addService(name, false)
	if err != nil {
		return nil, err
	}
	s.lookup.join()
	return s, nil
}

func (c *catalog) addService(name string, kept bool) (*service, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, closedError()
	}
	if s := c.services[name]; s != nil {
		s.touch(c.now())
		return s, nil
	}
	if len(c.services) >= maxServices && !c.evict() {
		return nil, failed(code.Unavailable, code.ReasonOverloaded,
			"%s cannot be looked up: %d services are in use", name, maxServices)
	}
	s := &service{c: &c.core, name: strings.Clone(name), lower: strings.ToLower(name), kept: kept}
	s.lookup = c.o.Pool.newSubscription(Lookup{
		Resolver: c.o.Resolver, Service: s.name, Upstream: c.o.Upstream, Group: c.o.Group, Logger: c.log,
		Update: func(list []Endpoint, others int, err error) { c.update(s, list, others, err) },
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

// TakeOver looks up all services that before has called. Call it when c replaces before, while before is still open: the
// rules then keep their state of the endpoints. Services that c does not call within 10 minutes are dropped.
func (c *catalog) TakeOver(before *Client) {
	before.mu.RLock()
	names := slices.Collect(maps.Keys(before.services))
	before.mu.RUnlock()
	for _, name := range names {
		if s, err := c.addService(name, true); err == nil {
			s.lookup.join()
		}
	}
}

// Connect connects c, which is to replace before, to the endpoints of services or, if none are named, of those that before has
// a connection for: once it returns, calls need not wait for a handshake. It does nothing if before has no connection, and does not
// wait for endpoints that before cannot reach. It returns when the others are connected or have been tried for a second, or when
// ctx ends. A dial may take 10 s, whatever Options.ConnectTimeout is.
func (c *catalog) Connect(ctx context.Context, before *Client, services ...string) {
	c.unhurried.Store(true)
	defer c.unhurried.Store(false)
	h := handover{c: c, was: before.connected(), dials: make(chan struct{}, handoverDials), retried: time.Now().Add(handoverRetry)}
	if len(services) == 0 {
		services = before.connectedServices()
	} else if !slices.Contains(slices.Collect(maps.Values(h.was)), true) {
		return
	}
	for _, name := range services {
		h.over.Go(func() { h.service(ctx, name) })
	}
	h.over.Wait()
}

// connected returns for each address whether it is connected.
func (c *catalog) connected() map[netAddress]bool {
	c.mu.RLock()
	defer c.mu.RUnlock()
	all := make(map[netAddress]bool, len(c.nodes))
	for at, n := range c.nodes {
		all[at] = state(n.state.Load()) == ready
	}
	return all
}

// connectedServices returns the services that have a connected endpoint.
func (c *catalog) connectedServices() (names []string) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for name, s := range c.services {
		if slices.ContainsFunc(s.list.Load().members, func(m *member) bool { return state(m.node.state.Load()) == ready }) {
			names = append(names, name)
		}
	}
	return names
}

// update sets the endpoints of a service, or the error of looking them up.
func (c *catalog) update(s *service, endpoints []Endpoint, others int, err error) {
	old := s.list.Load()
	if err != nil {
		failed := *old
		failed.err = err
		s.list.Store(&failed)
		return
	}
	next := &list{known: true, others: others}
	byAddress := make(map[netAddress]*member, len(old.members))
	for _, m := range old.members {
		byAddress[m.node.netAddress] = m
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if s.gone || c.closed {
		return
	}
	seen := make(map[netAddress]bool, len(endpoints))
	for _, e := range endpoints {
		if at := e.netAddress(); !seen[at] {
			seen[at] = true
			next.members = append(next.members, c.member(e, byAddress[at], len(next.members)))
		}
	}
	next.bal = newBalancer(c.o.Policy, next.members, old.bal)
	c.join(s, next.members)
	s.list.Store(next) // before depart: a call that finds its endpoint unlisted loads the new list
	c.depart(s, old.members, next.members)
	if old.known { // the first list is no news about nodes that other services list
		for _, m := range next.members {
			m.node.redialNow()
		}
	}
	if len(next.members) > 0 {
		delete(c.unknown, s)
	} else {
		c.unknown[s] = struct{}{}
	}
}

// join adds s to the users of the nodes of a list. It needs c.mu.
func (c *catalog) join(s *service, list []*member) {
	for _, m := range list {
		m.node.list(user{&s.usage, m.ep.Check})
	}
}

// depart removes s from the users of the nodes that are in before but not in now. It needs c.mu.
func (c *catalog) depart(s *service, before, now []*member) {
	stays := make(map[*node]bool, len(now))
	for _, m := range now {
		stays[m.node] = true
	}
	for _, m := range before {
		if stays[m.node] {
			continue
		}
		m.node.users.remove(&s.usage)
		if m.node.settle() {
			delete(c.nodes, m.node.netAddress)
		}
	}
}

// Status returns the state of all services, sorted by name.
func (c *catalog) Status() []ServiceStatus {
	c.mu.RLock()
	services := make([]*service, 0, len(c.services))
	for _, s := range c.services {
		services = append(services, s)
	}
	c.mu.RUnlock()
	slices.SortFunc(services, func(a, b *service) int { return strings.Compare(a.name, b.name) })
	all := make([]ServiceStatus, len(services))
	for i, s := range services {
		all[i] = s.status()
	}
	return all
}
