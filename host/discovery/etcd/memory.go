package etcd

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// memory remembers the endpoints of a service that went away lately. A list that loses many at once was more likely
// lost by somebody than that all of them died: they stay in use, as stale ones, while the live ones are fewer than a
// share of those that were there. They go one by one when their time is over.
type memory struct {
	percent int           // of live and remembered ones together that must live for the others to be forgotten
	hold    time.Duration // how long one is remembered
	live    map[identity]node
	gone    map[identity]departed
}

// identity is what makes two nodes the same one, in whatever layout.
type identity struct {
	service string // empty when only its lower case is known
	address string
}

type departed struct {
	node
	at time.Time
}

// known is a node that may be called.
type known struct {
	node
	stale bool
}

func (n node) identity() identity {
	if !n.exact {
		return identity{address: n.Address}
	}
	return identity{n.service, n.Address}
}

// set replaces the live ones. Those in out were taken out of service on purpose: nobody remembers them.
func (m *memory) set(now time.Time, live map[identity]node, out map[identity]bool) {
	there := make(map[string]bool, len(live)) // by whatever name: a host may learn to say its own
	for id := range live {
		there[id.address] = true
	}
	for id, n := range m.live {
		if !there[id.address] && !out[id] {
			m.gone[id] = departed{n, now}
		}
	}
	maps.DeleteFunc(m.gone, func(id identity, d departed) bool {
		return there[id.address] || out[id] || now.Sub(d.at) >= m.hold
	})
	m.live = live
}

// resume starts the time of all remembered ones anew: nobody could come back while etcd was away.
func (m *memory) resume(now time.Time) {
	for id, d := range m.gone {
		m.gone[id] = departed{d.node, now}
	}
}

// list is what may be called under a name, in a fixed order, and when that changes by itself; zero for never.
func (m *memory) list(now time.Time, name func(node) bool) (list []known, until time.Time) {
	for _, n := range m.live {
		if name(n) {
			list = append(list, known{node: n})
		}
	}
	var stale []known
	for _, d := range m.gone {
		if end := d.at.Add(m.hold); name(d.node) && now.Before(end) {
			stale = append(stale, known{d.node, true})
			if until.IsZero() || end.Before(until) {
				until = end
			}
		}
	}
	if len(list)*100 < m.percent*(len(list)+len(stale)) {
		list = append(list, stale...)
	} else {
		until = time.Time{}
	}
	slices.SortFunc(list, func(a, b known) int { return strings.Compare(a.Address, b.Address) })
	// The same address with and without an exact name, which two programs of one machine may have published.
	return slices.CompactFunc(list, func(a, b known) bool { return a.Address == b.Address }), until
}

// empty tells that nothing is worth keeping.
func (m *memory) empty() bool { return len(m.live) == 0 && len(m.gone) == 0 }
