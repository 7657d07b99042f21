package client

import (
	"context"

	"github.com/easymicro/easymicro/wire"
)

// callContext carries a call through what Options.Wrap has put around.
type callContext struct {
	context.Context //nolint:containedctx // it is one, with a value more
	call            *call
}

type callKey struct{}

// Value is the call for callKey, and else that of the parent.
func (c *callContext) Value(key any) any {
	if _, ok := key.(callKey); ok {
		return c.call
	}
	return c.Context.Value(key)
}

// AfterFunc spares contexts that are derived from c a goroutine when the parent is not one of package context.
func (c *callContext) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.Context, f) }

// inner is the client within Options.Wrap. The call was counted when it came to Wrap, which may hand on another frame.
func (c *Client) inner(ctx context.Context, req, res *wire.Frame) error {
	outer, _ := ctx.Value(callKey{}).(*call)
	if outer != nil && outer.c == c && outer.req == req {
		return outer.respond(ctx, res)
	}
	cl := c.fresh()
	defer cl.end()
	cl.req = req
	if outer != nil && outer.c == c {
		cl.idempotent, cl.hash, cl.hashed, cl.whole = outer.idempotent, outer.hash, outer.hashed, outer.whole
		cl.packs, cl.compression = outer.packs, outer.compression
	}
	cl.hashPayload()
	return cl.respond(ctx, res)
}
