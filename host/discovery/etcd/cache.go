package etcd

import (
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// cache holds what was found in etcd: the keys of every layout, and the services made from them. It is safe for concurrent
// use.
type cache struct {
	percent int
	hold    time.Duration
	drop    bool // forget everything while etcd is unreachable
	log     *slog.Logger

	mu          sync.Mutex
	layouts     []layoutKeys
	services    map[string]*serviceEndpoints // by name in lower case
	watchers    map[chan struct{}]string     // the service watched, in lower case; "" for all
	unreachable time.Time                    // since when some layout is not up to date; zero when all are
	health      health
}

// layoutKeys are the keys of one layout.
type layoutKeys struct {
	keys   map[string]node // all keys; those that are not endpoints have no service
	listed bool
	err    error // why they are not up to date
}

// health is the state of the connection to etcd. It is connected when the keys of all layouts are up to date.
type health struct {
	connected bool
	err       error
	since     time.Time
}

// LeftOut is an endpoint that was found but not accepted.
type LeftOut struct {
	Service, Address string
	Kind             string // loopback, linkLocal or unix
}

func newCache(layouts, percent int, hold time.Duration, drop bool, log *slog.Logger) *cache {
	return &cache{
		percent: percent, hold: hold, drop: drop, log: log, layouts: make([]layoutKeys, layouts),
		services: map[string]*serviceEndpoints{}, watchers: map[chan struct{}]string{},
	}
}

// replace replaces all keys of a layout.
func (c *cache) replace(now time.Time, layout int, keys map[string]node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.layouts[layout]
	changed := map[string]bool{}
	for key, n := range l.keys {
		if _, still := keys[key]; !still {
			changed[n.lower] = true
		}
	}
	for key, n := range keys {
		if before, had := l.keys[key]; !had || !before.equal(n) {
			changed[n.lower], changed[before.lower] = true, true
		}
	}
	first, recovered := !l.listed, l.err != nil
	l.keys, l.listed, l.err = keys, true, nil
	if !c.unreachable.IsZero() && c.upToDate() {
		c.unreachable = time.Time{}
		for _, s := range c.services {
			s.restartHold(now)
		}
	}
	for name, s := range c.services { // no event drops what is lost for too long
		if len(s.recentlyGone) > 0 {
			changed[name] = true
		}
	}
	c.update(now, changed, first || recovered)
}

// edit changes individual keys of a layout; a nil node is a deleted key.
func (c *cache) edit(now time.Time, layout int, keys map[string]*node) {
	c.mu.Lock()
	defer c.mu.Unlock()
	l := &c.layouts[layout]
	changed := map[string]bool{}
	for key, n := range keys {
		changed[l.keys[key].lower] = true
		if n == nil {
			delete(l.keys, key)
			continue
		}
		changed[n.lower] = true
		l.keys[key] = *n
	}
	c.update(now, changed, false)
}

// fail records why a layout is not up to date.
func (c *cache) fail(now time.Time, layout int, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.unreachable.IsZero() {
		c.unreachable = now
	}
	c.layouts[layout].err = err
	c.update(now, nil, true)
}

// addMissing adds to keys those of a layout that only the cache has, and reports whether there were any.
func (c *cache) addMissing(layout int, keys map[string]node) (some bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for key, n := range c.layouts[layout].keys {
		if _, there := keys[key]; !there {
			keys[key], some = n, true
		}
	}
	return some
}

func (c *cache) upToDate() bool {
	return !slices.ContainsFunc(c.layouts, func(l layoutKeys) bool { return l.err != nil })
}

// update rebuilds the services with these names, and wakes their watchers or, if all is set, every watcher.
func (c *cache) update(now time.Time, names map[string]bool, all bool) {
	delete(names, "") // of keys that are not endpoints
	c.rebuild(now, names)
	for wake, name := range c.watchers {
		if all || names[name] || name == "" && len(names) > 0 {
			notify(wake)
		}
	}
}

// rebuild rebuilds services from the keys of all layouts.
func (c *cache) rebuild(now time.Time, names map[string]bool) {
	if len(names) == 0 {
		return
	}
	live, withdrawn, leaving := map[string]map[identity]node{}, map[string]map[identity]bool{}, map[string][]identity{}
	for name := range names {
		live[name], withdrawn[name] = map[identity]node{}, map[identity]bool{}
	}
	for _, l := range c.layouts {
		for _, n := range l.keys {
			if !names[n.lower] {
				continue
			}
			id := n.identity()
			if n.leaving {
				leaving[n.lower] = append(leaving[n.lower], id)
				continue // its key of another layout may stay
			}
			if n.inactive {
				withdrawn[n.lower][id] = true
			}
			live[n.lower][id] = n.merge(live[n.lower][id])
		}
	}
	for name := range names {
		maps.DeleteFunc(live[name], func(id identity, _ node) bool { return withdrawn[name][id] })
		for _, id := range leaving[name] {
			withdrawn[name][id] = true
		}
		s := c.services[name]
		if s == nil {
			s = &serviceEndpoints{percent: c.percent, hold: c.hold, recentlyGone: map[identity]goneNode{}}
			c.services[name] = s
		}
		s.set(c.clock(now), live[name], withdrawn[name])
		if s.empty() {
			delete(c.services, name)
		}
	}
}

// clock returns the time used to expire lost endpoints. It does not advance while etcd is unreachable.
func (c *cache) clock(now time.Time) time.Time {
	if c.unreachable.IsZero() {
		return now
	}
	return c.unreachable
}

// view is what a watcher sees.
type view struct {
	complete bool // every layout was listed at least once
	known    bool // complete, or something was found
	list     []callable
	err      error     // why it is not up to date
	expires  time.Time // when list changes by itself; zero for never
}

// lookup returns the endpoints that may be called as service.
func (c *cache) lookup(now time.Time, service string) view {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, v := c.clock(now), c.emptyView()
	if s := c.services[strings.ToLower(service)]; s != nil {
		v.list, v.expires = s.list(now, s.matcher(now, service))
	}
	return c.finish(v)
}

// service is a name and the endpoints that serve it.
type service struct {
	name string
	list []callable
}

// all returns the services that have endpoints, by name, and a view of the whole.
func (c *cache) all(now time.Time) ([]service, view) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now, v := c.clock(now), c.emptyView()
	var list []service
	for lower, s := range c.services {
		_, names := s.spellings(now)
		if len(names) == 0 {
			names = []string{lower}
		}
		for _, name := range names {
			found, expires := s.list(now, s.matcher(now, name))
			if len(found) == 0 {
				continue
			}
			list = append(list, service{name, found})
			v.list = append(v.list, found...)
			if v.expires.IsZero() || !expires.IsZero() && expires.Before(v.expires) {
				v.expires = expires
			}
		}
	}
	slices.SortFunc(list, func(a, b service) int { return strings.Compare(a.name, b.name) })
	v = c.finish(v)
	if len(v.list) == 0 {
		list = nil
	}
	return list, v
}

