package registry

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"

	"github.com/easymicro/easymicro/wire/code"
)

// Env is the environment of a handler's instance, provided by the host.
type Env interface {
	// Log returns the host's logger, with the name of the service.
	Log() *slog.Logger
	// Service returns the name of the instance in the manifest.
	Service() string
	// Client returns the client for a name declared with Uses. It is never nil and may be shared.
	Client(name string) Client
}

// Client calls the methods of one upstream service.
type Client interface {
	// Call sends args, a pointer or a value, and decodes the response into reply, a pointer. An error from the peer is a
	// *code.Error. The deadline of ctx is sent along; for metadata see WithOutgoing and WithReplyOf.
	Call(ctx context.Context, method string, args, reply any) error
}

// entryEnv is the Env that an open function gets: the host's, limited to what the handler declared. Without a host it logs
// nothing and has no clients.
type entryEnv struct {
	name string // of the handler
	uses []string
	host Env

	mu  sync.Mutex
	err error // for the first undeclared client that was requested
}

func (e *entryEnv) Log() *slog.Logger {
	if e.host == nil {
		return slog.New(slog.DiscardHandler)
	}
	return e.host.Log()
}

func (e *entryEnv) Service() string {
	if e.host == nil {
		return e.name
	}
	return e.host.Service()
}

func (e *entryEnv) Client(name string) Client {
	if !slices.Contains(e.uses, name) {
		err := fmt.Errorf("client %q is not declared: add registry.Uses(%q)", name, name)
		e.mu.Lock()
		defer e.mu.Unlock()
		if e.err == nil {
			e.err = err
		}
		return noClient{err}
	}
	if e.host != nil {
		if c := e.host.Client(name); c != nil {
			return c
		}
	}
	return noClient{fmt.Errorf("client %q is not bound to an upstream", name)}
}

func (e *entryEnv) undeclared() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.err
}

// noClient fails every call: a nil Client would panic far from the cause.
type noClient struct{ err error }

func (c noClient) Call(context.Context, string, any, any) error {
	return code.Remote(code.Errorf(code.Unavailable, "%w", c.err).WithReason(code.ReasonNoEndpoint))
}
