package policies

import (
	"maps"
	"strings"
	"sync"
	"sync/atomic"
)

// growing is a map that is read far more often than it grows. What was there for a while is read without a lock and
// without an allocation. The zero growing is empty.
type growing[K comparable, V any] struct {
	read atomic.Pointer[map[K]V] // is not changed

	mu     sync.Mutex
	all    map[K]V // what is in read, and what came since
	missed int     // look-ups that read could not answer
}

func (g *growing[K, V]) find(key K) (V, bool) {
	if read := g.read.Load(); read != nil {
		if v, ok := (*read)[key]; ok {
			return v, true
		}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	v, ok := g.all[key]
	if ok {
		g.missed++
		if g.missed > len(g.all)/4 { // a copy costs each look-up that made it necessary a few entries
			read := maps.Clone(g.all)
			g.read.Store(&read)
			g.missed = 0
		}
	}
	return v, ok
}

// add puts v in, unless something is there already or there are most of them; it returns what is there, or v.
func (g *growing[K, V]) add(key K, v V, most int) V {
	g.mu.Lock()
	defer g.mu.Unlock()
	if there, ok := g.all[key]; ok {
		return there
	}
	if len(g.all) >= most {
		return v
	}
	if g.all == nil {
		g.all = make(map[K]V)
	}
	g.all[key] = v
	return v
}

func (g *growing[K, V]) full(most int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.all) >= most
}

// drop forgets some keys.
func (g *growing[K, V]) drop(gone func(K) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	read := g.read.Load()
	for key := range g.all {
		if !gone(key) {
			continue
		}
		delete(g.all, key)
		if read == nil {
			continue
		}
		if _, ok := (*read)[key]; ok {
			g.read.Store(nil) // until enough has been asked for to be worth a copy
			read, g.missed = nil, 0
		}
	}
}

// byAddress keeps something for each endpoint of an upstream; beyond mostAddresses they share it. Reading costs no lock.
type byAddress[T any] struct {
	fresh   func(address string) T
	mu      sync.Mutex
	current atomic.Pointer[map[string]T] // replaced, never changed
}

// mostAddresses is how many endpoints of an upstream have something of their own.
const mostAddresses = 4096

func (m *byAddress[T]) of(address string) T {
	if v, ok := m.all()[address]; ok {
		return v
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.all()
	if len(now) >= mostAddresses && address != Other {
		address = Other
	}
	if v, ok := now[address]; ok {
		return v
	}
	next := make(map[string]T, len(now)+1)
	maps.Copy(next, now)
	address = strings.Clone(address)
	v := m.fresh(address)
	next[address] = v
	m.current.Store(&next)
	return v
}

// drop forgets the endpoints that are gone.
func (m *byAddress[T]) drop(gone func(address string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	next := maps.Clone(m.all())
	maps.DeleteFunc(next, func(address string, _ T) bool { return gone(address) })
	m.current.Store(&next)
}

// each calls f for all endpoints; none is added meanwhile.
func (m *byAddress[T]) each(f func(T)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.all() {
		f(v)
	}
}

// all is what there is now. It must not be changed.
func (m *byAddress[T]) all() map[string]T {
	if now := m.current.Load(); now != nil {
		return *now
	}
	return nil
}
