package registrytest

import (
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"testing"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/code"
)

// Option changes what Open does.
type Option func(*settings)

type settings struct {
	registry *registry.Registry
	decode   func(into any) error
	clients  map[string]registry.Client
}

// Options opens the handler with these options, a value of the type that it was registered with, in place of its
// defaults.
func Options(o any) Option { return func(s *settings) { s.decode = assign(o) } }

// Client gives the handler a fake for one of the clients that it uses.
func Client(name string, c registry.Client) Option {
	return func(s *settings) { s.clients[name] = c }
}

// In looks the handler up in r instead of registry.Default.
func In(r *registry.Registry) Option { return func(s *settings) { s.registry = r } }

// ClientFunc is a fake client made of a function. It fills reply, a pointer, or returns an error.
type ClientFunc func(ctx context.Context, method string, args, reply any) error

// Call calls f.
func (f ClientFunc) Call(ctx context.Context, method string, args, reply any) error {
	return f(ctx, method, args, reply)
}

// assign is a decoder that knows its result already.
func assign(o any) func(into any) error {
	return func(into any) error {
		from, to := reflect.ValueOf(o), reflect.ValueOf(into).Elem()
		if !from.IsValid() || from.Type() != to.Type() {
			return fmt.Errorf("the test gives a %T, the handler takes a %v", o, to.Type())
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
