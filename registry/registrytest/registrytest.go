// Package registrytest opens one handler with options and fake clients and calls its methods, for unit tests of handlers
// without a host.
package registrytest

import (
	"context"
	"testing"
	"time"

	"github.com/easymicro/easymicro/registry"
)

// closeTimeout is what an instance gets to close at the end of its test.
const closeTimeout = 10 * time.Second

// Handler is an open instance of a handler.
type Handler struct {
	Service *registry.Service

	tb   testing.TB
	name string
}

// Open opens the handler that is registered under a name, and closes it when the test ends. It ends the test when the
// handler is unknown or does not open, and fails it when the handler does not close. Without options the handler gets
// its defaults; its log is the test's.
func Open(tb testing.TB, name string, opts ...Option) *Handler {
	tb.Helper()
	s := settings{registry: registry.Default(), clients: map[string]registry.Client{}}
	for _, o := range opts {
		o(&s)
	}
	entry, ok := s.registry.Lookup(name)
	if !ok {
		tb.Fatalf("no handler %q is registered: is its package imported?", name)
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

// Reconfigure gives the running instance other options, of the type that the handler was registered with. handled is
// false when the instance has no OnOptions.
func (h *Handler) Reconfigure(ctx context.Context, options any) (handled bool, err error) {
	return h.Service.Reconfigure(ctx, assign(options))
}
