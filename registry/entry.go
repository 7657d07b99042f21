package registry

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path"
	"reflect"
	"runtime"
	"slices"
	"strings"
)

// Entry is a registered handler or interceptor. It is immutable after registration.
type Entry struct {
	Name     string
	Options  reflect.Type // the struct of the options; nil if there are none
	Defaults any          // a value of Options, not to be changed; nil without options
	Uses     []string     // names of the clients that it uses
	Methods  []*Method    // those with an Example first, then by name; nil if they are known only once it is open
	Skipped  []Skipped    // methods that do not fit, as far as known before it is open
	Package  string       // that registered it

	place     place
	defaults  reflect.Value // a pointer to Options
	open      func(ctx context.Context, o any, env Env) (*Service, error)
	onOptions func(hook any) (func(ctx context.Context, o any) error, error)
	examples  map[string]any // by method
	checks    []namedCheck
	reuse     []string // methods whose arguments and replies are used again
	reuseAll  bool

	around      bool // registered by Around
	beforeRules bool
}

// setOptions keeps a deep copy of what defaults points to.
func (e *Entry) setOptions(defaults reflect.Value) {
	t := defaults.Type().Elem()
	if t.Kind() != reflect.Struct {
		panic(fmt.Sprintf("registry: %s %q: options are %v, want a struct", e.Kind(), e.Name, t))
	}
	if t.NumField() == 0 {
		return
	}
	if err := checkFields(t, nil); err != nil {
		panic(fmt.Sprintf("registry: %s %q: options: %v", e.Kind(), e.Name, err))
	}
	e.Options = t
	e.defaults = clone(defaults)
	e.Defaults = clone(defaults).Elem().Interface()
}

// IsInterceptor reports whether the entry was registered by Around.
func (e *Entry) IsInterceptor() bool { return e.around }

// BeforeRules reports whether the interceptor runs before the rules.
func (e *Entry) BeforeRules() bool { return e.beforeRules }

// Kind returns handler or interceptor.
func (e *Entry) Kind() string {
	if e.around {
		return "interceptor"
	}
	return "handler"
}

// acceptKind returns an error if an opened instance is not of the kind that was registered.
func (e *Entry) acceptKind(s *Service) error {
	switch {
	case e.around && s.intercept == nil:
		return errors.New("is an interceptor: return registry.Intercept(fn)")
	case e.around && len(s.methods) > 0:
		return errors.New("is an interceptor: it cannot have methods")
	case !e.around && s.intercept != nil:
		return errors.New("is a handler: register interceptors with registry.Around")
	}
	return nil
}

// Check runs the checks of the handler on a service, with options as DecodeOptions returns them, and yields each finding with the
// name of its check.
func (e *Entry) Check(s Configured, options any, yield func(check string, f Finding)) {
	for i := range e.checks {
		for _, f := range e.checks[i].findings(s, options) {
			yield(e.checks[i].name, f)
		}
	}
}

// DecodeOptions runs decode on a pointer to a copy of the defaults, and returns that pointer; a nil decode leaves the
// defaults. The error is decode's own. If the handler has no options, decode gets an empty struct, so that a strict
// decoder rejects any key, and the result is nil.
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

// Open makes an instance with the options that decode fills into a copy of the defaults; a nil decode leaves them. env may
// be nil if the handler does not use it. Errors begin with the handler's name; the stack of a panic is logged. If ctx ends
// first, Open returns at once, and an instance that is made too late is closed.
func (e *Entry) Open(ctx context.Context, decode func(into any) error, env Env) (*Service, error) {
	o, err := e.DecodeOptions(decode)
	if err != nil {
		return nil, fmt.Errorf("%s: options: %w", e.Name, err)
	}
	own := &entryEnv{name: e.Name, uses: e.Uses, host: env}
	build := func(ctx context.Context) (*Service, error) { return e.open(ctx, o, own) }
	s, err := within(ctx, build, closeLate)
	if err != nil {
		return nil, fmt.Errorf("%s: open: %w", e.Name, located(err, own.Log()))
	}
	if err := e.accept(s, own); err != nil {
		closeLate(ctx, s)
		return nil, fmt.Errorf("%s: open: %w", e.Name, err)
	}
	return s, nil
}

// closeLate closes an instance that is not used. Its error is dropped: Open has returned another.
func closeLate(ctx context.Context, s *Service) {
	if s != nil {
		_ = s.Close(context.WithoutCancel(ctx))
	}
}

// located logs the stack of a panic and adds its position to the error.
func located(err error, log *slog.Logger) error {
	p, ok := errors.AsType[*PanicError](err)
	if !ok {
		return err
	}
	log.Error("handler panicked", "panic", p.Error(), "stack", string(p.Stack))
	if p.Place == "" {
		return err
	}
	return fmt.Errorf("%w at %s", err, p.Place)
}

