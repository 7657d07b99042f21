package policies

import (
	"slices"
	"strings"
	"sync"
)

// Directory is who serves the upstreams, as their clients tell. The snapshots of a host have one in common, and so have
// those of a ClientGuard. The zero Directory is empty.
type Directory struct {
	telling sync.Mutex // held until the rules have heard of a change, so that what they hear last is how it is
	inForce *Snapshot  // that hears of changes

	mu        sync.Mutex
	upstreams map[string]*served
}

// served is who serves an upstream.
type served struct {
	lists    map[*listing][]string
	services map[string][]string // what the lists of a service have together
	known    map[string]bool     // what all lists have together
}

// Listing is where one client says who serves a service of an upstream, as wire/client has it.
type Listing = interface {
	// Set tells the addresses of all who serve it now. State about endpoints that no client knows any more is dropped.
	Set(addresses []string)
	// Close says that the client looks the service up no longer. An upstream without listings is forgotten, and starts
	// afresh should it be called again.
	Close()
}

type listing struct {
	directory         *Directory
	upstream, service string
}

// change is what a client has changed about an upstream.
type change struct {
	known map[string]bool // its endpoints
	gone  map[string]bool // endpoints that are no longer among them
	over  bool            // nobody looks it up any more
}

// bringIntoForce has rules hear of changes from now on.
func (d *Directory) bringIntoForce(s *Snapshot) {
	d.telling.Lock()
	defer d.telling.Unlock()
	d.inForce = s
}

// List opens the listing of a client.
func (d *Directory) List(upstream, service string) Listing {
	l := &listing{directory: d, upstream: strings.Clone(upstream), service: strings.Clone(service)}
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.upstreams[l.upstream]
	if u == nil {
		if d.upstreams == nil {
			d.upstreams = make(map[string]*served)
		}
		u = &served{lists: make(map[*listing][]string, 1)}
		d.upstreams[l.upstream] = u
	}
	u.lists[l] = nil
	return l
}

// Set is part of Listing.
func (l *listing) Set(addresses []string) {
	addresses = slices.Clone(addresses)
	l.tell(func(u *served) { u.lists[l] = addresses })
}

// Close is part of Listing.
func (l *listing) Close() { l.tell(func(u *served) { delete(u.lists, l) }) }

// tell makes a change, and has the rules in force hear of it. What was closed changes nothing any more.
func (l *listing) tell(edit func(*served)) {
	d := l.directory
	d.telling.Lock()
	defer d.telling.Unlock()
	c, ok := d.edit(l, edit)
	if ok && d.inForce != nil {
		d.inForce.relist(l.upstream, c)
	}
}

func (d *Directory) edit(l *listing, edit func(*served)) (c change, ok bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	u := d.upstreams[l.upstream]
	if u == nil {
		return c, false
	}
	if _, open := u.lists[l]; !open {
		return c, false
	}
	before := u.known
	edit(u)
	u.add()
	c = change{known: u.known, gone: make(map[string]bool), over: len(u.lists) == 0}
	for address := range before {
		if !u.known[address] {
			c.gone[address] = true
		}
	}
	if c.over {
		delete(d.upstreams, l.upstream)
	}
	return c, true
}

// add puts together what the lists have. What it made before is not changed.
func (u *served) add() {
	u.services, u.known = make(map[string][]string, len(u.lists)), make(map[string]bool)
	for l, addresses := range u.lists {
		all := slices.Concat(u.services[l.service], addresses)
		slices.Sort(all)
		u.services[l.service] = slices.Compact(all)
		for _, a := range addresses {
			u.known[a] = true
		}
	}
}

// of are the endpoints of a service. They must not be changed.
func (d *Directory) of(upstream, service string) []string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if u := d.upstreams[upstream]; u != nil {
		return u.services[service]
	}
	return nil
}

// count is the number of endpoints of an upstream: asked for by calls that fail, which may be all.
func (d *Directory) count(upstream string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	if u := d.upstreams[upstream]; u != nil {
		return len(u.known)
	}
	return 0
}
