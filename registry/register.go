package registry

import (
	"context"
	"fmt"
	"reflect"
	"strings"
)

// Register adds a handler under a name of [A-Za-z0-9._-]{1,64}.
//
// O is the struct of the handler's options. The options of a manifest are decoded strictly into a copy of defaults, made
// anew for each instance. Defaults are plain data: values, slices, maps and pointers to such; what hides in unexported
// fields, channels and functions is shared by all copies.
//
// open builds an instance. It gets a context that ends when the host gives up on it, and returns a Service made by
// Receiver or Unary; an error, a panic or a nil Service is reported under the handler's name and leaves the host as it
// was.
//
// Register is called from init functions. It panics on what is a mistake in the program: a bad or taken name, options
// that are no struct, a Methods type without a method that fits.
func Register[O any](name string, defaults O, open func(ctx context.Context, o O, env Env) (*Service, error), opts ...Option) {
	e := &Entry{Name: name, place: callerPlace(1)}
	e.Package = e.place.pkg
	if open == nil {
		panic(fmt.Sprintf("registry: handler %q has no open function", name))
	}
	e.setOptions(reflect.ValueOf(&defaults).Elem())
	e.open = func(ctx context.Context, o any, env Env) (*Service, error) {
		typed, _ := o.(*O)
		if typed == nil {
			typed = new(O)
		}
		return open(ctx, *typed, env)
	}
	register(e, opts)
}

// Plain adds a value without options, whose methods are served as Receiver does. It is named after its package and
// type, samples.arith for a *samples.Arith, unless As says otherwise. All instances share the value.
//
// Plain panics on what is a mistake in the program: a bad or taken name, a nil value, no method that fits.
func Plain(v any, opts ...Option) {
	s := Receiver(v)
	if s.err != nil {
		panic("registry: " + s.err.Error())
	}
	e := &Entry{Name: plainName(v), Methods: s.methods, Skipped: s.skipped, place: callerPlace(1)}
	e.Package = e.place.pkg
	e.open = func(context.Context, any, Env) (*Service, error) { return Receiver(v), nil }
	register(e, opts)
}

func register(e *Entry, opts []Option) {
	r := registration{entry: e, registry: compiledIn}
	for _, o := range opts {
		o(&r)
	}
	if err := checkName(e.Name); err != nil {
		panic(fmt.Sprintf("registry: handler %q, registered by %s: %v", e.Name, e.place, err))
	}
	sortMethods(e.Methods)
	r.registry.add(e)
}

func plainName(v any) string {
	t := reflect.TypeOf(v)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	pkg, _, _ := strings.Cut(t.String(), ".")
	return pkg + "." + strings.ToLower(t.Name())
}
