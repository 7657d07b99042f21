// Package fromrpcx provides a service moved from an rpcx server, with its methods and types unchanged.
package fromrpcx

import (
	"context"
	"errors"

	"github.com/easymicro/easymicro/registry"
)

func init() { registry.Plain(new(Arith)) }

// Args are two numbers. Without tags JSON and msgpack use the names of the fields, as rpcx does.
type Args struct {
	A int
	B int
}

// Reply is the result.
type Reply struct {
	C int
}

// Arith is the service of the rpcx examples.
type Arith struct{}

// Mul multiplies.
func (*Arith) Mul(_ context.Context, args *Args, reply *Reply) error {
	reply.C = args.A * args.B
	return nil
}

// Div divides. The text of its error is unchanged as well, for clients that compare it.
func (*Arith) Div(_ context.Context, args *Args, reply *Reply) error {
	if args.B == 0 {
		return errors.New("divide by zero")
	}
	reply.C = args.A / args.B
	return nil
}

// Meta reads a pair of the request's metadata and sets one of the reply's. In rpcx these are maps in the context, under
// share.ReqMetaDataKey and share.ResMetaDataKey.
func (*Arith) Meta(ctx context.Context, _ *Args, reply *Reply) error {
	if registry.Metadata(ctx).Get("testmd") != "" {
		reply.C = 1
	}
	registry.ReplyMetadata(ctx).Set("server", "hi this is server md")
	return nil
}
