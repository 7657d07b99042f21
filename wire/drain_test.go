package wire_test

import (
	"context"
	"errors"
	"io"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// ours is a call of a peer that sends a key of ours.
func ours(seq uint64) *wire.Frame {
	return wiretest.With(wiretest.Request(seq, "Test", "Echo", wire.Raw, nil), wire.MetaAcceptCompression, "none")
}

func TestDrainAnnouncesTheLastAcceptedSequence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, wire.Limits{})
		called, again := r.peer(t), r.peer(t)
		for _, p := range []*wiretest.Peer{called, again} {
			p.Send(ours(41))
			p.Receive()
		}
		again.Send(wiretest.Request(42, "Test", "Echo", wire.Raw, nil))
		again.Receive()
		synctest.Wait()
		begin := time.Now()
		if err := r.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if took := time.Since(begin); took != 100*time.Millisecond+250*time.Millisecond {
			t.Errorf("drained after %v, want the silence and the wait for the peer's end", took)
		}
		for p, want := range map[*wiretest.Peer]uint64{called: 41, again: 42} {
			f := p.Receive()
			if f.Type != wire.Request || !f.OneWay || f.Service != wire.DrainPath || f.Seq != want {
				t.Errorf("got %+v, want sequence %d", f, want)
			}
			if f := p.Receive(); f.Service != wire.DrainPath || f.Method != "last" || f.Seq != want {
				t.Errorf("got %+v, want that %d was the last", f, want)
			}
			if _, err := p.TryReceive(); !errors.Is(err, io.EOF) {
				t.Errorf("got %v", err)
			}
		}
		r.stop()
	})
}

func TestIdleConnectionsWakeForCallsAndForTheDrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, wire.Limits{})
		p := r.peer(t)
		for seq := range uint64(3) {
			p.Send(wiretest.With(wiretest.Request(seq, "Test", "Echo", wire.Raw, make([]byte, 100<<10)), wire.MetaAcceptCompression, "none"))
			if f := p.Receive(); f.Seq != seq || len(f.Payload) != 100<<10 {
				t.Errorf("got sequence %d with %d bytes", f.Seq, len(f.Payload))
			}
			time.Sleep(30 * time.Second)
		}
		if err := r.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		if f := p.Receive(); f.Service != wire.DrainPath || f.Seq != 2 {
			t.Errorf("got %+v", f)
		}
		r.stop()
	})
}

func TestDrainServesCallsInTransitAndClosesAfterSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(ctx context.Context, req, res *wire.Frame) error {
			if req.Method == "Slow" {
				time.Sleep(5 * time.Second)
			}
			return echo(ctx, req, res)
		}, wire.Limits{})
		p := r.peer(t)
		p.Send(wiretest.With(wiretest.Request(1, "Test", "Slow", wire.Raw, nil), wire.MetaAcceptCompression, "none"))
		synctest.Wait()
		begin := time.Now()
		done := make(chan error, 1)
		go func() { done <- r.Shutdown(t.Context()) }()
		if f := p.Receive(); f.Service != wire.DrainPath || f.Seq != 1 {
			t.Errorf("got %+v", f)
		}
		time.Sleep(time.Second)
		p.Send(wiretest.Request(2, "Test", "Echo", wire.Raw, nil)) // in transit
		if f := p.Receive(); f.Seq != 2 || f.Status != wire.StatusNormal {
			t.Errorf("got %+v", f)
		}
		if f := p.Receive(); f.Seq != 1 || time.Since(begin) != 5*time.Second {
			t.Errorf("got %+v after %v", f, time.Since(begin))
		}
		time.Sleep(90 * time.Millisecond)
		p.Send(wiretest.Request(3, "Test", "Echo", wire.Raw, nil)) // silent for less than 100 ms
		if f := p.Receive(); f.Seq != 3 {
			t.Errorf("got %+v", f)
		}
		answered := time.Now()
		if f := p.Receive(); f.Service != wire.DrainPath || f.Method != "last" || f.Seq != 3 {
			t.Errorf("got %+v, want that 3 was the last", f)
		}
		if _, err := p.TryReceive(); !errors.Is(err, io.EOF) || time.Since(answered) != 100*time.Millisecond {
			t.Errorf("got %v after %v", err, time.Since(answered))
		}
		_ = p.Close()
		if err := <-done; err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		r.stop()
	})
}

