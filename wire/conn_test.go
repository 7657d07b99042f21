package wire_test

import (
	"context"
	"errors"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// facing returns a Conn and its peer.
func facing(t testing.TB, o wire.ConnOptions) (*wire.Conn, *wiretest.Peer) {
	t.Helper()
	near, far := wiretest.Pipe()
	c := wire.NewConn(near, o)
	t.Cleanup(func() { _ = c.Close() })
	return c, wiretest.NewPeer(t, far)
}

// answered sends the response of req.
func answer(p *wiretest.Peer, req *wire.Frame, payload string) {
	p.Send(&wire.Frame{Type: wire.Response, Seq: req.Seq, Codec: req.Codec, Payload: []byte(payload)})
}

func TestResponsesAreMatchedInAnyOrder(t *testing.T) {
	c, p := facing(t, wire.ConnOptions{})
	var all sync.WaitGroup
	for _, name := range []string{"a", "b", "c"} {
		all.Go(func() {
			if got, err := call(t.Context(), c, name, ""); got != "for "+name {
				t.Errorf("got %q, %v", got, err)
			}
		})
	}
	reqs := []*wire.Frame{p.Receive(), p.Receive(), p.Receive()}
	p.Send(&wire.Frame{Type: wire.Response, Seq: 1000}, &wire.Frame{Type: wire.Response, Heartbeat: true, Seq: wire.HeartbeatSeq},
		&wire.Frame{Type: wire.Request, Seq: reqs[0].Seq}) // without a caller
	for i := len(reqs) - 1; i >= 0; i-- {
		answer(p, reqs[i], "for "+reqs[i].Method)
	}
	all.Wait()
}

func TestSequencesCountFromZero(t *testing.T) {
	c, p := facing(t, wire.ConnOptions{})
	for want := range uint64(3) {
		done := make(chan error, 1)
		go func() {
			_, err := call(t.Context(), c, "Next", "")
			done <- err
		}()
		req := p.Receive()
		if req.Seq != want {
			t.Errorf("sequence %d, want %d", req.Seq, want)
		}
		answer(p, req, "")
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestDeadlineIsSentAsMillisecondsLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := facing(t, wire.ConnOptions{})
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		begin := time.Now()
		done := make(chan error, 1)
		go func() {
			_, err := call(ctx, c, "Slow", "")
			done <- err
		}()
		if got := p.Receive().Metadata.Get(wire.MetaTimeout); got != "1500" {
			t.Errorf("%s = %q", wire.MetaTimeout, got)
		}
		wantError(t, <-done, code.DeadlineExceeded, code.ReasonTimeout)
		if took := time.Since(begin); took != 1500*time.Millisecond {
			t.Errorf("after %v", took)
		}
		_, err := call(ctx, c, "Slow", "")
		wantError(t, err, code.DeadlineExceeded, code.ReasonTimeout)
		_ = c.Close()
	})
}

func TestCancelledCallReturnsAtOnceAndTheConnectionStaysOpen(t *testing.T) {
	c, p := facing(t, wire.ConnOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		_, err := call(ctx, c, "Slow", "")
		done <- err
	}()
	given := p.Receive()
	cancel()
	wantError(t, <-done, code.Cancelled, code.ReasonCancelled)
	answer(p, given, "too late")
	go func() {
		got, err := call(t.Context(), c, "Next", "")
		if got != "y" {
			err = errors.New("got " + got)
		}
		done <- err
	}()
	answer(p, p.Receive(), "y")
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCallsInFlightFailAtOnceWhenTheConnectionBreaks(t *testing.T) {
	c, p := facing(t, wire.ConnOptions{})
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() {
			_, err := call(t.Context(), c, "Wait", "")
			wantError(t, err, code.Unavailable, code.ReasonConnectionLost)
		})
	}
	for range 10 {
		p.Receive()
	}
	_ = p.Close()
	all.Wait()
	<-c.Done()
	_, err := call(t.Context(), c, "Next", "")
	wantError(t, err, code.Unavailable, code.ReasonNoEndpoint)
}

func TestErrorOfThePeerHasAllItsFields(t *testing.T) {
	c, p := facing(t, wire.ConnOptions{})
	want := code.Refuse(code.ResourceExhausted, code.ReasonRateLimited, "rate limited", "quota@r42", "orders-7", 140*time.Millisecond)
	done := make(chan error, 1)
	go func() {
		_, err := call(t.Context(), c, "Limited", "")
		done <- err
	}()
	res := wire.Frame{Type: wire.Response, Seq: p.Receive().Seq}
	wire.SetError(&res, want)
	p.Send(&res)
	var got *code.Error
	if err := <-done; !errors.As(err, &got) || got.Code != want.Code || got.Reason != want.Reason || got.Rule != want.Rule ||
		got.RetryAfter != want.RetryAfter || got.Host != want.Host || got.Error() != want.Error() {
		t.Errorf("got %#v", err)
	}
}

