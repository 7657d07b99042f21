package registry

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
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

// Open makes an instance with the options that decode fills into a copy of the defaults; a nil decode leaves those. env
// may be nil for a handler that asks nothing of it. Errors begin with the handler's name. When ctx ends first, Open
// returns at once, and an instance that comes too late is closed.
func (e *Entry) Open(ctx context.Context, decode func(into any) error, env Env) (*Service, error) {
	o, err := e.DecodeOptions(decode)
	if err != nil {
		return nil, fmt.Errorf("%s: options: %w", e.Name, err)
	}
	own := &entryEnv{entry: e, host: env}
	build := func(ctx context.Context) (*Service, error) { return e.open(ctx, o, own) }
	s, err := within(ctx, build, closeLate)
	if err != nil {
		return nil, fmt.Errorf("%s: open: %w", e.Name, err)
	}
	if err := e.accept(s, own); err != nil {
		closeLate(ctx, s)
		return nil, fmt.Errorf("%s: open: %w", e.Name, err)
	}
	return s, nil
}

// closeLate closes an instance that nobody will use. Its error has no reader: another one has been told by then.
func closeLate(ctx context.Context, s *Service) {
	if s != nil {
		_ = s.Close(context.WithoutCancel(ctx))
	}
}

// accept checks what an open function made against what was declared, and readies it for use.
func (e *Entry) accept(s *Service, env *entryEnv) error {
	if s == nil {
		return errors.New("returned neither a service nor an error")
	}
	if s.err != nil {
		return s.err
	}
	if err := env.undeclared(); err != nil {
		return err
	}
	if err := checkDeclared(s.methods); err != nil {
		return err
	}
	if e.Methods != nil {
		if err := fits(e.Methods, s.methods); err != nil {
			return err
		}
	}
	e.order(s.methods)
	return e.bindOptions(s)
}

// bindOptions gives s the typed way from options in a manifest to its OnOptions.
func (e *Entry) bindOptions(s *Service) error {
	if s.onOptions == nil {
		return nil
	}
	hook, err := e.onOptions(s.onOptions)
	if err != nil {
		return err
	}
	s.configure = func(ctx context.Context, decode func(into any) error) error {
		o, err := e.DecodeOptions(decode)
		if err != nil {
			return fmt.Errorf("%s: options: %w", e.Name, err)
		}
		if err := guarded(ctx, func(ctx context.Context) error { return hook(ctx, o) }); err != nil {
			return fmt.Errorf("%s: reconfigure: %w", e.Name, err)
		}
		return nil
	}
	return nil
}

// checkDeclared sorts methods by name and finds bad and double names.
func checkDeclared(methods []*Method) error {
	sortMethods(methods)
	for i, m := range methods {
		if err := checkMethodName(m.Name); err != nil {
			return err
		}
		if i > 0 && methods[i-1].Name == m.Name {
			return fmt.Errorf("method %q is there twice", m.Name)
		}
	}
	return nil
}

// fits says where what is served differs from what was declared. A manifest is checked against the declaration, so
// neither may have more than the other.
func fits(declared, served []*Method) error {
	has := make(map[string]*Method, len(served))
	for _, m := range served {
		has[m.Name] = m
	}
	for _, d := range declared {
		m, ok := has[d.Name]
		if !ok {
			return fmt.Errorf("method %q is declared, but not served", d.Name)
		}
		if m.Args != d.Args || m.Reply != d.Reply {
			return fmt.Errorf("method %q takes (*%v, *%v), but (*%v, *%v) is declared", d.Name, m.Args, m.Reply, d.Args, d.Reply)
		}
		delete(has, d.Name)
	}
	for _, m := range served {
		if has[m.Name] != nil {
			return fmt.Errorf("method %q is served, but not declared", m.Name)
		}
	}
	return nil
}

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
