package wire_test

import (
	"context"
	"errors"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

func late() *code.Error {
	return code.Refuse(code.DeadlineExceeded, code.ReasonTimeout, "late", "", "", 0)
}

// answerFunc is a wire.EarlyAnswerer.
type answerFunc func(*code.Error)

func (f answerFunc) AnswerEarly(e *code.Error) { f(e) }

func TestCallEndsAtItsEarliestDeadlineAndAnswersOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var answers []string
		served := new(wire.ServedCall)
		c := served.Begin(t.Context(), &wire.CallOptions{}, nil, answerFunc(func(e *code.Error) { answers = append(answers, e.Message) }))
		begin := time.Now()
		named := func(name string) wire.ExpirerFunc {
			return func() *code.Error { return &code.Error{Message: name} }
		}
		c.ExpireAt(begin.Add(5*time.Second), named("first"))
		c.ExpireAt(begin.Add(2*time.Second), named("earliest"))
		c.ExpireAt(begin.Add(2*time.Second), named("as early"))
		c.ExpireAt(begin.Add(9*time.Second), named("latest"))
		if d, ok := c.Deadline(); !ok || !d.Equal(begin.Add(2*time.Second)) {
			t.Errorf("deadline %v, %v", d, ok)
		}
		<-c.Done()
		if took := time.Since(begin); took != 2*time.Second {
			t.Errorf("ended after %v", took)
		}
		time.Sleep(10 * time.Second)
		if served.Finish() {
			t.Error("it is to be answered again")
		}
		if len(answers) != 1 || answers[0] != "earliest" || !errors.Is(c.Err(), context.DeadlineExceeded) {
			t.Errorf("answers %q, %v", answers, c.Err())
		}
	})
}

func TestCallWhoseDeadlineHasPassedEndsAtOnce(t *testing.T) {
	answered := false
	c := new(wire.ServedCall).Begin(t.Context(), &wire.CallOptions{}, nil, answerFunc(func(*code.Error) { answered = true }))
	defer c.End()
	c.ExpireAt(time.Now().Add(-time.Second), wire.ExpirerFunc(late))
	if !answered || !errors.Is(c.Err(), context.DeadlineExceeded) {
		t.Errorf("answered %v, %v", answered, c.Err())
	}
}

func TestEndedCallIsNotAnsweredByItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := new(wire.ServedCall).Begin(t.Context(), &wire.CallOptions{}, nil, answerFunc(func(*code.Error) { t.Error("answered") }))
		c.ExpireAt(time.Now().Add(time.Second), wire.ExpirerFunc(late))
		c.End()
		c.ExpireAt(time.Now().Add(time.Second), wire.ExpirerFunc(late))
		time.Sleep(time.Minute)
		if !errors.Is(c.Err(), context.Canceled) {
			t.Errorf("got %v", c.Err())
		}
	})
}

func TestCallFollowsItsParent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		type key struct{}
		parent, cancel := context.WithTimeout(context.WithValue(t.Context(), key{}, "v"), time.Minute)
		defer cancel()
		c := wire.NewCall(parent, wire.CallOptions{Transport: "http", Peer: netip.MustParseAddr("10.0.0.7")})
		defer c.End()
		if c.Value(key{}) != "v" || c.Transport() != "http" || c.Peer().String() != "10.0.0.7" {
			t.Errorf("got %v, %v, %v", c.Value(key{}), c.Transport(), c.Peer())
		}
		if d, ok := c.Deadline(); !ok || time.Until(d) != time.Minute {
			t.Errorf("deadline %v, %v", d, ok)
		}
		if c.Err() != nil {
			t.Errorf("ended: %v", c.Err())
		}
		<-c.Done()
		if !errors.Is(c.Err(), context.DeadlineExceeded) {
			t.Errorf("got %v", c.Err())
		}
	})
}

func TestContextsDerivedFromACallNeedNoGoroutineAndEndWithIt(t *testing.T) {
	c := wire.NewCall(context.Background(), wire.CallOptions{})
	before := runtime.NumGoroutine()
	var derived []context.Context
	for range 100 {
		ctx, cancel := context.WithCancel(c)
		defer cancel()
		derived = append(derived, ctx)
	}
	if n := runtime.NumGoroutine() - before; n >= len(derived) {
		t.Errorf("%d goroutines", n)
	}
	if wire.CallFrom(derived[0]) != c || wire.CallFrom(c) != c || wire.CallFrom(t.Context()) != nil {
		t.Error("CallFrom finds another call")
	}
	c.End()
	for _, ctx := range derived {
		<-ctx.Done()
		if !errors.Is(ctx.Err(), context.Canceled) {
			t.Errorf("got %v", ctx.Err())
		}
	}
}

func TestStoppedAfterFuncDoesNotRun(t *testing.T) {
	c := wire.NewCall(context.Background(), wire.CallOptions{})
	ran := make(chan string, 3)
	stop := c.AfterFunc(func() { ran <- "stopped" })
	c.AfterFunc(func() { ran <- "kept" })
	if !stop() || stop() {
		t.Error("stop tells the wrong thing")
	}
	c.End()
	stop = c.AfterFunc(func() { ran <- "kept" })
	if stop() {
		t.Error("what runs already cannot be stopped")
	}
	for range 2 {
		if got := <-ran; got != "kept" {
			t.Errorf("%s ran", got)
		}
	}
}

