package registry

import (
	"context"
	"errors"
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
// open builds an instance. Its context ends when the host has the instance or gives up on it: what an instance does by
// itself goes on until OnClose, not until ctx ends. open returns a Service made by Receiver or Unary; an error, a panic
// or a nil Service is reported under the handler's name and leaves the host as it was.
//
// Register is called from init functions. It panics on what is a mistake in the program: a bad or taken name, options
// that are no struct, a Methods type without a method that fits.
func Register[O any](name string, defaults O, open func(ctx context.Context, o O, env Env) (*Service, error), opts ...Option) {
	e := &Entry{Name: name, place: callerPlace(1)}
	e.Package = e.place.pkg
	if open == nil {
		panic(fmt.Sprintf("registry: handler %q has no open function", name))
	}
	e.setOptions(reflect.ValueOf(&defaults))
	e.open = func(ctx context.Context, o any, env Env) (*Service, error) { return open(ctx, *optionsOf[O](o), env) }
	e.onOptions = onOptions[O]
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

// optionsOf takes what DecodeOptions returns, which is nil for an O without fields.
func optionsOf[O any](o any) *O {
	if typed, ok := o.(*O); ok {
		return typed
	}
	return new(O)
}

// onOptions is the typed form of what Service.OnOptions was given.
func onOptions[O any](hook any) (func(ctx context.Context, o any) error, error) {
	want, fn := reflect.TypeFor[func(context.Context, O) error](), reflect.ValueOf(hook)
	switch {
	case !fn.IsValid() || fn.Kind() == reflect.Func && fn.IsNil():
		return nil, errors.New("OnOptions was given nil")
	case !fn.CanConvert(want):
		return nil, fmt.Errorf("OnOptions was given a %v, want a %v", fn.Type(), want)
	}
	typed, _ := fn.Convert(want).Interface().(func(context.Context, O) error)
	return func(ctx context.Context, o any) error { return typed(ctx, *optionsOf[O](o)) }, nil
}

func register(e *Entry, opts []Option) {
	r := registration{entry: e, registry: compiledIn}
	for _, o := range opts {
		o(&r)
	}
	if err := checkDeclared(e.Methods); err != nil {
		panic(fmt.Sprintf("registry: handler %q: %v", e.Name, err))
	}
	if err := checkName(e.Name); err != nil {
		panic(fmt.Sprintf("registry: handler %q, registered by %s: %v", e.Name, e.place, err))
	}
	if err := e.try(r.examples); err != nil {
		panic(fmt.Sprintf("registry: handler %q: %v", e.Name, err))
	}
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
