package registry

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
)

// try takes the examples that Try was given, as far as they fit the methods that are known.
func (e *Entry) try(examples map[string]any) error {
	for name, args := range examples {
		i := slices.IndexFunc(e.Methods, func(m *Method) bool { return m.Name == name })
		if i < 0 {
			return fmt.Errorf("Try of %s: there is no such method, or it is not declared", name)
		}
		t := reflect.TypeOf(args)
		if want := e.Methods[i].Args; t != want && t != reflect.PointerTo(want) {
			return fmt.Errorf("Try of %s: %w", name, mismatch(args, want))
		}
	}
	e.examples = examples
	e.order(e.Methods)
	return nil
}

// order puts methods that are sorted by name into the order in which they are shown: those with an example first.
func (e *Entry) order(methods []*Method) {
	if len(e.examples) == 0 {
		return
	}
	slices.SortFunc(methods, func(a, b *Method) int {
		if tried := e.Tried(a.Name); tried != e.Tried(b.Name) {
			if tried {
				return -1
			}
			return 1
		}
		return strings.Compare(a.Name, b.Name)
	})
}

// Example is an argument for a first call of a method of the handler: the one that Try gave, else one made from its
// type.
func (e *Entry) Example(m *Method) any {
	if args, ok := e.examples[m.Name]; ok {
		return args
	}
	return m.Example()
}

// Tried reports whether Try gave an example for the method.
func (e *Entry) Tried(method string) bool {
	_, ok := e.examples[method]
	return ok
}
