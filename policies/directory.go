package policies

import (
	"maps"
	"slices"
	"sync"
)

// directory is the endpoints of the upstreams, as their clients told last. Snapshots have it in common.
type directory struct {
	mu    sync.Mutex
	lists map[string]map[string][]string // addresses by upstream and service
}

func newDirectory() *directory { return &directory{lists: make(map[string]map[string][]string)} }

// set is told the endpoints of a service of an upstream, and returns those of all its services, and those that are no
// longer among them.
func (d *directory) set(upstream, service string, addresses []string) (known, gone map[string]bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	services := d.lists[upstream]
	gone = make(map[string]bool)
	for _, a := range services[service] {
		gone[a] = true
	}
	if services == nil {
		services = make(map[string][]string, 1)
		d.lists[upstream] = services
	}
	if len(addresses) > 0 {
		services[service] = slices.Clone(addresses)
	} else {
		delete(services, service)
	}
	if len(services) == 0 {
		delete(d.lists, upstream)
	}
	known = d.union(upstream)
	maps.DeleteFunc(gone, func(a string, _ bool) bool { return known[a] })
	return known, gone
}

// of are the endpoints of a service. They must not be changed.
func (d *directory) of(upstream, service string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.lists[upstream][service]
}

func (d *directory) union(upstream string) map[string]bool {
	known := make(map[string]bool)
	for _, addresses := range d.lists[upstream] {
		for _, a := range addresses {
			known[a] = true
		}
	}
	return known
}

// count is the number of endpoints of an upstream.
func (d *directory) count(upstream string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.union(upstream))
}
