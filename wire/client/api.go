package client

import (
	"context"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// Call calls a method and waits for its answer, which is decoded into reply, a pointer to a zero value; nil drops it. A
// reply that comes next to an error is decoded, too, as far as that is possible.
// args may be used again when it returns, and reply is no longer written to. The deadline of ctx travels with the call;
// the end of ctx ends the wait with DEADLINE_EXCEEDED/timeout or CANCELLED/cancelled, and the call is perhaps run all the
// same. When no endpoint is known or can be reached the error is UNAVAILABLE/no_endpoint, when a connection breaks with
// the call out UNAVAILABLE/connection_lost, above Options.MaxPending UNAVAILABLE/overloaded, when args cannot be encoded
// INVALID_ARGUMENT/bad_payload, and INTERNAL/bad_reply when the reply is over a limit or cannot be decoded.
func (c *Client) Call(ctx context.Context, service, method string, args, reply any, o ...CallOption) error {
	cl, err := c.newCall(service, method, args, o)
	if err != nil {
		return err
	}
	defer cl.end()
	return cl.finish(ctx, reply)
}

// Call is Client.Call with a reply of its own.
func Call[Reply any](ctx context.Context, c *Client, service, method string, args any, o ...CallOption) (*Reply, error) {
	reply := new(Reply)
	if err := c.Call(ctx, service, method, args, reply, o...); err != nil {
		return nil, err
	}
	return reply, nil
}

// Notify calls a method that gives no answer, and returns when the request is on its way: whether it arrives, and what
// became of it, is never told.
func (c *Client) Notify(ctx context.Context, service, method string, args any, o ...CallOption) error {
	cl, err := c.newCall(service, method, args, o)
	if err != nil {
		return err
	}
	defer cl.end()
	cl.req.OneWay = true
	return cl.finish(ctx, nil)
}

// newCall makes a call of arguments.
func (c *Client) newCall(service, method string, args any, o []CallOption) (*call, error) {
	cl, err := c.begin()
	if err != nil {
		return nil, err
	}
	for _, set := range o {
		set(&cl.callOptions)
	}
	if err := cl.encode(service, method, args); err != nil {
		cl.end()
		return nil, err
	}
	return cl, nil
}

func (cl *call) encode(service, method string, args any) error {
	req := &cl.own
	cl.req = req
	req.Service, req.Method, req.Codec = service, method, cl.codec
	req.Metadata = append(req.Metadata[:0], cl.metadata...)
	var err error
	if req.Payload, err = wire.Append(cl.codec, req.Payload[:0], args); err != nil {
		return badArgument(service, method, err)
	}
	cl.hashArgument(args)
	cl.packs = true
	if cl.compression == wire.Zstd && cl.c.o.Compression != wire.Zstd && len(req.Payload) >= cl.c.o.CompressAbove {
		req.Metadata.Set(wire.MetaAcceptCompression, wire.Zstd.String())
	}
	return nil
}

// finish sends the call and decodes its reply.
func (cl *call) finish(ctx context.Context, reply any) error {
	res, err := cl.carryOut(ctx)
	if e := code.From(err); e != nil && e.Own() {
		err = code.Remote(e) // by a rule of the guard's: to who called the handler that passes it on, it is none of his
	}
	if cl.req.OneWay {
		return err
	}
	if res != nil && cl.replyMetadata != nil {
		*cl.replyMetadata = append((*cl.replyMetadata)[:0], res.Metadata...)
	}
	d := wire.Decoding{MaxBytes: cl.c.o.Limits.MaxDecompressedBytes}
	switch {
	case reply == nil:
		return err
	case err != nil:
		if res != nil && len(res.Payload) > 0 {
			_ = d.Decode(res.Codec, res.Payload, reply) // the error is what counts
		}
		return err
	}
	if err := d.Decode(res.Codec, res.Payload, reply); err != nil {
		return failed(code.Internal, code.ReasonBadReply, "the reply of %s.%s: %w", cl.req.Service, cl.req.Method, err)
	}
	return nil
}

// carryOut sends the call through what Options.Wrap has put around. The response is nil when there is none.
func (cl *call) carryOut(ctx context.Context) (*wire.Frame, error) {
	if cl.c.handler != nil {
		cl.whole = true
		err := cl.c.handler.Handle(&callContext{ctx, cl}, cl.req, &cl.wrapped)
		if err != nil && cl.wrapped.Status == wire.StatusNormal {
			return nil, err
		}
		return &cl.wrapped, err
	}
	won, err := cl.run(ctx)
	if won == nil || !won.answered {
		return nil, err
	}
	return &won.res, err
}
