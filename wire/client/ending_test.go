package client

import (
	"context"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// onLoopback serves on a socket of its own until the test ends.
func onLoopback(t *testing.T, h wire.HandlerFunc, lim wire.Limits) (address string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := wire.NewServer(wire.ServerOptions{Handler: h, Limits: lim})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(ctx, ln)
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
	return ln.Addr().String()
}

func TestACancelledCallEndsAtTheServerToo(t *testing.T) {
	entered, ended := make(chan bool, 1), make(chan error, 1)
	address := onLoopback(t, func(ctx context.Context, _, _ *wire.Frame) error {
		entered <- true
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}, wire.Limits{})
	c := newClient(t, Options{Resolver: serving(address)})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- six(ctx, c) }()
	<-entered
	cancel()
	wantError(t, <-done, code.Cancelled, code.ReasonCancelled)
	select {
	case err := <-ended:
		if err != context.Canceled { //nolint:errorlint // as it is
			t.Errorf("the handler's context says %v", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("the handler runs on")
	}
}

// A server that ends idle connections as calls are on their way to it loses none of them.
func TestCallsOnTheirWayToAnIdleConnectionThatEndsAreNotLost(t *testing.T) {
	const idle, rounds = 20 * time.Millisecond, 24
	var told atomic.Int64
	address := onLoopback(t, func(ctx context.Context, req, res *wire.Frame) error {
		if req.OneWay {
			told.Add(1)
			return nil
		}
		return mul(ctx, req, res)
	}, wire.Limits{IdleTimeout: idle})
	c := newClient(t, Options{Resolver: serving(address), ConnectTimeout: 10 * time.Second})
	if err := six(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	pause := time.NewTimer(0)
	defer pause.Stop()
	for round := range rounds {
		<-pause.C
		pause.Reset(idle + time.Duration(round%20-10)*100*time.Microsecond) // around the end of the connection
		if round%2 == 0 {
			if err := six(t.Context(), c); err != nil {
				t.Errorf("round %d: %v", round, err)
			}
		} else if err := c.Notify(t.Context(), "Arith", "Mul", &Args{2, 3}); err != nil {
			t.Errorf("round %d, one-way: %v", round, err)
		}
	}
	eventually(t, "all one-way calls are run", func() bool { return told.Load() == rounds/2 })
}
