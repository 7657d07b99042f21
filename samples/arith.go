package samples

import (
	"context"
	"errors"

	"github.com/easymicro/easymicro/registry"
)

func init() { registry.Plain(new(Arith), registry.Example("Mul", Args{A: 73, B: 1500})) }

// Args are two operands. JSON names them a and b, msgpack A and B, as the rpcx examples do.
type Args struct {
	A int `json:"a"`
	B int `json:"b"`
}

// Reply is a result.
type Reply struct {
	C int `json:"c"`
}

// Arith is the arithmetic service of the rpcx examples, with the handler name samples.arith.
type Arith struct{}

// Mul multiplies.
func (*Arith) Mul(_ context.Context, args *Args, reply *Reply) error {
	reply.C = args.A * args.B
	return nil
}

// Div divides and truncates toward zero.
func (*Arith) Div(_ context.Context, args *Args, reply *Reply) error {
	if args.B == 0 {
		return errors.New("divide by zero")
	}
	reply.C = args.A / args.B
	return nil
}
