package cli_test

import (
	"context"
	"errors"
	"time"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/code"
)

// Args holds two operands.
type Args struct {
	A int `json:"a"`
	B int `json:"b"`
}

// Reply holds a result.
type Reply struct {
	C int `json:"c"`
}

// Pause is a duration in milliseconds.
type Pause struct {
	MS int `json:"ms"`
}

// Options of the shop.
type Options struct {
	Currency string `yaml:"currency"`
}

// Desk is the service that the scripts call.
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

// Wait waits for the pause or its context.
func (*Desk) Wait(ctx context.Context, args *Pause, _ *Reply) error {
	select {
	case <-time.After(time.Duration(args.MS) * time.Millisecond):
	case <-ctx.Done():
	}
	return ctx.Err()
}

// Stay sleeps and ignores its context.
func (d *Desk) Stay(_ context.Context, args *Pause, _ *Reply) error {
	d.staying <- struct{}{}
	<-time.After(time.Duration(args.MS) * time.Millisecond)
	return nil
}

// Meet returns once a call of Stay is running.
func (d *Desk) Meet(context.Context, *Pause, *Reply) error {
	<-d.staying
	return nil
}

// Down fails with UNAVAILABLE.
func (*Desk) Down(context.Context, *Pause, *Reply) error {
	return code.Errorf(code.Unavailable, "the till is \x1b[2Jclosed")
}

// Echo returns its argument.
func (*Desk) Echo(_ context.Context, args, reply *[]byte) error {
	*reply = append([]byte(nil), *args...)
	return nil
}

// Who returns the caller and its metadata.
func (*Desk) Who(ctx context.Context, _ *Pause, reply *map[string]string) error {
	*reply = map[string]string{"caller": registry.Caller(ctx), "tenant": registry.Metadata(ctx).Get("tenant")}
	registry.ReplyMetadata(ctx).Set("shelf", "7")
	return nil
}

// Unserved has a signature that is not served.
func (*Desk) Unserved() string { return "" }
