package client

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

func TestMetadataIsSentBothWaysAlsoWithErrors(t *testing.T) {
	var seen atomic.Pointer[wire.Metadata]
	s := newServer(t, func(ctx context.Context, req, res *wire.Frame) error {
		m := append(wire.Metadata(nil), req.Metadata...)
		seen.Store(&m)
		res.Metadata.Set("etag", "e1")
		if req.Method == "Fail" {
			return code.Errorf(code.NotFound, "no order 7").WithReason("no_such_order")
		}
		return mul(ctx, req, res)
	})
	for name, o := range map[string]Options{"plain": {}, "wrapped": {Wrap: pass}} {
		t.Run(name, func(t *testing.T) {
			o.Resolver = serving(s.address)
			c := newClient(t, o)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			reply := wire.Metadata{{"old", "1"}}
			if err := six(ctx, c, Metadata("v", "2"), Token("secret"), ReplyMetadata(&reply)); err != nil {
				t.Fatal(err)
			}
			got := *seen.Load()
			if got.Get("v") != "2" || got.Get(wire.MetaAuth) != "secret" || got.Get(wire.MetaTimeout) == "" {
				t.Errorf("the service saw %v", got)
			}
			if len(reply) != 1 || reply.Get("etag") != "e1" {
				t.Errorf("the caller saw %v", reply)
			}
			if err := six(t.Context(), c); err != nil || len(*seen.Load()) != 0 {
				t.Errorf("%v, and metadata of another call: %v", err, *seen.Load())
			}
			reply = nil
			err := c.Call(ctx, "Arith", "Fail", &Args{}, nil, ReplyMetadata(&reply))
			e := wantError(t, err, code.NotFound, "no_such_order")
			if e.Message != "no order 7" || reply.Get("etag") != "e1" {
				t.Errorf("got %q with %v", e.Message, reply)
			}
		})
	}
}

func TestCodecAndCompressionAreThoseOfTheCall(t *testing.T) {
	type text struct{ S string }
	long := &text{strings.Repeat("easymicro ", 500)}
	var seen atomic.Pointer[wire.Frame]
	s := newServer(t, func(_ context.Context, req, res *wire.Frame) error {
		f := *req
		f.Metadata, f.Payload = append(wire.Metadata(nil), req.Metadata...), nil
		seen.Store(&f)
		res.Payload = append(res.Payload, req.Payload...)
		return nil
	})
	for name, tc := range map[string]struct {
		o      Options
		call   []CallOption
		codec  wire.Codec
		accept string
	}{
		"the defaults":       {codec: wire.Msgpack},
		"the client's codec": {o: Options{Codec: "json"}, codec: wire.JSON},
		"the call's codec":   {o: Options{Codec: "json"}, call: []CallOption{Codec(wire.Msgpack)}, codec: wire.Msgpack},
		"gzip":               {o: Options{Compression: wire.Gzip}, codec: wire.Msgpack},
		"zstd":               {o: Options{Compression: wire.Zstd}, codec: wire.Msgpack, accept: "zstd"},
		"zstd for the call":  {call: []CallOption{Compression(wire.Zstd)}, codec: wire.Msgpack, accept: "zstd"},
		"gzip for the call":  {o: Options{Compression: wire.Zstd}, call: []CallOption{Compression(wire.Gzip)}, codec: wire.Msgpack, accept: "zstd"},
	} {
		t.Run(name, func(t *testing.T) {
			tc.o.Resolver = serving(s.address)
			c := newClient(t, tc.o)
			for _, want := range []*text{long, {"short"}} {
				got, err := Call[text](t.Context(), c, "Arith", "Echo", want, tc.call...)
				if err != nil || *got != *want {
					t.Fatalf("got %v, %v", got, err)
				}
				f := seen.Load()
				if f.Codec != tc.codec || want == long && f.Metadata.Get(wire.MetaAcceptCompression) != tc.accept {
					t.Errorf("sent as %s, with %v", f.Codec, f.Metadata)
				}
			}
		})
	}
	c := newClient(t, Options{Resolver: serving(s.address)})
	wantCode := func(err error, want code.Code) {
		t.Helper()
		if code.Of(err) != want {
			t.Errorf("got %v, want %s", err, want)
		}
	}
	wantCode(c.Call(t.Context(), "Arith", "Echo", long, nil, Codec(9)), code.InvalidArgument)
	wantCode(c.Call(t.Context(), "Arith", "Echo", make(chan int), nil, Codec(wire.JSON)), code.InvalidArgument)
	var wrong struct{ S int }
	wantError(t, c.Call(t.Context(), "Arith", "Echo", long, &wrong, Codec(wire.JSON)), code.Internal, code.ReasonBadReply)
	if n := c.calls.Load(); n != 0 {
		t.Errorf("%d calls are counted still", n)
	}
}

