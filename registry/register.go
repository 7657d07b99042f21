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

// Option adds to what Register and Plain say about a handler.
type Option func(*registration)

type registration struct {
	entry    *Entry
	registry *Registry
	examples map[string]any
}

// Uses names the clients that the handler asks its Env for. The manifest binds each to an upstream.
func Uses(upstreams ...string) Option {
	return func(r *registration) { r.entry.Uses = append(r.entry.Uses, upstreams...) }
}

// As names the handler, for Plain values whose type makes a poor name.
func As(name string) Option {
	return func(r *registration) { r.entry.Name = name }
}

// In registers in r instead of Default.
func In(r *Registry) Option {
	return func(reg *registration) { reg.registry = r }
}

// Methods declares that the handler serves the methods of T, the type that its open function passes to Receiver (T and
// *T mean the same) or an interface of it. So tools and the checks of a manifest know the methods without opening
// anything. What open returns must then have exactly the methods declared, by Methods and by Declares.
func Methods[T any]() Option {
	return func(r *registration) {
		t := reflect.TypeFor[T]()
		methods, skipped := methodsOf(t)
		if len(methods) == 0 {
			panic(fmt.Sprintf("registry: handler %q: %v", r.entry.Name, noMethods(t, skipped)))
		}
		r.entry.Methods = append(r.entry.Methods, methods...)
		r.entry.Skipped = append(r.entry.Skipped, skipped...)
	}
}

// Declares is Methods for one typed function, as Unary serves it.
func Declares[Req, Res any](name string) Option {
	return func(r *registration) {
		r.entry.Methods = append(r.entry.Methods, unaryMethod[Req, Res](name, nil))
	}
}

// Try gives a method an argument that makes a good first call. Tools show it instead of a value made from its type: in
// the examples of describe, and when a host starts. args is of the method's argument type, or a pointer to one; of a
// method that is not known it is an error of the program.
func Try(method string, args any) Option {
	return func(r *registration) {
		if r.examples == nil {
			r.examples = make(map[string]any)
		}
		r.examples[method] = args
	}
}
