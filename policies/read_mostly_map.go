package policies

import (
	"maps"
	"sync"
	"sync/atomic"
)

// readMostlyMap is a map that is read far more often than it grows. Reading entries that have been in it for a while takes no
// lock and allocates nothing. The zero readMostlyMap is empty.
type readMostlyMap[K comparable, V any] struct {
	read atomic.Pointer[map[K]V] // replaced, never changed

	mu     sync.Mutex
	all    map[K]V // read, and later additions
	missed int     // look-ups not answered by read
}

func (m *readMostlyMap[K, V]) find(key K) (V, bool) {
	if read := m.read.Load(); read != nil {
		if v, ok := (*read)[key]; ok {
			return v, true
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	v, ok := m.all[key]
	if ok {
		m.missed++
		if m.missed > len(m.all)/4 { // a copy costs each look-up that made it necessary a few entries
			read := maps.Clone(m.all)
			m.read.Store(&read)
			m.missed = 0
		}
	}
	return v, ok
}

// add adds v, unless the key has a value already or the map has maximum keys. It returns the value of the key, or v.
func (m *readMostlyMap[K, V]) add(key K, v V, maximum int) V {
	m.mu.Lock()
	defer m.mu.Unlock()
	if there, ok := m.all[key]; ok {
		return there
	}
	if len(m.all) >= maximum {
		return v
	}
	if m.all == nil {
		m.all = make(map[K]V)
	}
	m.all[key] = v
	return v
}

func (m *readMostlyMap[K, V]) full(maximum int) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.all) >= maximum
}

// drop removes keys.
func (m *readMostlyMap[K, V]) drop(gone func(K) bool) {
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