func TestCompressedRequestsAreSmallOnTheWire(t *testing.T) {
	cl := &call{c: &newClient(t, Options{Resolver: newNames(), Compression: wire.Gzip}).catalog}
	cl.first.call, cl.codec, cl.compression = cl, wire.Raw, wire.Gzip
	for _, tc := range []struct {
		size int
		want wire.Compression
	}{{1023, wire.NoCompression}, {1024, wire.Gzip}} {
		cl.own.Reset()
		if err := cl.encode("S", "M", bytes.Repeat([]byte{7}, tc.size)); err != nil {
			t.Fatal(err)
		}
		cl.first.req = *cl.req
		if err := cl.first.pack(nil); err != nil {
			t.Fatal(err)
		}
		if f := &cl.first.req; f.Compression != tc.want || (tc.want == wire.Gzip) != (len(f.Payload) < 100) {
			t.Errorf("%d bytes go as %d with %s", tc.size, len(f.Payload), f.Compression)
		}
	}
}

func TestNotifyReturnsWithoutAnAnswer(t *testing.T) {
	ran := make(chan bool, 1)
	release := make(chan struct{})
	s := newServer(t, func(_ context.Context, req, _ *wire.Frame) error {
		<-release
		ran <- req.OneWay
		return errors.New("never sent")
	})
	c := newClient(t, Options{Resolver: serving(s.address)})
	if err := c.Notify(t.Context(), "Arith", "Mul", &Args{1, 2}); err != nil {
		t.Fatal(err)
	}
	close(release)
	if !<-ran {
		t.Error("the request asked for an answer")
	}
	wantError(t, c.Notify(t.Context(), "Nobody", "Mul", &Args{1, 2}), code.Unavailable, code.ReasonNoEndpoint)
}

func TestGoReportsOverTheChannel(t *testing.T) {
	s := newServer(t, mul)
	c := newClient(t, Options{Resolver: serving(s.address)})
	const n = 20
	done := make(chan *Pending, n)
	args := new(Args)
	for i := range n {
		*args = Args{i, 2} // may be used again at once
		c.Go(t.Context(), "Arith", "Mul", args, new(Reply), done)
	}
	sum := 0
	for range n {
		p := <-done
		if p.Err != nil || p.Service != "Arith" || p.Method != "Mul" {
			t.Errorf("%+v", p)
		}
		sum += p.Reply.(*Reply).C
	}
	if sum != n*(n-1) {
		t.Errorf("the sum is %d", sum)
	}
	if p := <-c.Go(t.Context(), "Nobody", "Mul", args, nil, nil).Done; code.Of(p.Err) != code.Unavailable {
		t.Errorf("got %v", p.Err)
	}
	full := make(chan *Pending)
	c.Go(t.Context(), "Arith", "Mul", args, new(Reply), full) // is dropped, and does not block
	_ = c.Close()
	if p := <-c.Go(t.Context(), "Arith", "Mul", args, nil, nil).Done; !errors.Is(p.Err, ErrClosed) {
		t.Errorf("got %v", p.Err)
	}
}

func TestCallsAboveMaxPendingAreRefusedAtOnce(t *testing.T) {
	running, release := make(chan struct{}, 2), make(chan struct{})
	s := newServer(t, func(ctx context.Context, req, res *wire.Frame) error {
		running <- struct{}{}
		<-release
		return mul(ctx, req, res)
	})
	c := newClient(t, Options{Resolver: serving(s.address), MaxPending: 2})
	var calls sync.WaitGroup
	for range 2 {
		calls.Go(func() {
			if err := six(t.Context(), c); err != nil {
				t.Error(err)
			}
		})
		<-running
	}
	e := wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonOverloaded)
	if e.Own() || !strings.Contains(e.Message, "MaxPending is 2") {
		t.Errorf("got %v", e)
	}
	close(release)
	calls.Wait()
	if err := six(t.Context(), c); err != nil {
		t.Error(err)
	}
}

