package wire_test

import (
	"context"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// textless is an error whose text cannot be had.
type textless struct{ with any }

func (e textless) Error() string { panic(e.with) }

func TestNoErrorOrPanicOfAHandlerEndsTheProcess(t *testing.T) {
	endless := []any{nil}
	endless[0] = endless
	crash := func(with any) func() error { return func() error { panic(with) } }
	var none *code.Error
	for name, tc := range map[string]struct {
		handle func() error
		want   code.Code
	}{
		"an error whose Error panics":         {func() error { return textless{"no"} }, code.Internal},
		"one that panics with an endless one": {func() error { return textless{endless} }, code.Internal},
		"an error inside of a coded one":      {func() error { return code.Errorf(code.NotFound, "gone").WithCause(textless{"no"}) }, code.NotFound},
		"a nil pointer as error":              {func() error { return none }, code.OK},
		"a panic with what contains itself":   {crash(endless), code.Internal},
		"a panic with an error that panics":   {crash(textless{endless}), code.Internal},
		"a panic with nil":                    {crash(nil), code.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(ctx context.Context, req, res *wire.Frame) error {
				if req.Method == "Crash" {
					return tc.handle()
				}
				return echo(ctx, req, res)
			}, wire.Limits{})
			p := r.peer(t)
			p.Send(wiretest.OneWay(0, "Test", "Crash", wire.Raw, nil), wiretest.Request(1, "Test", "Crash", wire.Raw, nil))
			got := code.OK
			if e := wire.ErrorOf(p.Receive()); e != nil {
				got = e.Code
			}
			if got != tc.want {
				t.Errorf("got %v, want %v", got, tc.want)
			}
			p.Send(wiretest.Request(2, "Test", "Echo", wire.Raw, []byte("x")))
			if f := p.Receive(); string(f.Payload) != "x" {
				t.Errorf("the call behind it: %+v", f)
			}
		})
	}
}

func TestTheAnswerOfAnExpiredCallIsSentEvenAfterAHalfClose(t *testing.T) {
	returned := make(chan struct{})
	r := newRig(t, func(ctx context.Context, _, _ *wire.Frame) error {
		wire.CallFrom(ctx).ExpireAt(time.Now().Add(time.Millisecond), wire.ExpirerFunc(func() *code.Error {
			close(returned)                   // the handler may return now, while its answer is being made
			time.Sleep(10 * time.Millisecond) // and the connection would be done
			return code.Refuse(code.DeadlineExceeded, code.ReasonTimeout, "over", "", "", 0)
		}))
		<-returned
		return nil
	}, wire.Limits{})
	c := r.dial(t)
	p := wiretest.NewPeer(t, c)
	p.Send(wiretest.Request(1, "Test", "Wait", wire.Raw, nil))
	_ = c.(interface{ CloseWrite() error }).CloseWrite()
	f := p.Receive()
	if f.Heartbeat {
		f = p.Receive()
	}
	wantError(t, wire.ErrorOf(f), code.DeadlineExceeded, code.ReasonTimeout)
}
