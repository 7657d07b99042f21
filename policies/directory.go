package policies

import (
	"maps"
	"slices"
	"sync"
)

// directory is the endpoints of the upstreams, as their clients told last. Snapshots have it in common.
type directory struct {
	mu     sync.Mutex
	lists  map[string]map[string][]string // addresses by upstream and service; one that nobody serves now has none
	counts map[string]int                 // endpoints by upstream: asked for by calls that fail, which may be all
}

func newDirectory() *directory {
	return &directory{lists: make(map[string]map[string][]string), counts: make(map[string]int)}
}

// told is what a list that was told has changed about an upstream.
type told struct {
	known map[string]bool // endpoints of all its services
	gone  map[string]bool // endpoints that are no longer among them
	over  bool            // it has no services any more
}

// set is told the endpoints of a service of an upstream, nil if it is a service no more.
func (d *directory) set(upstream, service string, addresses []string) told {
	d.mu.Lock()
	defer d.mu.Unlock()
	services := d.lists[upstream]
	gone := make(map[string]bool)
	for _, a := range services[service] {
		gone[a] = true
	}
	if services == nil {
		services = make(map[string][]string, 1)
		d.lists[upstream] = services
	}
	if addresses != nil {
		services[service] = slices.Clone(addresses)
	} else {
		delete(services, service)
	}
	over := len(services) == 0
	if over {
		delete(d.lists, upstream)
	}
	known := d.union(upstream)
	if len(known) > 0 {
		d.counts[upstream] = len(known)
	} else {
		delete(d.counts, upstream)
	}
	maps.DeleteFunc(gone, func(a string, _ bool) bool { return known[a] })
	return told{known: known, gone: gone, over: over}
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
	return d.counts[upstream]
}
