// Package registry holds the handlers that are compiled into a binary, by name.
//
// A service author registers a name, defaults for the options and a constructor (Register), or just a value (Plain);
// the host looks the name up, decodes the options of its manifest and opens an instance. All reflection happens when a
// handler is registered or opened, none when a method is called.
package registry

import (
	"fmt"
	"sort"
	"sync"
)

// Registry is a set of handlers by name. It may be shared between goroutines.
type Registry struct {
	mu      sync.RWMutex
	entries map[string]*Entry
}

// New is an empty registry, for tests and for programs that hold several sets of handlers; the Option In registers
// there.
func New() *Registry { return &Registry{entries: map[string]*Entry{}} }

var compiledIn = New()

// Default is the registry that Register and Plain fill.
func Default() *Registry { return compiledIn }

// Lookup is the entry of a name.
func (r *Registry) Lookup(name string) (*Entry, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	e, ok := r.entries[name]
	return e, ok
}

// Entries lists what is registered, by name.
func (r *Registry) Entries() []*Entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	all := make([]*Entry, 0, len(r.entries))
	for _, e := range r.entries {
		all = append(all, e)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Name < all[j].Name })
	return all
}

// add panics when the name is taken: two packages of one program claim it, and no input can mend that.
func (r *Registry) add(e *Entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if old, taken := r.entries[e.Name]; taken {
		panic(fmt.Sprintf("registry: handler %q is registered twice: by %s and by %s", e.Name, old.place, e.place))
	}
	r.entries[e.Name] = e
}
