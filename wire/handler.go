package wire

import "context"

// Handler handles calls. Handle sets payload and metadata of res, but not sequence, service or method, or returns an error,
// which is sent as the answer. req and res are valid until Handle returns; copy what is kept longer. A Server passes the
// *Call as ctx. Handle is called concurrently.
type Handler interface {
	Handle(ctx context.Context, req, res *Frame) error
}

// HandlerFunc is an adapter to use a function as a Handler.
type HandlerFunc func(ctx context.Context, req, res *Frame) error

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, req, res *Frame) error { return f(ctx, req, res) }