// accept checks an opened instance against what was declared and prepares it for use.
func (e *Entry) accept(s *Service, env *entryEnv) error {
	if s == nil {
		return errors.New("returned neither a service nor an error")
	}
	if s.err != nil {
		return s.err
	}
	if err := e.acceptKind(s); err != nil {
		return err
	}
	if e.around {
		s.name = e.Name
	}
	if err := env.undeclared(); err != nil {
		return err
	}
	if err := sortMethods(s.methods); err != nil {
		return err
	}
	if e.Methods != nil {
		if err := compareMethods(e.Methods, s.methods); err != nil {
			return err
		}
	}
	if err := e.setReuse(s.methods); err != nil {
		return err
	}
	e.putExamplesFirst(s.methods)
	return e.bindOptions(s, env.Log())
}

// bindOptions connects the options of a manifest to the OnOptions of s.
func (e *Entry) bindOptions(s *Service, log *slog.Logger) error {
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
			return fmt.Errorf("%s: reconfigure: %w", e.Name, located(err, log))
		}
		return nil
	}
	return nil
}

// setReuse has the methods of an instance use values again, as declared.
func (e *Entry) setReuse(methods []*Method) error {
	for _, name := range e.reuse {
		if !slices.ContainsFunc(methods, func(m *Method) bool { return m.Name == name }) {
			return fmt.Errorf("reuse of %s: the handler has no such method", name)
		}
	}
	for _, m := range methods {
		if e.reuseAll || slices.Contains(e.reuse, m.Name) {
			m.args.reused, m.reply.reused = true, !m.unary
		}
	}
	return nil
}

// Missed returns the skipped methods that were probably meant to be served: those whose first parameter is a context,
// unless they are served by other means or fit OnReady or OnOptions.
func (e *Entry) Missed(served []*Method, skipped []Skipped) []Skipped {
	has := make(map[string]bool)
	for _, s := range skipped {
		has[s.Name] = true
	}
	renamed := slices.Clone(served) // served by Unary under a name that no method has
	renamed = slices.DeleteFunc(renamed, func(m *Method) bool { return !m.unary || has[m.Name] })
	var missed []Skipped
	for _, s := range skipped {
		isNamed := func(m *Method) bool { return m.Name == s.Name }
		if len(s.in) == 0 || !s.in[0].Implements(contextType) || e.isHook(s) || slices.ContainsFunc(served, isNamed) {
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

// isHook reports whether open may have passed a method to OnReady or OnOptions.
func (e *Entry) isHook(s Skipped) bool {
	if e.onOptions == nil || !s.fails(1) { // Plain values have no hooks
		return false
	}
	return len(s.in) == 1 || len(s.in) == 2 && s.in[1] == e.Options
}

// setExamples sets the arguments given by Example, if they fit the known methods.
func (e *Entry) setExamples(examples map[string]any) error {
	for name, args := range examples {
		i := slices.IndexFunc(e.Methods, func(m *Method) bool { return m.Name == name })
		if i < 0 {
			return fmt.Errorf("example of %s: method not found or not declared", name)
		}
		t := reflect.TypeOf(args)
		if want := e.Methods[i].Args; t != want && t != reflect.PointerTo(want) {
			return fmt.Errorf("example of %s: %w", name, mismatch(args, want))
		}
	}
	e.examples = examples
	e.putExamplesFirst(e.Methods)
	return nil
}

// putExamplesFirst sorts methods: those with an example come first, then by name.
func (e *Entry) putExamplesFirst(methods []*Method) {
	rank := func(m *Method) int {
		if e.HasExample(m.Name) {
			return 0
		}
		return 1
	}
	slices.SortFunc(methods, func(a, b *Method) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.Name, b.Name))
	})
}

// Example returns an argument for a first call of a method: the one given by the option Example, or else one made from its
// type.
func (e *Entry) Example(m *Method) any {
	if args, ok := e.examples[m.Name]; ok {
		return args
	}
	return m.Example()
}

// HasExample reports whether the option Example gave an argument for a method.
func (e *Entry) HasExample(method string) bool {
	_, ok := e.examples[method]
	return ok
}

// compareMethods returns an error if the served methods are not exactly the declared ones, against which manifests are
// checked.
func compareMethods(declared, served []*Method) error {
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

// place is the position at which a handler was registered.
type place struct {
	pkg  string
	file string
	line int
}

func (p place) String() string { return fmt.Sprintf("%s (%s:%d)", p.pkg, p.file, p.line) }

// callerPlace returns the position that called the caller's skip-th caller.
func callerPlace(skip int) place {
	pcs := make([]uintptr, 1)
	runtime.Callers(skip+2, pcs)
	frame, _ := runtime.CallersFrames(pcs).Next()
	return place{pkg: packageOf(frame.Function), file: path.Base(frame.File), line: frame.Line}
}

// packageOf returns the package of a function such as github.com/x/orders.init.0. Dots in the last element of the path are
// escaped.
func packageOf(function string) string {
	slash := strings.LastIndexByte(function, '/') + 1
	pkg, _, _ := strings.Cut(function[slash:], ".")
	return function[:slash] + strings.ReplaceAll(pkg, "%2e", ".")
}
