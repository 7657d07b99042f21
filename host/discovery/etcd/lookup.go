package etcd

import (
	"slices"
	"strings"
	"time"
)

// view is what a watcher sees.
type view struct {
	all    bool // all that there is was listed at least once
	known  bool // it was, or something was found
	list   []known
	err    error     // why nothing newer is known
	expire time.Time // when list changes by itself; zero for never
}

// lookup is what may be called as service.
func (t *table) lookup(now time.Time, service string) view {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, v := t.clock(now), t.begin()
	if m := t.services[strings.ToLower(service)]; m != nil {
		v.list, v.expire = m.list(now, m.meant(now, service))
	}
	return t.finish(v)
}

// state tells whether all layouts are listed, and why nothing newer is known.
func (t *table) state() (known bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	v := t.begin()
	return v.known, v.err
}

// begin is a view with nothing in it yet.
func (t *table) begin() view {
	v := view{all: true}
	for _, s := range t.layouts {
		v.all = v.all && s.listed
		if v.err == nil {
			v.err = s.err
		}
	}
	v.known = v.all
	return v
}

func (t *table) finish(v view) view {
	v.known = v.all || len(v.list) > 0
	switch {
	case t.away.IsZero():
	case t.drop:
		v.list, v.expire = nil, time.Time{}
	default:
		v.expire = time.Time{} // it stands still
	}
	return v
}

// clock is the time by which endpoints are forgotten. It stands still while etcd is away.
func (t *table) clock(now time.Time) time.Time {
	if t.away.IsZero() {
		return now
	}
	return t.away
}

// meant tells of a node whether it serves what is looked up: the exact name before a unique one that differs in case
// only. The original easymicro publishes lower-case names: they fit any spelling.
func (m *memory) meant(now time.Time, service string) func(node) bool {
	live, all := m.spellings(now)
	unique := live
	if len(live) == 0 { // names of what is gone are in nobody's way
		unique = all
	}
	name := ""
	switch {
	case slices.Contains(all, service):
		name = service
	case len(unique) == 1:
		name = unique[0]
	}
	return func(n node) bool { return !n.exact || n.service == name }
}

// spellings are the exact names that live, and all that are remembered.
func (m *memory) spellings(now time.Time) (live, all []string) {
	add := func(names []string, n node) []string {
		if n.exact && !slices.Contains(names, n.service) {
			names = append(names, n.service)
		}
		return names
	}
	for _, n := range m.live {
		live = add(live, n)
	}
	all = slices.Clip(live)
	for _, d := range m.gone {
		if now.Sub(d.at) < m.hold {
			all = add(all, d.node)
		}
	}
	return live, all
}

// service is a name and what may be called under it.
type service struct {
	name string
	list []known
}

// all are the services that have endpoints, by name.
func (t *table) all(now time.Time) ([]service, view) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now, v := t.clock(now), t.begin()
	var list []service
	for lower, m := range t.services {
		_, names := m.spellings(now)
		if len(names) == 0 {
			names = []string{lower}
		}
		for _, name := range names {
			found, expire := m.list(now, m.meant(now, name))
			if len(found) == 0 {
				continue
			}
			list = append(list, service{name, found})
			v.list = append(v.list, found...)
			if v.expire.IsZero() || !expire.IsZero() && expire.Before(v.expire) {
				v.expire = expire
			}
		}
	}
	slices.SortFunc(list, func(a, b service) int { return strings.Compare(a.name, b.name) })
	v = t.finish(v)
	if len(v.list) == 0 {
		list = nil
	}
	return list, v
}