func TestHandlePassesFramesOn(t *testing.T) {
	s := newServer(t, func(_ context.Context, req, res *wire.Frame) error {
		if req.Method == "Fail" {
			res.Metadata.Set("etag", "e1")
			return code.Refuse(code.ResourceExhausted, code.ReasonRateLimited, "slow down", "r@r1", "h9", time.Second)
		}
		res.Metadata.Set("codec", req.Codec.String())
		res.Metadata.Set("v", req.Metadata.Get("v"))
		res.Payload = append(res.Payload, req.Payload...)
		return nil
	})
	c := newClient(t, Options{Resolver: serving(s.address)})
	req := &wire.Frame{Service: "Arith", Method: "Any", Codec: wire.JSON, Metadata: wire.Metadata{{"v", "2"}}, Payload: []byte(`{"x":[1, 2]}`)}
	res := &wire.Frame{Metadata: wire.Metadata{{"mine", "1"}}}
	if err := c.Handle(t.Context(), req, res); err != nil {
		t.Fatal(err)
	}
	if string(res.Payload) != `{"x":[1, 2]}` || res.Codec != wire.JSON || res.Metadata.Get("codec") != "json" ||
		res.Metadata.Get("v") != "2" || res.Metadata.Get("mine") != "1" {
		t.Errorf("got %+v", res)
	}
	if req.Service != "Arith" || len(req.Metadata) != 1 {
		t.Errorf("the request was changed: %+v", req)
	}
	req.Method, res = "Fail", new(wire.Frame)
	err := c.Handle(t.Context(), req, res)
	if e := code.From(err); code.Of(err) != code.ResourceExhausted || e.Host != "h9" || e.Own() {
		t.Errorf("got %+v", e)
	}
	if len(res.Metadata) != 1 || res.Metadata.Get("etag") != "e1" {
		t.Errorf("with %v", res.Metadata)
	}
}

func TestNamesAreLowerCasedForEasymicro2019(t *testing.T) {
	seen := make(chan string, 1)
	s := newServer(t, func(ctx context.Context, req, res *wire.Frame) error {
		seen <- req.Service + "." + req.Method
		return mul(ctx, req, res)
	})
	for want, o := range map[string]Options{"Arith.Mul": {}, "arith.mul": {LowerCase: true}} {
		o.Resolver = serving(s.address)
		if err := six(t.Context(), newClient(t, o)); err != nil {
			t.Fatal(err)
		}
		if got := <-seen; got != want {
			t.Errorf("sent as %s, want %s", got, want)
		}
	}
}

func TestConnectionErrorsNameTheEndpointAndPeerErrorsAreVerbatim(t *testing.T) {
	s := newServer(t, func(ctx context.Context, req, _ *wire.Frame) error {
		if req.Method == "Plain" {
			return errors.New("Plain: as it is")
		}
		<-ctx.Done()
		return nil
	})
	c := newClient(t, Options{Resolver: serving(s.address)})
	err := c.Call(t.Context(), "Arith", "Plain", &Args{}, nil)
	if e := wantError(t, err, code.Unknown, ""); e.Message != "Plain: as it is" {
		t.Errorf("got %q", e.Message)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	var e *code.Error
	err = c.Call(ctx, "Arith", "Slow", &Args{}, nil)
	if e = wantError(t, err, code.DeadlineExceeded, code.ReasonTimeout); !errors.Is(e, context.DeadlineExceeded) ||
		!strings.HasPrefix(e.Message, "Arith.Slow at "+s.address+": ") {
		t.Errorf("got %q", e.Message)
	}
	gone, cancel2 := context.WithCancel(t.Context())
	cancel2()
	wantError(t, c.Call(gone, "Arith", "Slow", &Args{}, nil), code.Cancelled, code.ReasonCancelled)
}
