package etcd

import (
	"cmp"
	"maps"
	"slices"
	"sync"
	"time"
)

// table is what was found: the keys of every layout, and the services that they make up. Its methods may be called at
// once.
type table struct {
	percent int
	hold    time.Duration
	drop    bool // know nothing while etcd is away

	mu       sync.Mutex
	layouts  []sheet
	services map[string]*memory // by name in lower case
	waiting  map[chan struct{}]string
	away     time.Time // since when a layout is not known for sure; zero when all are
	closed   chan struct{}
}

// sheet is what was found of one layout.
type sheet struct {
	keys   map[string]node // all of them; those of no endpoint have no name
	listed bool
	err    error // why nothing newer is known
}

func newTable(layouts, percent int, hold time.Duration, drop bool) *table {
	return &table{
		percent: percent, hold: hold, drop: drop, layouts: make([]sheet, layouts),
		services: map[string]*memory{}, waiting: map[chan struct{}]string{}, closed: make(chan struct{}),
	}
}

// replace puts all keys of a layout in place of those that were known.
func (t *table) replace(now time.Time, layout int, keys map[string]node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.layouts[layout]
	changed := map[string]bool{}
	for key, n := range s.keys {
		if _, still := keys[key]; !still {
			changed[n.lower] = true
		}
	}
	for key, n := range keys {
		if before, had := s.keys[key]; !had || !before.equal(n) {
			changed[n.lower], changed[before.lower] = true, true
		}
	}
	first, recovered := !s.listed, s.err != nil
	s.keys, s.listed, s.err = keys, true, nil
	if !t.away.IsZero() && t.sure() {
		t.away = time.Time{}
		for _, m := range t.services {
			m.resume(now)
		}
	}
	for name, m := range t.services { // what nothing changes any more has to be forgotten, too
		if len(m.gone) > 0 {
			changed[name] = true
		}
	}
	t.changed(now, changed, first || recovered)
}

// keep adds to the keys of a layout those that the table has and they have not, and tells whether there were any.
func (t *table) keep(layout int, keys map[string]node) (some bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for key, n := range t.layouts[layout].keys {
		if _, there := keys[key]; !there {
			keys[key], some = n, true
		}
	}
	return some
}

// edit changes single keys of a layout; a nil node is a key that was deleted.
func (t *table) edit(now time.Time, layout int, keys map[string]*node) {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := &t.layouts[layout]
	changed := map[string]bool{}
	for key, n := range keys {
		before := s.keys[key]
		changed[before.lower] = true
		if n == nil {
			delete(s.keys, key)
			continue
		}
		changed[n.lower] = true
		s.keys[key] = *n
	}
	t.changed(now, changed, false)
}

// fail notes that a layout is not known for sure any longer.
func (t *table) fail(now time.Time, layout int, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.away.IsZero() {
		t.away = now
	}
	t.layouts[layout].err = err
	t.changed(now, nil, true)
}

// sure tells that all layouts are known.
func (t *table) sure() bool {
	return !slices.ContainsFunc(t.layouts, func(s sheet) bool { return s.err != nil })
}

// changed brings services up to date and wakes those who wait for them, or all.
func (t *table) changed(now time.Time, names map[string]bool, all bool) {
	delete(names, "") // of what is no endpoint
	t.gather(now, names)
	for wake, name := range t.waiting {
		if all || names[name] || name == "" && len(names) > 0 {
			poke(wake)
		}
	}
}

// gather makes services of the keys of all layouts.
func (t *table) gather(now time.Time, names map[string]bool) {
	if len(names) == 0 {
		return
	}
	live, out, left := map[string]map[identity]node{}, map[string]map[identity]bool{}, map[string][]identity{}
	for name := range names {
		live[name], out[name] = map[identity]node{}, map[identity]bool{}
	}
	for _, s := range t.layouts {
		for _, n := range s.keys {
			if !names[n.lower] {
				continue
			}
			id := n.identity()
			if n.leaving {
				left[n.lower] = append(left[n.lower], id)
				continue // a key of another layout may stay
			}
			if n.out {
				out[n.lower][id] = true
			}
			live[n.lower][id] = n.merged(live[n.lower][id])
		}
	}
	for name := range names {
		maps.DeleteFunc(live[name], func(id identity, _ node) bool { return out[name][id] })
		for _, id := range left[name] {
			out[name][id] = true
		}
		m := t.services[name]
		if m == nil {
			m = &memory{percent: t.percent, hold: t.hold, gone: map[identity]departed{}}
			t.services[name] = m
		}
		m.set(t.clock(now), live[name], out[name])
		if m.empty() {
			delete(t.services, name)
		}
	}
}

// merged is n with what an earlier layout said of the same endpoint, which counts for more.
func (n node) merged(before node) node {
	if before.Address == "" {
		return n
	}
	metadata := maps.Clone(n.Metadata)
	if metadata == nil {
		metadata = map[string]string{}
	}
	maps.Copy(metadata, before.Metadata)
	both := before
	both.describe(metadata)
	both.revision = max(both.revision, n.revision)
	both.host, both.version = cmp.Or(both.host, n.host), cmp.Or(both.version, n.version)
	if !slices.Contains(before.layouts, n.layouts[0]) {
		both.layouts = append(slices.Clip(before.layouts), n.layouts...)
	}
	return both
}

func (n node) equal(other node) bool {
	return n.service == other.service && n.exact == other.exact && n.host == other.host && n.version == other.version &&
		n.out == other.out && n.leaving == other.leaving && n.revision == other.revision &&
		n.Network == other.Network && n.Address == other.Address && n.Weight == other.Weight && maps.Equal(n.Metadata, other.Metadata)
}

// close ends all watches.
func (t *table) close() {
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.closed:
	default:
		close(t.closed)
	}
}
