package wire_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

func TestCancellationsAreSentToPeersThatUnderstandThem(t *testing.T) {
	ours := wire.Metadata{{wire.MetaHost, "orders-1"}}
	for name, tc := range map[string]struct {
		shown     wire.Metadata // with the response to an earlier call
		end       func(context.Context) (context.Context, context.CancelFunc)
		want      code.Code
		announced bool
	}{
		"cancelled":             {shown: ours, end: cancelAfter, want: code.Cancelled, announced: true},
		"cancelled, has time":   {shown: ours, end: cancelWithTime, want: code.Cancelled, announced: true},
		"its deadline passes":   {shown: ours, end: deadlineAfter, want: code.DeadlineExceeded},
		"a stock peer":          {end: cancelAfter, want: code.Cancelled},
		"other words of a peer": {shown: wire.Metadata{{"x-env", "prod"}}, end: cancelAfter, want: code.Cancelled},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, p := facing(t, wire.ConnOptions{})
				done := make(chan error, 1)
				do := func(ctx context.Context, method string) {
					_, err := call(ctx, c, method, "")
					done <- err
				}
				go do(t.Context(), "First")
				p.Send(&wire.Frame{Type: wire.Response, Seq: p.Receive().Seq, Metadata: tc.shown})
				if err := <-done; err != nil {
					t.Fatal(err)
				}
				ctx, cancel := tc.end(t.Context())
				defer cancel()
				go do(ctx, "Slow")
				slow := p.Receive()
				if err := <-done; code.Of(err) != tc.want {
					t.Errorf("got %v", err)
				}
				go do(t.Context(), "Next")
				f := p.Receive()
				if announced := f.Service == wire.CancelPath; announced != tc.announced {
					t.Errorf("announced %v, want %v", announced, tc.announced)
				} else if announced {
					if !f.OneWay || f.Type != wire.Request || f.Seq != slow.Seq {
						t.Errorf("got %+v for call %d", f, slow.Seq)
					}
					f = p.Receive()
				}
				if f.Method != "Next" {
					t.Errorf("got %+v", f)
				}
				answer(p, f, "")
				if err := <-done; err != nil {
					t.Error(err)
				}
				_ = c.Close()
			})
		})
	}
}

func cancelAfter(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	time.AfterFunc(time.Second, cancel)
	return ctx, cancel
}

func cancelWithTime(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	time.AfterFunc(time.Second, cancel)
	return ctx, cancel
}

func deadlineAfter(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, time.Second)
}