func TestEndOfTheGracePeriodClosesRemainingConnections(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		cancelled := make(chan error, 1)
		r := newRig(t, func(ctx context.Context, _, _ *wire.Frame) error {
			<-ctx.Done()
			cancelled <- ctx.Err()
			return nil
		}, wire.Limits{})
		c := r.client(t, wire.ConnOptions{})
		failed := make(chan error, 1)
		go func() {
			_, err := call(t.Context(), c, "Wait", "")
			failed <- err
		}()
		synctest.Wait()
		grace, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		begin := time.Now()
		if err := r.Shutdown(grace); !errors.Is(err, context.DeadlineExceeded) || time.Since(begin) != 3*time.Second {
			t.Errorf("Shutdown: %v after %v", err, time.Since(begin))
		}
		if err := <-cancelled; !errors.Is(err, context.Canceled) {
			t.Errorf("the handler sees %v", err)
		}
		wantError(t, <-failed, code.Unavailable, code.ReasonConnectionLost)
		r.stop()
	})
}

func TestServeDoesNotWaitForHandlersThatIgnoreTheirContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(context.Context, *wire.Frame, *wire.Frame) error {
			time.Sleep(time.Hour)
			return nil
		}, wire.Limits{})
		p := r.peer(t)
		p.Send(wiretest.Request(1, "Test", "Stubborn", wire.Raw, nil))
		synctest.Wait()
		begin := time.Now()
		r.stop()
		if took := time.Since(begin).Truncate(10 * time.Millisecond); took != time.Second {
			t.Errorf("Serve returned after %v", took)
		}
		time.Sleep(time.Hour) // the worker ends with its handler
	})
}

// dialOurs connects a client that receives the drain frame.
func dialOurs(t *testing.T, address string) *wire.Conn {
	t.Helper()
	c, err := wire.Dial(t.Context(), "tcp", address, wire.ConnOptions{AcceptCompression: []wire.Compression{wire.Zstd}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func TestDrainLosesNoCallUnderLoad(t *testing.T) {
	for range 5 {
		var ran sync.Map // what the old server began to run
		first, old, _ := onTCP(t, func(ctx context.Context, req, res *wire.Frame) error {
			ran.Store(string(req.Payload), true)
			return echo(ctx, req, res)
		}, wire.Limits{})
		second, _, _ := onTCP(t, echo, wire.Limits{})
		var calls, callers atomic.Int64
		var all sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		for i := range 8 {
			c := dialOurs(t, first)
			all.Go(func() {
				moved := false
				for n := 0; ctx.Err() == nil; n++ {
					if c.Draining() && !moved {
						c, moved = dialOurs(t, second), true
					}
					want := strconv.Itoa(i) + "/" + strconv.Itoa(n)
					got, err := call(t.Context(), c, "Echo", want)
					if err != nil && c.Draining() {
						// A caller that was delayed for 100 ms is too late; what it sent was never read.
						if _, lost := ran.Load(want); !lost {
							continue
						}
					}
					if err != nil || got != want {
						t.Errorf("got %q, %v; want %q", got, err, want)
						return
					}
					calls.Add(1)
					if n == 0 {
						callers.Add(1)
					}
				}
			})
		}
		// A connection that the listener has not accepted yet is lost with it, so each has been of use before.
		eventually(t, "the callers are at work", func() bool { return callers.Load() == 8 && calls.Load() > 500 })
		if err := old.Shutdown(t.Context()); err != nil {
			t.Errorf("Shutdown: %v", err)
		}
		drained := calls.Load()
		eventually(t, "the callers work on", func() bool { return calls.Load() > drained+500 })
		stop()
		all.Wait()
	}
}

func TestServerThatDrainsRefusesToServeAgain(t *testing.T) {
	r := newRig(t, echo, wire.Limits{})
	if err := r.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.Serve(t.Context(), wiretest.Listen()); !errors.Is(err, wire.ErrServerClosed) {
		t.Errorf("got %v", err)
	}
}
