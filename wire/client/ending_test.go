package client

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
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

// A server that closes idle connections while calls are in transit loses none of them.
func TestCallsInTransitOnAnIdleConnectionThatEndsAreNotLost(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		const idle, rounds = 20 * time.Second, 100
		var oneWay atomic.Int64
		_, stop := n.limited("a", func(ctx context.Context, req, res *wire.Frame) error {
			if req.OneWay {
				oneWay.Add(1)
				return nil
			}
			return mul(ctx, req, res)
		}, wire.Limits{IdleTimeout: idle})
		defer stop()
		c := n.client(Options{Resolver: serving("a"), KeepaliveInterval: time.Hour})
		if err := six(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for round := range rounds {
			time.Sleep(idle + time.Duration(round%5/3)) // as the connection ends, or right after
			if round%2 == 0 {
				if err := six(t.Context(), c); err != nil {
					t.Errorf("round %d: %v", round, err)
				}
			} else if err := c.Notify(t.Context(), "Arith", "Mul", &Args{2, 3}); err != nil {
				t.Errorf("round %d, one-way: %v", round, err)
			}
		}
		_ = c.Close()
		synctest.Wait()
		if oneWay.Load() != rounds/2 {
			t.Errorf("%d one-way calls are run", oneWay.Load())
		}
		if dials := len(n.dialled("a")); dials < rounds/2 {
			t.Errorf("%d connections: they have not ended", dials)
		}
	})
}

// The answers of slow calls come while the connection is being closed.
func TestOneWayCallsBeforeACloseAreAllRun(t *testing.T) {
	const calls, slow = 200, 4
	var oneWay atomic.Int64
	entered, quarter := make(chan bool, slow), make(chan bool)
	address := onLoopback(t, func(_ context.Context, req, _ *wire.Frame) error {
		switch {
		case !req.OneWay:
			entered <- true
			<-quarter
		case oneWay.Add(1) == calls/4:
			close(quarter)
		}
		return nil
	}, wire.Limits{MaxInFlight: slow + 1})
	c := newClient(t, Options{Resolver: serving(address)})
	var out sync.WaitGroup
	for range slow {
		out.Go(func() { _ = six(t.Context(), c) })
		<-entered
	}
	for range calls {
		if err := c.Notify(t.Context(), "Arith", "Mul", make([]byte, 20<<10)); err != nil {
			t.Fatal(err)
		}
	}
	_ = c.Close()
	out.Wait()
	eventually(t, "all one-way calls are run", func() bool { return oneWay.Load() == calls })
}

// vanishing serves an address with a peer that sends nothing after the first heartbeat.
func (n *network) vanishing(address string, greets bool) (stop func()) {
	ln := wiretest.Listen()
	n.hosts[address] = ln
	go func() {
		if nc, err := ln.Accept(); err == nil && greets {
			wiretest.NewPeer(n.t, nc).Greet()
		}
	}()
	return func() { _ = ln.Close() }
}

// parking serves an address with one call at a time, which does not end before stop is called.
func (n *network) parking(address string) (drain, stop func()) {
	srv, stop := n.limited(address, func(ctx context.Context, _, _ *wire.Frame) error {
		<-ctx.Done()
		return ctx.Err()
	}, wire.Limits{MaxInFlight: 1})
	return func() { _ = srv.Shutdown(context.Background()) }, stop
}

// A peer that vanishes does not confirm that one-way calls were read; one that drains does not confirm that they run.
func TestAClientClosesInTimeWithUnconfirmedOneWayCalls(t *testing.T) {
	const grace = time.Second
	for name, tc := range map[string]struct {
		keepalive                time.Duration
		vanished, unlisted, late bool
	}{
		"vanished":                     {keepalive: time.Hour, vanished: true},
		"vanished, without heartbeats": {keepalive: -1, vanished: true},
		"vanished and unlisted":        {keepalive: time.Hour, vanished: true, unlisted: true},
		"parked":                       {keepalive: time.Hour},
		"parked, no time left":         {keepalive: time.Hour, late: true},
	} {
		t.Run(name, func(t *testing.T) {
			for most, end := range map[time.Duration]func(*Client) error{
				resendTimeout: (*Client).Close,
				grace: func(c *Client) error {
					ctx, cancel := context.WithTimeout(context.Background(), grace)
					defer cancel()
					if tc.late {
						cancel()
					}
					if err := c.Shutdown(ctx); !errors.Is(err, ctx.Err()) || err == nil {
						t.Errorf("Shutdown: %v", err)
					}
					return nil
				},
			} {
				inBubble(t, func(t *testing.T, n *network) {
					names := serving("a")
					c := n.client(Options{Resolver: names, KeepaliveInterval: tc.keepalive})
					var stop func()
					drain := func() {}
					if tc.vanished {
						stop = n.vanishing("a", tc.keepalive > 0)
					} else {
						drain, stop = n.parking("a")
					}
					defer stop()
					for range 2 {
						if err := c.Notify(t.Context(), "Arith", "Mul", make([]byte, 128<<10)); err != nil {
							t.Fatal(err)
						}
					}
					synctest.Wait()
					go drain()
					if tc.unlisted {
						names.set("Arith")
					}
					synctest.Wait()
					began := time.Now()
					_ = end(c)
					if took := time.Since(began); took > most {
						t.Errorf("it has ended after %v, not within %v", took, most)
					}
				})
			}
		})
	}
}
