// Package discovery finds the endpoints of services in a list, a file or DNS. Its etcd package also publishes them.
//
// A file is YAML, and its endpoints serve every service:
//
//	endpoints:
//	  - address: "tcp://10.0.0.5:8972"   # or host:port, or unix://path
//	    weight: 10                       # default 1
//	    metadata: {group: blue}
//	  - 10.0.0.6:8972                    # the address alone is enough
//
// For no endpoints write `endpoints: []`: an empty file is an error.
package discovery

import (
	"context"
	"fmt"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/client"
)

// StaticResolver resolves every service to endpoints that never change.
type StaticResolver struct{ endpoints []client.Endpoint }

// Static returns a resolver for addresses as in manifests: tcp://host:port, unix://path or host:port. The error is about the
// first invalid one.
func Static(addresses ...string) (*StaticResolver, error) {
	r := &StaticResolver{endpoints: make([]client.Endpoint, 0, len(addresses))}
	seen := map[string]bool{}
	for i, text := range addresses {
		e, err := parseAddress(text)
		if err == nil && seen[e.Address] {
			err = fmt.Errorf("%s is listed twice", text)
		}
		if err != nil {
			return nil, fmt.Errorf("endpoint %d: %w", i+1, err)
		}
		seen[e.Address] = true
		r.endpoints = append(r.endpoints, e)
	}
	return r, nil
}

// Watch implements client.Resolver.
func (r *StaticResolver) Watch(ctx context.Context, _ string, update func([]client.Endpoint, error)) error {
	update(r.endpoints, nil)
	<-ctx.Done()
	return nil
}

// parseAddress parses an address to call. Unlike one to listen on, it must have a host and a port.
func parseAddress(text string) (client.Endpoint, error) {
	network, address, err := config.Address(text).Split()
	if err != nil {
		return client.Endpoint{}, err
	}
	if network == "tcp" {
		if strings.HasPrefix(address, ":") {
			return client.Endpoint{}, fmt.Errorf("%q has no host", text)
		}
		if strings.HasSuffix(address, ":0") {
			return client.Endpoint{}, fmt.Errorf("%q: port 0 cannot be called", text)
		}
	}
	return client.Endpoint{Network: network, Address: address}, nil
}
