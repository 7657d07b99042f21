package client

import (
	"context"
	"net/netip"
	"strconv"
)

// Endpoint is an address that serves a service.
type Endpoint struct {
	Network  string            // tcp or unix; empty: tcp
	Address  string            // host:port or path; rules identify the endpoint by it
	Weight   int               // 0: the weight in Metadata, or else 1; at most 1,000,000
	Metadata map[string]string // as published: group, weight, …

	// Check, if not nil, returns an error if an IP address must not be called. It is asked about each address that Address
	// resolves to before that is dialled, and about the peer of a connection before a call is sent: the connection may have
	// been made for another service. It must be safe for concurrent use.
	Check func(netip.Addr) error
}

// Resolver finds the endpoints of services.
type Resolver interface {
	// Watch calls update with the endpoints of service as soon as they are known, and with all of them again after every
	// change, until ctx ends; then it returns. An error in place of a list says why there is no newer one; the last list
	// remains valid. A list that is given again, even unchanged, makes clients redial endpoints they could not reach. A
	// service that does not exist has an empty list, not an error. Watch must not change a list it has given, and must call
	// update from one goroutine at a time; update does not block.
	Watch(ctx context.Context, service string, update func([]Endpoint, error)) error
}

// Source is a Resolver with a name for the log of a Pool. Use it by value as a Resolver.
type Source struct {
	Resolver
	Name      string // such as "file nodes.yaml"
	LogErrors bool   // log when the last list stays in use after an error; for a Resolver that does not
}

// netAddress identifies a node, whose connections all services at the address share.
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

// weight returns the endpoint's own weight, or the one it published, or 1.
func (e *Endpoint) weight() int64 {
	w := e.Weight
	if w == 0 {
		w, _ = strconv.Atoi(e.Metadata[metaWeight])
	}
	return int64(min(max(w, 1), maxWeight))
}
