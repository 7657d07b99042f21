package registry

import (
	"fmt"
	"reflect"
)

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
