package client

import (
	"context"
	"strings"

	"github.com/easymicro/easymicro/wire"
)

// Handle sends a request whose payload is encoded already, with the codec, compression and metadata that the frame has,
// and puts the payload, the codec and the metadata of the response into res. The payload of res is decompressed. It makes
// a client a wire.Handler. When the response is an error its metadata is in res, too, without what the error itself says,
// and its status, which tells that the peer answered. req and res may be used again when it returns.
func (c *Client) Handle(ctx context.Context, req, res *wire.Frame) error {
	cl, err := c.begin()
	if err != nil {
		return err
	}
	defer cl.end()
	cl.req = req
	from := wire.CallFrom(ctx)
	cl.headers = from != nil && from.Transport() == "http"
	cl.hashPayload()
	if c.handler != nil {
		return c.handler.Handle(&callContext{ctx, cl}, req, res)
	}
	return cl.respond(ctx, res)
}

// respond carries the call out and gives the response away.
func (cl *call) respond(ctx context.Context, res *wire.Frame) error {
	res.Status = wire.StatusNormal
	won, err := cl.run(ctx)
	if won != nil && won.answered {
		won.into(res, err != nil && !cl.whole)
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
