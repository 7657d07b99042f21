// Package fromrpcx is a service that was an rpcx server's: its methods and types are as they were there.
package fromrpcx

import (
	"context"
	"errors"

	"github.com/easymicro/easymicro/registry"
)

func init() { registry.Plain(new(Arith)) }

// Args are two numbers. Without tags JSON and msgpack have the names of the fields, as they have them at rpcx.
type Args struct {
	A int
	B int
}

// Reply is what comes out.
type Reply struct {
	C int
}

// Arith is the service of rpcx's own examples.
type Arith struct{}

// Mul is A times B.
func (*Arith) Mul(_ context.Context, args *Args, reply *Reply) error {
	reply.C = args.A * args.B
	return nil
}

// Div is A by B. Clients that compare the text of its error go on to.
func (*Arith) Div(_ context.Context, args *Args, reply *Reply) error {
	if args.B == 0 {
		return errors.New("divide by zero")
	}
	reply.C = args.A / args.B
	return nil
}

// Meta reads a pair of the request's metadata and sets one of the reply's: where rpcx has maps in the context, under
// share.ReqMetaDataKey and share.ResMetaDataKey.
func (*Arith) Meta(ctx context.Context, _ *Args, reply *Reply) error {
	if registry.Metadata(ctx).Get("testmd") != "" {
		reply.C = 1
	}
	registry.ReplyMetadata(ctx).Set("server", "hi this is server md")
	return nil
}
