package registry

import (
	"context"
	"fmt"
	"reflect"
	"slices"
)

// Entry is a registered handler. It is never changed after registration.
type Entry struct {
	Name     string
	Options  reflect.Type // the struct of the options; nil if the handler takes none
	Defaults any          // a value of Options, not to be changed; nil without options
	Uses     []string     // clients that the handler asks for
	Methods  []*Method    // those of Try first, then by name; nil if they are known only once the handler is open
	Skipped  []Skipped    // methods that do not fit, as far as known before opening
	Package  string       // the package that registered it

	place     place
	defaults  reflect.Value // a pointer to Options
	open      func(ctx context.Context, o any, env Env) (*Service, error)
	onOptions func(hook any) (func(ctx context.Context, o any) error, error)
	examples  map[string]any // of Try, by method
}

// DecodeOptions is a pointer to a fresh copy of the defaults with decode run over it; a nil decode leaves them. The
// error is decode's own. For a handler without options decode is run on an empty struct, so that a strict decoder
// rejects any, and the result is nil.
func (e *Entry) DecodeOptions(decode func(into any) error) (any, error) {
	if e.Options == nil {
		if decode == nil {
			return nil, nil
		}
		return nil, decode(new(struct{}))
	}
	o := clone(e.defaults).Interface()
	if decode == nil {
		return o, nil
	}
	if err := decode(o); err != nil {
		return nil, err
	}
	return o, nil
}

// setOptions keeps a copy of what the pointer leads to.
func (e *Entry) setOptions(defaults reflect.Value) {
	t := defaults.Type().Elem()
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("registry: handler %q: options are %v, want a struct", e.Name, t))
	}
	if t.NumField() == 0 {
		return
	}
	e.Options = t
	e.defaults = clone(defaults)
	e.Defaults = clone(defaults).Elem().Interface()
}

// Missed returns those of the skipped methods that look as if they were meant to be served: the first parameter is a
// context. Left out are methods that are served by other means, and those of the shapes that OnReady and OnOptions take.
func (e *Entry) Missed(served []*Method, skipped []Skipped) []Skipped {
	has := make(map[string]bool)
	for _, s := range skipped {
		has[s.Name] = true
	}
	renamed := slices.Clone(served) // what Unary serves under names that no method has
	renamed = slices.DeleteFunc(renamed, func(m *Method) bool { return !m.unary || has[m.Name] })
	var missed []Skipped
	for _, s := range skipped {
		isNamed := func(m *Method) bool { return m.Name == s.Name }
		if len(s.in) == 0 || !s.in[0].Implements(contextType) || e.hook(s) || slices.ContainsFunc(served, isNamed) {
			continue
		}
		if i := slices.IndexFunc(renamed, s.servedAs); i >= 0 {
			renamed = slices.Delete(renamed, i, i+1) // one function serves one method
			continue
		}
		missed = append(missed, s)
	}
	return missed
}

// hook reports whether a method can be one that the open function passes to OnReady or OnOptions.
func (e *Entry) hook(s Skipped) bool {
	if e.onOptions == nil || !s.fails(1) { // Plain values have none
		return false
	}
	return len(s.in) == 1 || len(s.in) == 2 && s.in[1] == e.Options
}
