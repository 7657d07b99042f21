package client

import "time"

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
			if len(s.list.Load().members) > 0 {
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
	s.stop()
	delete(c.services, s.name)
	delete(c.unknown, s)
	s.depart(s.list.Load().members, nil)
}
