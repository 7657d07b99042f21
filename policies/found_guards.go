package policies

import (
	"maps"
	"sync"
	"sync/atomic"
)

// foundGuards are the guards of methods that calls found, up to maxFound: a map that is read far more often than it grows.
// Reading entries that have been in it for a while takes no lock and allocates nothing. The zero foundGuards is empty.
type foundGuards struct {
	read atomic.Pointer[map[calling]*Guard] // replaced, never changed

	mu     sync.Mutex
	all    map[calling]*Guard // read, and later additions
	missed int                // look-ups not answered by read
}

func (m *foundGuards) find(key calling) (*Guard, bool) {
	if read := m.read.Load(); read != nil {
		if g, ok := (*read)[key]; ok {
			return g, true
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	g, ok := m.all[key]
	if ok {
		m.missed++
		if m.missed > len(m.all)/4 { // a copy costs each look-up that made it necessary a few entries
			read := maps.Clone(m.all)
			m.read.Store(&read)
			m.missed = 0
		}
	}
	return g, ok
}

// add adds g, unless the key has a guard already or the map is full. It returns the guard of the key, or g.
func (m *foundGuards) add(key calling, g *Guard) *Guard {
	m.mu.Lock()
	defer m.mu.Unlock()
	if there, ok := m.all[key]; ok {
		return there
	}
	if len(m.all) >= maxFound {
		return g
	}
	if m.all == nil {
		m.all = make(map[calling]*Guard)
	}
	m.all[key] = g
	return g
}

func (m *foundGuards) full() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.all) >= maxFound
}

// drop removes guards.
func (m *foundGuards) drop(gone func(calling) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	read := m.read.Load()
	for key := range m.all {
		if !gone(key) {
			continue
		}
		delete(m.all, key)
		if read == nil {
			continue
		}
		if _, ok := (*read)[key]; ok {
			m.read.Store(nil) // until enough look-ups are worth a copy
			read, m.missed = nil, 0
		}
	}
}

// calling is a method of an upstream, or with an empty one of a service that is reached through this host.
type calling struct {
	upstream string
	target   Target
}