func TestCallerIsNotBlockedByAPeerThatReadsNothing(t *testing.T) {
	for _, oneWay := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, p := facing(t, wire.ConnOptions{})
			fill := &wire.Frame{OneWay: true, Service: "Test", Method: "Fill"}
			fill.Payload = make([]byte, 64<<10-len(wiretest.Bytes(fill))-10) // all but 10 bytes of what the network holds
			if err := c.Do(t.Context(), fill, nil); err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			begin := time.Now()
			req := &wire.Frame{OneWay: oneWay, Service: "Test", Method: "Stuck"}
			err := c.Do(ctx, req, new(wire.Frame))
			if took := time.Since(begin); took > 200*time.Millisecond {
				t.Errorf("one-way %v: held for %v", oneWay, took)
			}
			if !oneWay {
				wantError(t, err, code.DeadlineExceeded, code.ReasonTimeout)
			} else if err != nil {
				t.Error(err)
			}
			for _, want := range []string{"Fill", "Stuck"} {
				if f := p.Receive(); f.Method != want {
					t.Errorf("got %s, want %s: the frame that got stuck must come whole", f.Method, want)
				}
			}
		})
	}
}

func TestDrainFrameMarksTheConnectionAndCallsAreStillAnswered(t *testing.T) {
	c, p := facing(t, wire.ConnOptions{})
	done := make(chan error, 1)
	go func() {
		_, err := call(t.Context(), c, "Out", "")
		done <- err
	}()
	req := p.Receive()
	if c.Draining() {
		t.Error("draining already")
	}
	p.Send(&wire.Frame{OneWay: true, Service: wire.DrainPath, Seq: req.Seq})
	answer(p, req, "")
	if err := <-done; err != nil {
		t.Error(err)
	}
	if !c.Draining() {
		t.Error("not draining")
	}
}

func TestCallsAboveMaxInFlightWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := facing(t, wire.ConnOptions{Limits: wire.Limits{MaxInFlight: 2}})
		done := make(chan error, 3)
		for range 3 {
			go func() {
				_, err := call(t.Context(), c, "Wait", "")
				done <- err
			}()
		}
		first := p.Receive()
		p.Receive()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_, err := call(ctx, c, "Wait", "")
		wantError(t, err, code.DeadlineExceeded, code.ReasonTimeout)
		answer(p, first, "")
		answer(p, p.Receive(), "")
		for range 2 {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		_ = c.Close()
		wantError(t, <-done, code.Unavailable, code.ReasonConnectionLost)
	})
}

func TestAcceptedCompressionIsAnnouncedAndDecompressed(t *testing.T) {
	r := newRig(t, echo, wire.Limits{})
	c := r.client(t, wire.ConnOptions{AcceptCompression: []wire.Compression{wire.Gzip, wire.Zstd}})
	long := string(make([]byte, 100_000))
	if got, err := call(t.Context(), c, "Echo", long); got != long {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

func TestDialWithoutAListenerIsNoEndpoint(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	_, err = wire.Dial(t.Context(), "tcp", ln.Addr().String(), wire.ConnOptions{})
	wantError(t, err, code.Unavailable, code.ReasonNoEndpoint)
}

// A peer without codes reports a timeout as text. Its deadline was in whole milliseconds.
func TestAnErrorAfterThePeersDeadlineIsATimeout(t *testing.T) {
	for _, test := range []struct {
		name   string
		after  time.Duration
		answer wire.Metadata
		want   code.Code
	}{
		{"when its time is over", 100 * time.Millisecond, wire.Metadata{{wire.MetaError, "query cancelled"}}, code.DeadlineExceeded},
		{"what is known by its text, too", 100 * time.Millisecond, wire.Metadata{{wire.MetaError, "request reached rate limit"}}, code.DeadlineExceeded},
		{"the original's", 100 * time.Millisecond, wire.Metadata{{wire.MetaErrorEasymicro, "query cancelled"}}, code.DeadlineExceeded},
		{"before", 99 * time.Millisecond, wire.Metadata{{wire.MetaError, "query cancelled"}}, code.Unknown},
		{"a peer that knows codes", 100 * time.Millisecond, wire.Metadata{{wire.MetaError, "x"}, {wire.MetaCode, "ABORTED"}}, code.Aborted},
	} {
		synctest.Test(t, func(t *testing.T) {
			c, p := facing(t, wire.ConnOptions{})
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond+700*time.Microsecond)
			defer cancel()
			done := make(chan error, 1)
			go func() {
				_, err := call(ctx, c, "Slow", "")
				done <- err
			}()
			req := p.Receive()
			time.Sleep(test.after)
			p.Send(&wire.Frame{Type: wire.Response, Status: wire.StatusError, Seq: req.Seq, Metadata: test.answer})
			err := <-done
			if e := code.From(err); e.Code != test.want || e.Message == "" || (e.Code == code.DeadlineExceeded) != (e.Reason == code.ReasonTimeout) {
				t.Errorf("%s: %s %q: %v", test.name, e.Code, e.Reason, err)
			}
		})
	}
}
