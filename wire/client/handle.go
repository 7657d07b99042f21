package client

import (
	"context"
	"strings"

	"github.com/easymicro/easymicro/wire"
)

// Handle sends a request whose payload is encoded already, with the codec, compression and metadata that the frame has,
// and puts the payload, the codec and the metadata of the response into res. The payload of res is decompressed. It makes
// a client a wire.Handler. The metadata of an error's response is in res, too, without what the error itself says, and its status,
// which tells that the peer answered.
func (c *Client) Handle(ctx context.Context, req, res *wire.Frame) error {
	if c.handler != nil {
		return c.handler.Handle(ctx, req, res)
	}
	return c.inner(ctx, req, res)
}

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

// inner is the client within Options.Wrap.
func (c *Client) inner(ctx context.Context, req, res *wire.Frame) error {
	cl, _ := ctx.Value(callKey{}).(*call)
	if cl == nil || cl.c != c || cl.req != req {
		outer := cl
		var err error
		if cl, err = c.begin(); err != nil {
			return err
		}
		defer cl.end()
		cl.req = req
		if outer != nil && outer.c == c { // with another frame
			cl.idempotent, cl.hash, cl.hashed = outer.idempotent, outer.hash, outer.hashed
		}
		cl.hashPayload()
	}
	won, err := cl.run(ctx)
	if won != nil && won.sent {
		won.into(res, err != nil && res != &cl.wrapped)
	}
	return err
}

// into gives the response away; what res had of memory is used again. Of an error only what a handler has added is
// given to those who make a response of their own of it, and the status, which tells that the peer has answered.
func (s *slot) into(res *wire.Frame, withoutError bool) {
	res.Status, res.Codec = s.res.Status, s.res.Codec
	res.Payload, s.res.Payload = s.res.Payload, res.Payload
	if len(res.Metadata) == 0 && !withoutError {
		res.Metadata, s.res.Metadata = s.res.Metadata, res.Metadata
		return
	}
	for _, pair := range s.res.Metadata {
		if !withoutError || !ofError(pair[0]) {
			res.Metadata.Set(pair[0], pair[1])
		}
	}
}

// ofError tells whether a key of metadata is a part of an error.
func ofError(key string) bool {
	return key == wire.MetaError || key == wire.MetaErrorEasymicro || strings.HasPrefix(key, "x-em-")
}
