package wire

import "context"

// Handler runs one call: it fills res (payload and metadata; never sequence, service or method) or returns an error,
// which becomes the answer. req and res belong to the server and are valid until Handle returns; what is kept longer
// must be copied. ctx is the *Call. Handlers are called concurrently.
type Handler interface {
	Handle(ctx context.Context, req, res *Frame) error
}

// HandlerFunc makes a function a Handler.
type HandlerFunc func(ctx context.Context, req, res *Frame) error

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, req, res *Frame) error { return f(ctx, req, res) }
