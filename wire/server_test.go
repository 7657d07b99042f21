package wire_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

func TestNewLimitsApplyToNewConnectionsOnly(t *testing.T) {
	r := newRig(t, echo, wire.Limits{})
	old := r.client(t, wire.ConnOptions{})
	if _, err := call(t.Context(), old, "Echo", "connected"); err != nil {
		t.Fatal(err)
	}
	r.SetLimits(wire.Limits{MaxNameBytes: 8})
	fresh := r.client(t, wire.ConnOptions{})
	if _, err := call(t.Context(), old, "MethodWithALongName", ""); err != nil {
		t.Errorf("the old connection: %v", err)
	}
	_, err := call(t.Context(), fresh, "MethodWithALongName", "")
	wantError(t, err, code.ResourceExhausted, code.ReasonTooLarge)
}

func TestWorkersGrowWithBlockedCallsAndEndAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		var blocked atomic.Int64
		r := newRig(t, func(context.Context, *wire.Frame, *wire.Frame) error {
			blocked.Add(1)
			<-release
			return nil
		}, wire.Limits{})
		p := r.peer(t)
		synctest.Wait()
		const calls = 200
		for seq := range uint64(calls) {
			p.Send(wiretest.Request(seq, "Test", "Wait", wire.Raw, nil))
		}
		time.Sleep(10 * time.Millisecond) // the reader runs the first ones itself
		synctest.Wait()
		if n := blocked.Load(); n != calls {
			t.Errorf("%d of %d calls run, and all block", n, calls)
		}
		close(release)
		for range calls {
			p.Receive()
		}
		time.Sleep(15 * time.Second)
		synctest.Wait()
		if n := workersRunning(); n > 0 {
			t.Errorf("%d workers are left", n)
		}
		r.stop()
	})
}

// workersRunning counts the workers of all servers, but not other goroutines, which earlier tests may have left for a
// moment.
func workersRunning() int {
	stacks := make([]byte, 4<<20)
	return bytes.Count(stacks[:runtime.Stack(stacks, true)], []byte("wire.(*workers).run("))
}

func TestErrorOfAHandlerIsSentVerbatimWithItsCode(t *testing.T) {
	r := newRig(t, func(_ context.Context, req, res *wire.Frame) error {
		res.Metadata.Set("etag", "v1")
		if req.Method == "Plain" {
			return errors.New("divide by zero")
		}
		return code.Errorf(code.NotFound, "order %d", 7).WithReason("no_such_order")
	}, wire.Limits{})
	c := r.client(t, wire.ConnOptions{})
	for method, want := range map[string]code.Error{
		"Plain": {Code: code.Unknown, Message: "divide by zero"},
		"Coded": {Code: code.NotFound, Reason: "no_such_order", Message: "order 7"},
	} {
		var res wire.Frame
		err := c.Do(t.Context(), wiretest.Request(0, "Test", method, wire.JSON, nil), &res)
		wantError(t, err, want.Code, want.Reason)
		if err.Error() != want.Message {
			t.Errorf("got %q, want %q", err, want.Message)
		}
		if res.Metadata.Get("etag") != "v1" {
			t.Errorf("the reply metadata is lost: %v", res.Metadata)
		}
	}
}

func TestEndOfTheContextOfServeClosesOnlyItsConnections(t *testing.T) {
	s := wire.NewServer(wire.ServerOptions{Handler: wire.HandlerFunc(echo)})
	dial := func(ctx context.Context) (*wire.Conn, chan error) {
		ln, done := wiretest.Listen(), make(chan error, 1)
		go func() { done <- s.Serve(ctx, ln) }()
		nc, err := ln.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		c := wire.NewConn(nc, wire.ConnOptions{})
		t.Cleanup(func() { _ = c.Close() })
		if _, err := call(t.Context(), c, "Echo", ""); err != nil {
			t.Fatal(err)
		}
		return c, done
	}
	first, stop := context.WithCancel(t.Context())
	second, stopSecond := context.WithCancel(t.Context())
	cut, cutDone := dial(first)
	kept, keptDone := dial(second)
	stop()
	if err := <-cutDone; !errors.Is(err, context.Canceled) {
		t.Errorf("Serve: %v", err)
	}
	<-cut.Done()
	if _, err := call(t.Context(), kept, "Echo", ""); err != nil {
		t.Errorf("the other listener's connection: %v", err)
	}
	stopSecond()
	<-keptDone
}

// failing is a listener that never accepts.
type failing struct {
	net.Listener
	tries atomic.Int64
}

func (f *failing) Accept() (net.Conn, error) {
	f.tries.Add(1)
	return nil, errors.New("too many open files")
}
func (f *failing) Close() error { return nil }

func TestAListenerThatKeepsFailingCausesFewLogLines(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log strings.Builder
		s := wire.NewServer(wire.ServerOptions{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		ln := new(failing)
		_ = s.Serve(ctx, ln)
		if n := strings.Count(log.String(), "accept failed"); n != 6 || ln.tries.Load() < 60 {
			t.Errorf("%d lines of %d tries", n, ln.tries.Load())
		}
	})
}
