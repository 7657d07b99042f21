// Package serialize is a handler for each of the five codecs.
package serialize

import (
	"context"
	"slices"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/samples/serialize/pb"
	"github.com/easymicro/easymicro/samples/serialize/th"
)

func init() { registry.Plain(new(Codecs)) }

// Args are two factors. JSON names them a and b, msgpack A and B.
type Args struct {
	A int `json:"a"`
	B int `json:"b"`
}

// Reply is the product.
type Reply struct {
	C int `json:"c"`
}

// Codecs multiplies and turns around. What a method can be called with follows from the types of its argument and reply.
type Codecs struct{}

// Mul takes plain structs: JSON and msgpack.
func (*Codecs) Mul(_ context.Context, args *Args, reply *Reply) error {
	reply.C = args.A * args.B
	return nil
}

// MulProtobuf takes messages that protoc generated: protobuf, and JSON as well.
func (*Codecs) MulProtobuf(_ context.Context, args *pb.Args, reply *pb.Reply) error {
	reply.C = args.GetA() * args.GetB()
	return nil
}

// MulThrift takes structs of a thrift compiler: thrift, and JSON and msgpack as well.
func (*Codecs) MulThrift(_ context.Context, args *th.Args, reply *th.Reply) error {
	reply.C = args.A * args.B
	return nil
}

// Reverse takes bytes as they are: raw.
func (*Codecs) Reverse(_ context.Context, args, reply *[]byte) error {
	*reply = slices.Clone(*args)
	slices.Reverse(*reply)
	return nil
}
