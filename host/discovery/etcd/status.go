package etcd

import (
	"strconv"
	"time"

	"github.com/easymicro/easymicro/wire/client"
)

// Status says how it stands with a cluster.
type Status struct {
	Connected  bool
	Err        string    // why not
	Lease      string    // hexadecimal; empty: none
	Registered bool      // all instances are published under the lease
	Since      time.Time // of being connected, or of not being so; zero before the first answer
	Instances  []Instance
	Services   map[string][]EndpointState // what was found, by service
	LeftOut    []LeftOut                  // what was found and is not believed
}

// States of found endpoints.
const (
	StateLive  = "live"
	StateStale = "stale" // gone from etcd and kept for a while
)

// EndpointState is a found endpoint.
type EndpointState struct {
	client.Endpoint
	Host    string   // empty when its layout does not say
	Version string   // of the host; empty when its layout does not say
	Layouts []string // of the keys that it was found in: easymicro, rpcx or both
	State   string   // StateLive or StateStale
}

// Status is what is known of the cluster.
func (c *Cluster) Status() Status {
	var s Status
	c.mu.Lock()
	s.Connected, s.Since = c.health.connected, c.health.since
	if c.health.err != nil {
		s.Err = c.health.err.Error()
	}
	c.mu.Unlock()
	r := c.registry
	r.mu.Lock()
	if r.alive {
		s.Lease = strconv.FormatInt(int64(r.lease), 16)
	}
	s.Registered, s.Instances = r.registered, r.list
	r.mu.Unlock()
	s.LeftOut = c.table.leftOut()
	list, _ := c.table.all(time.Now())
	s.Services = make(map[string][]EndpointState, len(list))
	for _, found := range list {
		states := make([]EndpointState, len(found.list))
		for i, k := range found.list {
			states[i] = EndpointState{k.Endpoint, k.host, k.version, k.layouts, StateLive}
			if k.stale {
				states[i].State = StateStale
			}
		}
		s.Services[found.name] = states
	}
	return s
}

// Stale are the addresses that are stale of those that Watch tells of a service.
func (c *Cluster) Stale(service string) []string {
	var stale []string
	for _, k := range c.table.lookup(time.Now(), service).list {
		if k.stale {
			stale = append(stale, k.Address)
		}
	}
	return stale
}
