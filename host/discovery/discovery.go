// Package discovery makes services known and finds them: the endpoints of a list, a file or DNS; its etcd package has
// those that hosts publish.
//
// A file is YAML, and its endpoints serve whatever service is asked for:
//
//	endpoints:
//	  - address: "tcp://10.0.0.5:8972"   # or host:port, or unix://path
//	    weight: 10                       # default 1
//	    metadata: {group: blue}
//	  - 10.0.0.6:8972                    # the address alone will do
//
// To have no endpoints write `endpoints: []`: a file without content is taken for an accident.
package discovery

import (
	"context"
	"fmt"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/client"
)

// List is endpoints that never change.
type List struct{ endpoints []client.Endpoint }

// Static makes a List of addresses as manifests have them: tcp://host:port, unix://path or host:port. The error names
// the first that is none.
func Static(addresses ...string) (*List, error) {
	l := &List{endpoints: make([]client.Endpoint, 0, len(addresses))}
	had := map[string]bool{}
	for i, text := range addresses {
		e, err := parseAddress(text)
		if err == nil && had[e.Address] {
			err = fmt.Errorf("%s stands there twice", text)
		}
		if err != nil {
			return nil, fmt.Errorf("endpoint %d: %w", i+1, err)
		}
		had[e.Address] = true
		l.endpoints = append(l.endpoints, e)
	}
	return l, nil
}

// Watch implements client.Resolver: every service has the endpoints of the list.
func (l *List) Watch(ctx context.Context, _ string, update func([]client.Endpoint, error)) error {
	update(l.endpoints, nil)
	<-ctx.Done()
	return nil
}

// parseAddress is the endpoint at an address that can be called: unlike one to listen at, it has a host and a port.
func parseAddress(text string) (client.Endpoint, error) {
	network, address, err := config.Address(text).Split()
	if err != nil {
		return client.Endpoint{}, err
	}
	if network == "tcp" {
		if strings.HasPrefix(address, ":") {
			return client.Endpoint{}, fmt.Errorf("%q has no host: where is it?", text)
		}
		if strings.HasSuffix(address, ":0") {
			return client.Endpoint{}, fmt.Errorf("%q: nothing can be called at port 0", text)
		}
	}
	return client.Endpoint{Network: network, Address: address}, nil
}