func TestCallerDeadlineIsReadFromMetadata(t *testing.T) {
	arrived := time.Unix(1000, 0)
	for value, want := range map[string]time.Duration{
		"1999": 1999 * time.Millisecond, "1": time.Millisecond,
		"0": 0, "-5": 0, "-99999999999999999999": 0,
		"": -1, "soon": -1, "0.9": -1, "9223372036854775807": -1, "99999999999999999999": -1,
	} {
		got, ok := wire.CallerDeadline(arrived, wire.Metadata{{wire.MetaTimeout, value}})
		if ok != (want >= 0) || ok && !got.Equal(arrived.Add(want)) {
			t.Errorf("%q: got %v, %v", value, got, ok)
		}
	}
	if _, ok := wire.CallerDeadline(arrived, nil); ok {
		t.Error("a deadline without metadata")
	}
}

func TestLateCallIsAnsweredAtOnceAndItsResultDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(ctx context.Context, _, res *wire.Frame) error {
			c := wire.CallFrom(ctx)
			c.ExpireAt(c.Arrived().Add(time.Second), wire.ExpirerFunc(late))
			time.Sleep(time.Minute) // ignores its context
			if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
				t.Errorf("context: %v", ctx.Err())
			}
			res.Payload = append(res.Payload, "too late"...)
			return nil
		}, wire.Limits{})
		p := r.peer(t)
		begin := time.Now()
		for seq := range uint64(3) {
			p.Send(&wire.Frame{Service: "Test", Method: "Slow", Seq: seq, Codec: wire.JSON})
		}
		for range 3 {
			f := p.Receive()
			wantError(t, wire.ErrorOf(f), code.DeadlineExceeded, code.ReasonTimeout)
			if f.Service != "Test" || f.Method != "Slow" || f.Codec != wire.JSON {
				t.Errorf("got %+v", f)
			}
		}
		if took := time.Since(begin).Truncate(10 * time.Millisecond); took != time.Second { // the first calls hold up the reader
			t.Errorf("answered after %v", took)
		}
		time.Sleep(2 * time.Minute)
		p.Send(&wire.Frame{Heartbeat: true, Seq: 9})
		if f := p.Receive(); f.Seq != 9 {
			t.Errorf("the late result came: %+v", f)
		}
		r.stop()
	})
}

func TestExpiryEndsTheContextEvenIfThePeerDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const network = 64 << 10 // what the pipe holds
		var took time.Duration
		r := newRig(t, func(ctx context.Context, req, res *wire.Frame) error {
			if req.Method == "Fill" {
				res.Payload = append(res.Payload, make([]byte, network-len(wiretest.Bytes(req)))...)
				return nil
			}
			c := wire.CallFrom(ctx)
			c.ExpireAt(c.Arrived().Add(time.Second), wire.ExpirerFunc(late))
			<-ctx.Done()
			took = time.Since(c.Arrived())
			return nil
		}, wire.Limits{})
		deaf := r.peer(t)
		deaf.Send(wiretest.Request(0, "Test", "Fill", wire.Raw, nil))
		synctest.Wait()
		deaf.Send(wiretest.Request(1, "Test", "Slow", wire.Raw, nil))
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if took != time.Second {
			t.Errorf("its context ended after %v, want its deadline of 1 s", took)
		}
		r.stop()
	})
}

func TestOnlyTimersThatHaveNotFiredAreReused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(ctx context.Context, req, res *wire.Frame) error {
			c := wire.CallFrom(ctx)
			c.ExpireAt(c.Arrived().Add(time.Second), wire.ExpirerFunc(late))
			if req.Method == "Slow" {
				<-ctx.Done()
				return ctx.Err()
			}
			time.Sleep(999 * time.Millisecond)
			if ctx.Err() != nil {
				t.Error("ended by the timer of another call")
			}
			return echo(ctx, req, res)
		}, wire.Limits{})
		c := r.client(t, wire.ConnOptions{})
		for range 5 {
			if got, err := call(t.Context(), c, "Fast", "x"); got != "x" {
				t.Errorf("got %q, %v", got, err)
			}
			_, err := call(t.Context(), c, "Slow", "x")
			wantError(t, err, code.DeadlineExceeded, code.ReasonTimeout)
		}
		_ = c.Close()
		r.stop()
	})
}

func TestCallsAreCancelledWhenTheirPeerDisconnects(t *testing.T) {
	begun, ended := make(chan struct{}), make(chan error)
	r := newRig(t, func(ctx context.Context, _, _ *wire.Frame) error {
		begun <- struct{}{}
		<-ctx.Done()
		ended <- ctx.Err()
		return ctx.Err()
	}, wire.Limits{})
	p := r.peer(t)
	for seq := range uint64(3) {
		p.Send(&wire.Frame{Service: "Test", Method: "Wait", Seq: seq})
		<-begun
	}
	_ = p.Close()
	for range 3 {
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
}
