// Package registry holds the handlers that are compiled into a binary, by name.
//
// A service author registers a name, defaults for the options and a function that opens an instance (Register), or just a
// value (Plain). The host looks the name up, decodes the options in its manifest and opens an instance.
//
// Methods are found by reflection when a handler is registered or opened. Calling a receiver's method is then an indirect
// call: builds by the gc compiler use package unsafe to read the method's func value as one that takes pointers of any
// type. That costs 30 ns and no allocation, where reflect.Value.Call costs 550 ns and two allocations, a tenth of the
// server's cost of a call; a fuzz test compares the two. Builds with the tag purego, and by other compilers, use
// reflection. Functions served by Unary are typed and need neither.
package registry

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
)

// Registry is a set of handlers by name. It is safe for concurrent use.
type Registry struct {
	mu      sync.RWMutex
	entries map[string]*Entry // handlers
	around  map[string]*Entry // interceptors
}

// New returns an empty registry, for tests and for programs with several sets of handlers; see In.
func New() *Registry { return &Registry{entries: map[string]*Entry{}, around: map[string]*Entry{}} }

var compiledIn = New()

// Default returns the registry that Register and Plain fill.
func Default() *Registry { return compiledIn }

// Lookup returns the handler with a name.
func (r *Registry) Lookup(name string) (*Entry, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e, ok := r.entries[name]
	return e, ok
}

// Entries returns all handlers, by name.
func (r *Registry) Entries() []*Entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return byName(r.entries)
}

// Interceptor returns the interceptor with a name.
func (r *Registry) Interceptor(name string) (*Entry, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e, ok := r.around[name]
	return e, ok
}

// Interceptors returns all interceptors, by name.
func (r *Registry) Interceptors() []*Entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return byName(r.around)
}

func byName(entries map[string]*Entry) []*Entry {
	return slices.SortedFunc(maps.Values(entries), func(a, b *Entry) int { return strings.Compare(a.Name, b.Name) })
}

// add panics if the name is taken: two packages of the program claim it.
func (r *Registry) add(e *Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	entries := r.entries
	if e.around {
		entries = r.around
	}
	if old, taken := entries[e.Name]; taken {
		panic(fmt.Sprintf("registry: %s %q is registered twice: by %s and by %s", e.Kind(), e.Name, old.place, e.place))
	}
	entries[e.Name] = e
}
