package route

import (
	"maps"
	"slices"
	"strings"
)

// Names is a map by name that, failing an exact match, finds the only name that differs in case alone: clients of the
// 2019 framework send names in lower case.
type Names[T any] struct {
	exact  map[string]T
	folded map[string][]T
}

// NewNames returns an empty map with room for capacity names.
func NewNames[T any](capacity int) Names[T] {
	return Names[T]{exact: make(map[string]T, capacity), folded: make(map[string][]T, capacity)}
}

// Add adds a name that the map does not have.
func (n Names[T]) Add(name string, v T) {
	n.exact[name] = v
	lower := strings.ToLower(name)
	n.folded[lower] = append(n.folded[lower], v)
}

// Find returns the value of a name.
func (n Names[T]) Find(name string) (T, bool) {
	if v, ok := n.exact[name]; ok {
		return v, true
	}
	var none T
	if len(n.exact) == 0 {
		return none, false // without the cost of folding the name
	}
	if alike := n.folded[strings.ToLower(name)]; len(alike) == 1 {
		return alike[0], true
	}
	return none, false
}

// All returns the names, sorted.
func (n Names[T]) All() []string { return slices.Sorted(maps.Keys(n.exact)) }