// state returns a view without endpoints.
func (c *cache) state() view {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.emptyView()
}

func (c *cache) emptyView() view {
	v := view{complete: true}
	for _, l := range c.layouts {
		v.complete = v.complete && l.listed
		if v.err == nil {
			v.err = l.err
		}
	}
	v.known = v.complete
	return v
}

func (c *cache) finish(v view) view {
	v.known = v.complete || len(v.list) > 0
	if c.unreachable.IsZero() {
		return v
	}
	if c.drop {
		v.list = nil
	}
	v.expires = time.Time{} // the clock does not advance
	return v
}

// subscribe returns a channel that is notified when the result of lookup for a name in lower case, or of all for "", may
// have changed. cancel ends the subscription.
func (c *cache) subscribe(name string) (wake chan struct{}, cancel func()) {
	wake = make(chan struct{}, 1)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.watchers[wake] = name
	return wake, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.watchers, wake)
	}
}

// updateHealth is called after each attempt to list the keys, and logs when the connection is lost and regained.
func (c *cache) updateHealth() {
	c.mu.Lock()
	v, before := c.emptyView(), c.health
	if v.err == nil && !v.complete {
		c.mu.Unlock()
		return // the other layout is not listed yet
	}
	first, up := before.since.IsZero(), v.err == nil
	if first || before.connected != up {
		c.health.since = time.Now()
	}
	c.health.connected, c.health.err = up, v.err
	c.mu.Unlock()
	switch {
	case !first && before.connected == up:
	case up:
		c.log.Info("connected to etcd")
	default:
		c.log.Warn("etcd unreachable; using last known endpoints", "error", v.err)
	}
}

// currentHealth returns the state of the connection.
func (c *cache) currentHealth() health {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.health
}

// unlisted returns the indices of the layouts that were not listed yet.
func (c *cache) unlisted() (layouts []int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, l := range c.layouts {
		if !l.listed {
			layouts = append(layouts, i)
		}
	}
	return layouts
}

// leftOut returns the endpoints that are not accepted, by service and address.
func (c *cache) leftOut() []LeftOut {
	c.mu.Lock()
	defer c.mu.Unlock()
	var list []LeftOut
	for _, l := range c.layouts {
		for _, n := range l.keys {
			if n.kind != "" {
				list = append(list, LeftOut{n.service, n.Address, n.kind})
			}
		}
	}
	slices.SortFunc(list, func(a, b LeftOut) int { return strings.Compare(a.Service+" "+a.Address, b.Service+" "+b.Address) })
	return slices.Compact(list)
}

// isLeftOut reports whether the endpoint of a key was not accepted before.
func (c *cache) isLeftOut(layout int, key string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.layouts[layout].keys[key].kind != ""
}

// has reports whether the wanted keys of a layout are in the cache, each with the node in own or one that it tolerates.
func (c *cache) has(layout int, want []wanted, own map[string]node, lease clientv3.LeaseID) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range want {
		if w.layout != layout || w.marker {
			continue
		}
		if n, there := c.layouts[layout].keys[w.key]; !there || !own[w.key].tolerates(n, lease) {
			return false
		}
	}
	return true
}
