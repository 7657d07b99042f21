package client

import (
	"context"
	"net/netip"
	"strconv"
)

// Endpoint is an address that serves a service.
type Endpoint struct {
	Network  string            // tcp or unix; empty: tcp
	Address  string            // host:port or path; identifies the endpoint in rules
	Weight   int               // 0: the weight in Metadata, or 1; at most 1,000,000
	Metadata map[string]string // as published: group, weight, …

	// Check, if not nil, returns an error for an IP address that must not be called. It is called for each address that
	// Address resolves to before it is dialled, and for the peer of a connection before a call is sent, since the connection
	// may have been made for another service. It must be safe for concurrent use.
	Check func(netip.Addr) error
}

// Resolver finds the endpoints of services.
type Resolver interface {
	// Watch calls update with the endpoints of service as soon as they are known, and with all of them after every change.
	// It returns when ctx ends. If the endpoints cannot be looked up, it calls update with an error; the last list then
	// remains in use. An update, even with an unchanged list, makes clients redial endpoints that they could not reach. A
	// service that does not exist has an empty list, not an error. Watch must not change a list passed to update, and must
	// not call update concurrently. update does not block.
	Watch(ctx context.Context, service string, update func([]Endpoint, error)) error
}

// Source is a Resolver with a name for the log of a Pool. Pass it as a Resolver, by value.
type Source struct {
	Resolver
	Name      string // such as "file nodes.yaml"
	LogErrors bool   // let the Pool log an error while the last list stays in use; for a Resolver that does not log it
}

// netAddress identifies a node.
type netAddress struct{ network, address string }

func (e *Endpoint) netAddress() netAddress {
	if e.Network == "" {
		return netAddress{"tcp", e.Address}
	}
	return netAddress{e.Network, e.Address}
}

const (
	metaGroup  = "group"
	metaWeight = "weight"

	maxWeight = 1_000_000
)

// weight returns Weight, or the published weight, or 1.
func (e *Endpoint) weight() int64 {
	w := e.Weight
	if w == 0 {
		w, _ = strconv.Atoi(e.Metadata[metaWeight])
	}
	return int64(min(max(w, 1), maxWeight))
}
