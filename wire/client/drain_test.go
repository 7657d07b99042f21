package client

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

func TestReplacingTheOnlyEndpointLosesNoCall(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		quick := func(ctx context.Context, req, res *wire.Frame) error {
			time.Sleep(20 * time.Millisecond)
			return mul(ctx, req, res)
		}
		srv, stop := n.server("a", quick)
		c := n.client(Options{Resolver: serving("a"), PoolSize: 2})
		ctx, enough := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		var calls atomic.Int64
		for range 20 {
			callers.Go(func() {
				for ctx.Err() == nil {
					if err := six(t.Context(), c); err != nil {
						t.Error(err)
					}
					calls.Add(1)
				}
			})
		}
		for range 5 {
			time.Sleep(3 * time.Second)
			next, stopNext := n.server("a", quick) // takes the address over
			if err := srv.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			stop()
			srv, stop = next, stopNext
		}
		time.Sleep(time.Second)
		enough()
		callers.Wait()
		if calls.Load() < 10_000 {
			t.Errorf("%d calls", calls.Load())
		}
		_ = c.Close()
		stop()
	})
}

func TestCallsThatADrainedServerNeverReadAreRunElsewhere(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ln := wiretest.Listen()
		n.hosts["a"] = ln
		var ran atomic.Int64
		srv := wire.NewServer(wire.ServerOptions{Limits: wire.Limits{MaxInFlight: 1}, Handler: wire.HandlerFunc(
			func(ctx context.Context, _, _ *wire.Frame) error {
				ran.Add(1)
				<-ctx.Done()
				return nil
			})})
		go func() { _ = srv.Serve(t.Context(), ln) }()
		names := serving("a")
		c := n.client(Options{Resolver: names})
		results := make(chan error, 10)
		for range cap(results) {
			go func() { results <- six(t.Context(), c) }()
		}
		time.Sleep(2 * time.Second)
		defer n.serve("b", mul)()
		names.set("Arith", at("a", "b")...)
		synctest.Wait()
		grace, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = srv.Shutdown(grace)
		lost := 0
		for range cap(results) {
			if err := <-results; err != nil {
				lost++
				wantError(t, err, code.Unavailable, code.ReasonConnectionLost)
			}
		}
		if lost != 1 || ran.Load() != 1 {
			t.Errorf("%d calls failed, %d were run", lost, ran.Load())
		}
		_ = c.Close()
	})
}
