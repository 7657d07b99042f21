package registry

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"strings"
)

// Register adds a handler under a name of 1 to 64 characters from A-Z a-z 0-9 . _ -
//
// O is the struct of the handler's options. For each instance the options in the manifest are decoded into a copy of
// defaults; unknown keys are rejected. The key of a field is its name in lower camel case, maxItems for MaxItems, or the
// name in its yaml tag; yaml:"-" excludes it. Other tags:
//
//	doc:"text"        describes the field, in the JSON Schema and in editors
//	min:"1" max:"9"   bound a number or a duration ("1ms", "1h"), or those in a list
//	enum:"EUR,USD"    lists the values of a string
//	required:"true"   rejects a manifest that does not set the field
//
// Defaults are plain data: values, slices, maps and pointers to these. Unexported fields are shared by all instances.
//
// open builds an instance. Its context ends when open has returned or the host gives up on it; what an instance starts runs
// until OnClose. open returns a Service made by Receiver or Unary. An error, a panic or a nil Service is reported under the
// handler's name and leaves the host as it was.
//
// Call Register from an init function. It panics on a mistake in the program: a bad or taken name, options that are not a
// struct that YAML can fill, a tag that cannot be parsed, a Methods type without a suitable method.
func Register[O any](name string, defaults O, open func(ctx context.Context, o O, env Env) (*Service, error), opts ...Option) {
	e := &Entry{Name: name, place: callerPlace(1)}
	if open == nil {
		panic(fmt.Sprintf("registry: handler %q has no open function", name))
	}
	e.setOptions(reflect.ValueOf(&defaults))
	e.open = func(ctx context.Context, o any, env Env) (*Service, error) { return open(ctx, *optionsOf[O](o), env) }
	e.onOptions = onOptions[O]
	register(e, opts)
}

// Plain adds a value as a handler without options; its methods are served like those of Receiver. The handler is named
// after the value's package and type, samples.arith for a *samples.Arith, unless As gives another name. All instances share
// the value.
//
// Plain panics on a mistake in the program: a bad or taken name, a nil value, no suitable method.
func Plain(v any, opts ...Option) {
	s := Receiver(v)
	if s.err != nil {
		panic("registry: " + s.err.Error())
	}
	e := &Entry{Name: plainName(v), Methods: s.methods, Skipped: s.skipped, place: callerPlace(1)}
	e.open = func(context.Context, any, Env) (*Service, error) { return Receiver(v), nil }
	register(e, opts)
}

func plainName(v any) string {
	t := reflect.TypeOf(v)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	pkg, _, _ := strings.Cut(t.String(), ".")
	return pkg + "." + strings.ToLower(t.Name())
}

var handlerName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)

func register(e *Entry, opts []Option) {
	e.Package = e.place.pkg
	r := registration{entry: e, registry: compiledIn}
	for _, o := range opts {
		o(&r)
	}
	if e.around && (e.Uses != nil || e.Methods != nil || r.examples != nil || e.reuse != nil || e.reuseAll) {
		panic(fmt.Sprintf("registry: interceptor %q: Uses, Methods, UnaryMethod, Example and Reuse are for handlers", e.Name))
	}
	if !e.around && e.beforeRules {
		panic(fmt.Sprintf("registry: handler %q: BeforeRules is for interceptors", e.Name))
	}
	if !handlerName.MatchString(e.Name) {
		panic(fmt.Sprintf("registry: %s %q, registered by %s: want 1 to 64 characters of A-Z a-z 0-9 . _ -", e.Kind(), e.Name, e.place))
	}
	if err := sortMethods(e.Methods); err != nil {
		panic(fmt.Sprintf("registry: handler %q: %v", e.Name, err))
	}
	if err := e.setExamples(r.examples); err != nil {
		panic(fmt.Sprintf("registry: handler %q: %v", e.Name, err))
	}
	r.registry.add(e)
}

// Option configures a registration by Register, Plain or Around.
type Option func(*registration)

type registration struct {
	entry    *Entry
	registry *Registry
	examples map[string]any
}

// Uses names the clients that the handler gets from its Env. The manifest binds each to an upstream.
func Uses(upstreams ...string) Option {
	return func(r *registration) { r.entry.Uses = append(r.entry.Uses, upstreams...) }
}

// As names the handler, for Plain values whose type makes a poor name.
func As(name string) Option {
	return func(r *registration) { r.entry.Name = name }
}

// In registers the handler in another registry than Default.
func In(r *Registry) Option {
	return func(reg *registration) { reg.registry = r }
}

// Methods declares that the handler serves the methods of T, the type that its open function passes to Receiver, or an
// interface of it; T and *T are the same. Tools and the checks of a manifest then know the methods without opening the
// handler. The opened handler must have exactly the methods that Methods and UnaryMethod declare.
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

// UnaryMethod declares that the handler serves a function of these types as the method name, by Unary. See Methods.
func UnaryMethod[Req, Res any](name string) Option {
	return func(r *registration) {
		r.entry.Methods = append(r.entry.Methods, unaryMethod[Req, Res](name, nil))
	}
}

// Example sets the argument that tools show for a first call of a method, in place of one made from its type. args is of
// the method's argument type, or a pointer to it; the method must be known at registration.
func Example(method string, args any) Option {
	return func(r *registration) {
		if r.examples == nil {
			r.examples = make(map[string]any)
		}
		r.examples[method] = args
	}
}
