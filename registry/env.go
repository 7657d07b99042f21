package registry

import (
	"context"
	"log/slog"
)

// Env is what a host gives to an instance of a handler.
type Env interface {
	// Log is the host's logger, with the service's name in it.
	Log() *slog.Logger
	// Service is the name that the manifest gave to the instance.
	Service() string
	// Client is the client of a name that the handler declared with Uses. It is never nil and may be shared.
	Client(name string) Client
}

// Client calls the methods of one upstream service.
type Client interface {
	// Call sends args, a pointer or a value, and decodes what is answered into reply, a pointer. The error of a peer is
	// a *code.Error.
	Call(ctx context.Context, method string, args, reply any) error
}
