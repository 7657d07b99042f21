package client

import (
	"slices"
	"strings"
	"time"
)

// ServiceStatus is what a client knows of a service.
type ServiceStatus struct {
	Service   string
	Err       string // why nothing newer is known
	Endpoints []EndpointStatus
}

// EndpointStatus is the state of an endpoint.
type EndpointStatus struct {
	Endpoint
	State    string // idle, connecting, ready, backoff or draining
	InFlight int
	Latency  time.Duration // smoothed; 0 when unknown, and while calls fail
	Err      string        // why it is not connected
}

// Status are the endpoints of the services that are called, by name.
func (c *Client) Status() []ServiceStatus {
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

func (s *service) status() ServiceStatus {
	l := s.list.Load()
	all := ServiceStatus{Service: s.name}
	if l.err != nil {
		all.Err = l.err.Error()
	}
	for _, m := range l.members {
		e := EndpointStatus{
			Endpoint: m.ep, State: state(m.node.state.Load()).String(),
			InFlight: int(m.inFlight.Load()), Latency: m.shown(),
		}
		if _, err := m.node.absence(); err != nil {
			e.Err = err.Error()
		}
		all.Endpoints = append(all.Endpoints, e)
	}
	return all
}
