package cli_test

import (
	"context"
	"errors"
	"time"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/code"
)

// Args are two operands.
type Args struct {
	A int `json:"a"`
	B int `json:"b"`
}

// Reply is a result.
type Reply struct {
	C int `json:"c"`
}

// Pause is how long to take, in milliseconds.
type Pause struct {
	MS int `json:"ms"`
}

// Options are those of the shop.
type Options struct {
	Currency string `yaml:"currency"`
}

// Desk is what the scripts call.
type Desk struct{ staying chan struct{} }

func newDesk() *Desk { return &Desk{staying: make(chan struct{}, 16)} }

func openShop(context.Context, Options, registry.Env) (*registry.Service, error) {
	return registry.Receiver(newDesk()), nil
}

// Mul multiplies.
func (*Desk) Mul(_ context.Context, args *Args, reply *Reply) error {
	reply.C = args.A * args.B
	return nil
}

// Div divides.
func (*Desk) Div(_ context.Context, args *Args, reply *Reply) error {
	if args.B == 0 {
		return errors.New("divide by zero")
	}
	reply.C = args.A / args.B
	return nil
}

// Wait takes its time.
func (*Desk) Wait(ctx context.Context, args *Pause, _ *Reply) error {
	select {
	case <-time.After(time.Duration(args.MS) * time.Millisecond):
	case <-ctx.Done():
	}
	return ctx.Err()
}

// Stay does not notice that nobody waits any more.
func (d *Desk) Stay(_ context.Context, args *Pause, _ *Reply) error {
	d.staying <- struct{}{}
	<-time.After(time.Duration(args.MS) * time.Millisecond)
	return nil
}

// Meet returns once somebody stays.
func (d *Desk) Meet(context.Context, *Pause, *Reply) error {
	<-d.staying
	return nil
}

// Down fails as a thing that is not there.
func (*Desk) Down(context.Context, *Pause, *Reply) error {
	return code.Errorf(code.Unavailable, "the till is \x1b[2Jclosed")
}

// Echo answers what it gets.
func (*Desk) Echo(_ context.Context, args, reply *[]byte) error {
	*reply = append([]byte(nil), *args...)
	return nil
}

// Who says who called and with what metadata.
func (*Desk) Who(ctx context.Context, _ *Pause, reply *map[string]string) error {
	*reply = map[string]string{"caller": registry.Caller(ctx), "tenant": registry.Metadata(ctx).Get("tenant")}
	registry.ReplyMetadata(ctx).Set("shelf", "7")
	return nil
}

// Unserved has another shape.
func (*Desk) Unserved() string { return "" }
