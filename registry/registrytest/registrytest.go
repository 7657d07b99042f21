// Package registrytest opens one handler with options and fake clients and calls its methods, for unit tests of handlers
// without a host.
package registrytest

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/code"
)

// closeTimeout bounds the closing of an instance at the end of its test.
const closeTimeout = 10 * time.Second

// Handler is an open instance of a handler.
type Handler struct {
	Service *registry.Service

	tb   testing.TB
	name string
}

// Open opens the handler registered under a name, and closes it when the test ends. It ends the test if the handler is not
// registered or does not open, and fails it if the handler does not close. Without Options the handler gets its defaults.
// It logs to the test.
func Open(tb testing.TB, name string, opts ...Option) *Handler {
	tb.Helper()
	s := settings{registry: registry.Default(), clients: map[string]registry.Client{}}
	for _, o := range opts {
		o(&s)
	}
	entry, ok := s.registry.Lookup(name)
	if !ok {
		tb.Fatalf("handler %q is not registered: is its package imported?", name)
	}
	service, err := entry.Open(tb.Context(), s.decode, &env{tb: tb, name: name, clients: s.clients})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), closeTimeout)
		defer cancel()
		if err := service.Close(ctx); err != nil {
			tb.Errorf("%s: close: %v", name, err)
		}
	})
	return &Handler{Service: service, tb: tb, name: name}
}

// Reconfigure applies other options, of the type that the handler was registered with, to the running instance. handled is
// false if the instance has no OnOptions.
func (h *Handler) Reconfigure(ctx context.Context, options any) (handled bool, err error) {
	return h.Service.Reconfigure(ctx, assign(options))
}

// Call calls a method of the handler. args is a value of the method's argument type, or a pointer to one; Res is the type
// of its reply. Call ends the test if there is no such method or it has other types. Errors of the method are returned, a
// panic as a *registry.PanicError; the test's log has its stack.
//
// To set metadata and a caller, and to read reply metadata, pass a context made by registry.WithCall. Without one, the
// caller is "anonymous".
func Call[Res any](ctx context.Context, h *Handler, method string, args any) (*Res, error) {
	h.tb.Helper()
	m := h.method(method)
	if want := reflect.TypeFor[Res](); m.Reply != want {
		h.tb.Fatalf("%s.%s replies with %v, not %v", h.name, method, m.Reply, want)
	}
	if registry.CallFrom(ctx) == nil {
		ctx = registry.WithCall(ctx, &registry.Call{Service: h.name, Method: method, Caller: "anonymous"})
	}
	res, err := m.Call(ctx, h.argument(m, args), nil)
	if panicked, ok := errors.AsType[*registry.PanicError](err); ok {
		h.tb.Logf("%s.%s: %v\n%s", h.name, method, panicked, panicked.Stack)
	}
	if err != nil {
		return nil, err
	}
	typed, ok := res.(*Res)
	if !ok {
		h.tb.Fatalf("%s.%s replied with %T, not *%v", h.name, method, res, m.Reply)
	}
	return typed, nil
}

func (h *Handler) method(name string) *registry.Method {
	h.tb.Helper()
	methods := h.Service.Methods()
	names := make([]string, len(methods))
	for i, m := range methods {
		if m.Name == name {
			return m
		}
		names[i] = m.Name
	}
	h.tb.Fatalf("%s has no method %q; it has %s", h.name, name, strings.Join(names, ", "))
	return nil
}

func (h *Handler) argument(m *registry.Method, args any) any {
	h.tb.Helper()
	switch v := reflect.ValueOf(args); {
	case !v.IsValid():
	case v.Type() == reflect.PointerTo(m.Args):
		return args
	case v.Type() == m.Args:
		p := m.NewArgs()
		reflect.ValueOf(p).Elem().Set(v)
		return p
	}
	h.tb.Fatalf("%s.%s takes %v, not %T", h.name, m.Name, m.Args, args)
	return nil
}

// Option configures Open.
type Option func(*settings)

type settings struct {
	registry *registry.Registry
	decode   func(into any) error
	clients  map[string]registry.Client
}

// Options replaces the handler's default options with o, a value of the type that it was registered with.
func Options(o any) Option { return func(s *settings) { s.decode = assign(o) } }

// Client sets c as the handler's client for a name declared with registry.Uses.
func Client(name string, c registry.Client) Option {
	return func(s *settings) { s.clients[name] = c }
}

// In looks the handler up in r instead of registry.Default().
func In(r *registry.Registry) Option { return func(s *settings) { s.registry = r } }

// ClientFunc is a fake client. It fills in reply, a pointer, or returns an error.
type ClientFunc func(ctx context.Context, method string, args, reply any) error

// Call calls f.
func (f ClientFunc) Call(ctx context.Context, method string, args, reply any) error {
	return f(ctx, method, args, reply)
}

// assign returns a decoder that assigns o.
func assign(o any) func(into any) error {
	return func(into any) error {
		from, to := reflect.ValueOf(o), reflect.ValueOf(into).Elem()
		if !from.IsValid() || from.Type() != to.Type() {
			return fmt.Errorf("the test passes a %T, the handler takes a %v", o, to.Type())
		}
		to.Set(from)
		return nil
	}
}

type env struct {
	tb      testing.TB
	name    string
	clients map[string]registry.Client
}

func (e *env) Log() *slog.Logger { return slog.New(slog.NewTextHandler(e.tb.Output(), nil)) }

func (e *env) Service() string { return e.name }

func (e *env) Client(name string) registry.Client {
	if c, ok := e.clients[name]; ok {
		return c
	}
	return ClientFunc(func(context.Context, string, any, any) error {
		return code.Errorf(code.Unavailable, "the test has no client %q: add registrytest.Client", name).
			WithReason(code.ReasonNoEndpoint)
	})
}
