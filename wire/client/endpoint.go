package client

import (
	"context"
	"net/netip"
	"strconv"
)

// Endpoint is one place where a service is served.
type Endpoint struct {
	Network  string            // tcp or unix; empty: tcp
	Address  string            // host:port or path; it identifies the endpoint to rules
	Weight   int               // 0: the weight of Metadata, or else 1; at most 1,000,000
	Metadata map[string]string // as published: group, weight, …

	// Check is asked of each address that Address resolves to, before it is dialled, and of that of a connection, before a
	// call is sent there: the connection may have been made for another service. Nil takes all. The error says why that one
	// is not called. It is called by several goroutines at once.
	Check func(netip.Addr) error
}

// Resolver finds the endpoints of services.
type Resolver interface {
	// Watch tells update the endpoints of service: those that are known, as soon as they are, and all of them again
	// after every change, until ctx ends; then it returns. An error in place of a list says why nothing new is known;
	// the last list goes on to hold. A list that is given again, even if nothing in it is new, has those dialled soon that
	// could not be reached. A service that does not exist has no endpoints, which is no error. The list is not changed once
	// given. update is called by one goroutine at a time and does not block.
	Watch(ctx context.Context, service string, update func([]Endpoint, error)) error
}

// Source is a Resolver with what a Pool logs of it. Options take it by value in place of the Resolver.
type Source struct {
	Resolver
	Name      string // such as "file nodes.yaml"
	LogErrors bool   // Resolver does not log itself that the last list stays in use
}

// netAddress identifies a node: its connections are shared by all services that are there.
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

// weight is the endpoint's own, or the one that it published, or 1.
func (e *Endpoint) weight() int64 {
	w := e.Weight
	if w == 0 {
		w, _ = strconv.Atoi(e.Metadata[metaWeight])
	}
	return int64(min(max(w, 1), maxWeight))
}
