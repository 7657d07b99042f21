package host

import (
	"maps"
	"slices"
	"strings"
)

// names finds things by their exact name and, failing that, by the only name that differs in case alone: the original
// framework's clients lower-case what they send.
type names[T any] struct {
	exact  map[string]T
	folded map[string][]T
}

func newNames[T any](capacity int) names[T] {
	return names[T]{exact: make(map[string]T, capacity), folded: make(map[string][]T, capacity)}
}

func (n names[T]) add(name string, v T) {
	n.exact[name] = v
	lower := strings.ToLower(name)
	n.folded[lower] = append(n.folded[lower], v)
}

func (n names[T]) find(name string) (T, bool) {
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

// all are the names in one order, so that one word has one suggestion.
func (n names[T]) all() []string { return slices.Sorted(maps.Keys(n.exact)) }
