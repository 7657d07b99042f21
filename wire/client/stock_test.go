package client_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// One test for each known property of stock servers.

// six calls Arith.Mul with JSON in a goroutine of its own.
func (s *stock) six(o ...client.CallOption) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		var r reply
		err := s.Call(s.t.Context(), "Arith", "Mul", &args{2, 3}, &r, append(o, client.Codec(wire.JSON))...)
		done <- outcome{reply: r.C, err: err}
	}()
	return done
}

// answer is the right answer to a request of six.
func answer(req *wire.Frame) *wire.Frame {
	f := wiretest.Request(req.Seq, req.Service, req.Method, req.Codec, []byte(`{"C":6}`))
	f.Type = wire.Response
	return f
}

func wantSix(t *testing.T, o outcome) {
	t.Helper()
	if o.err != nil || o.reply != 6 {
		t.Errorf("%v, %v", o.reply, o.err)
	}
}

func recording(t *testing.T, name string) wiretest.Conversation {
	t.Helper()
	return wiretest.Recording(t, "../testdata/golden", name)
}

func TestErrorsAreReadUnderTheKeysOfBothFamilies(t *testing.T) {
	for _, key := range []string{wire.MetaError, wire.MetaErrorEasymicro} {
		s := newStock(t, client.Options{})
		done := s.six()
		p := s.accept()
		f := answer(p.Receive())
		f.Status, f.Payload = wire.StatusError, nil
		p.Send(wiretest.With(f, key, "divide by zero"))
		if err := receive(t, done).err; err == nil || err.Error() != "divide by zero" || code.Of(err) != code.Unknown {
			t.Errorf("%s: %v", key, err)
		}
	}
}

// An rpcx server sends the reply along with the error, and its clients have both.
func TestAReplyWithAnErrorIsDecoded(t *testing.T) {
	for _, compressed := range []bool{false, true} {
		s := newStock(t, client.Options{})
		done := s.six()
		p := s.accept()
		f := answer(p.Receive())
		f.Status = wire.StatusError
		if compressed {
			f.Payload, _ = wire.AppendCompressed(nil, wire.Gzip, f.Payload)
			f.Compression = wire.Gzip
		}
		p.Send(wiretest.With(f, wire.MetaError, "divide by zero"))
		if o := receive(t, done); o.err == nil || o.err.Error() != "divide by zero" || o.reply != 6 {
			t.Errorf("%v, %v", o.reply, o.err)
		}
	}
}

// What cannot be decoded next to an error does not hide it.
func TestAnInvalidReplyWithAnErrorIsIgnored(t *testing.T) {
	s := newStock(t, client.Options{})
	done := s.six()
	p := s.accept()
	f := answer(p.Receive())
	f.Status, f.Payload = wire.StatusError, []byte("no JSON")
	p.Send(wiretest.With(f, wire.MetaError, "divide by zero"))
	if o := receive(t, done); o.err == nil || o.err.Error() != "divide by zero" || o.reply != 0 {
		t.Errorf("%v, %v", o.reply, o.err)
	}
}

func TestAnErrorWithoutATextIsStillAnError(t *testing.T) {
	s := newStock(t, client.Options{})
	done := s.six()
	p := s.accept()
	f := answer(p.Receive())
	f.Status, f.Payload = wire.StatusError, nil
	p.Send(f)
	if err := receive(t, done).err; err == nil || err.Error() == "" {
		t.Errorf("%v", err)
	}
}

// onCue is a context whose deadline passes when the test says so.
type onCue struct {
	context.Context
	cue chan struct{}
}

func (o *onCue) Deadline() (time.Time, bool) { return time.Now().Add(time.Hour), true }
func (o *onCue) Done() <-chan struct{}       { return o.cue }

func (o *onCue) Err() error {
	select {
	case <-o.cue:
		return context.DeadlineExceeded
	default:
		return nil
	}
}

// A server of easymicro 2019 never answers a failed call. The deadline ends the wait, and the connection serves the next
// call.
func TestACallThatIsNeverAnsweredEndsAtItsDeadline(t *testing.T) {
	s := newStock(t, client.Options{LowerCase: true})
	done := make(chan error, 1)
	ctx := &onCue{Context: t.Context(), cue: make(chan struct{})}
	go func() { done <- s.Call(ctx, "Arith", "Div", &args{1, 0}, new(reply), client.Codec(wire.JSON)) }()
	p := s.accept()
	f := p.Receive()
	close(ctx.cue)
	want := recording(t, "em-error").Frames[0].Frame
	if f.Service != want.Service || f.Method != want.Method || string(f.Payload) != string(want.Payload) {
		t.Errorf("sent %+v, recorded %+v", f, want)
	}
	var e *code.Error
	if err := receive(t, done); !errors.As(err, &e) || e.Code != code.DeadlineExceeded || e.Reason != code.ReasonTimeout {
		t.Errorf("%v", err)
	}
	next := s.six()
	p.Send(answer(p.Receive()))
	wantSix(t, receive(t, next))
}

// A server of easymicro 2019 answers one-way calls, too.
func TestAnswersToOneWayCallsAreIgnored(t *testing.T) {
	s := newStock(t, client.Options{LowerCase: true})
	sent := make(chan error, 1)
	go func() { sent <- s.Notify(t.Context(), "Arith", "Mul", &args{1, 1}, client.Codec(wire.JSON)) }()
	p := s.accept()
	oneWay := p.Receive()
	must(t, receive(t, sent))
	done := s.six()
	call := p.Receive()
	stray := answer(oneWay)
	stray.OneWay, stray.Payload = true, nil
	p.Send(stray, answer(call))
	wantSix(t, receive(t, done))
}

// The heartbeat of a stock server's answer has a sequence that one of our calls may have, too.
func TestRecordedHeartbeatsAreNotTakenForAnswers(t *testing.T) {
	for _, name := range []string{"heartbeat", "em-heartbeat"} {
		s := newStock(t, client.Options{})
		done := s.six()
		p := s.accept()
		req := p.Receive()
		for _, f := range recording(t, name).Frames {
			if f.From == "server" && f.Frame.Heartbeat {
				f.Frame.Seq = req.Seq
				p.Send(&f.Frame)
			}
		}
		p.Send(answer(req))
		wantSix(t, receive(t, done))
	}
}

// A stock server sends a heartbeat back as it came, as a response; it has no other sign of life.
func TestEchoedHeartbeatsKeepAConnectionAlive(t *testing.T) {
	s := newStock(t, client.Options{KeepaliveInterval: 200 * time.Millisecond, KeepaliveTimeout: 5 * time.Second})
	done := s.six()
	p := s.accept()
	call := p.Receive()
	for range 2 {
		f := p.Receive()
		if !f.Heartbeat || f.Type != wire.Request || f.OneWay {
			t.Fatalf("got %+v", f)
		}
		f.Type = wire.Response
		p.Send(f)
	}
	p.Send(answer(call))
	wantSix(t, receive(t, done))
}

// An rpcx server may send its clients one-way requests. They are ignored, whatever the sequence.
func TestCallsOfTheServerAreDropped(t *testing.T) {
	s := newStock(t, client.Options{})
	done := s.six()
	p := s.accept()
	req := p.Receive()
	p.Send(wiretest.OneWay(req.Seq, "", "", wire.JSON, []byte(`"news"`)), answer(req))
	wantSix(t, receive(t, done))
}

func TestMetadataThatServersAddIsReturned(t *testing.T) {
	s := newStock(t, client.Options{})
	var m wire.Metadata
	done := s.six(client.ReplyMetadata(&m))
	p := s.accept()
	p.Send(wiretest.With(wiretest.With(answer(p.Receive()), "__ServerAddress", "10.0.0.7:8972"), "server", "hi"))
	wantSix(t, receive(t, done))
	if m.Get("__ServerAddress") != "10.0.0.7:8972" || m.Get("server") != "hi" {
		t.Errorf("%v", m)
	}
}

// rpcx compresses what is longer than 1 KiB, and so do we.
func TestOnlyLongArgumentsAreCompressed(t *testing.T) {
	for n, want := range map[int]wire.Compression{1000: wire.NoCompression, 1025: wire.Gzip} {
		s := newStock(t, client.Options{Codec: "raw", Compression: wire.Gzip})
		done := make(chan error, 1)
		go func() { done <- s.Call(t.Context(), "Echo", "Echo", make([]byte, n), nil) }()
		p := s.accept()
		f := p.Receive()
		if f.Compression != want {
			t.Errorf("%d bytes: %v", n, f.Compression)
		}
		f.Type = wire.Response
		p.Send(f)
		must(t, receive(t, done))
	}
}

// A stock server that does not know a compression drops the connection, with all calls on it.
func TestZstdIsSentOnlyToServersKnownToAcceptIt(t *testing.T) {
	for _, o := range [][]client.CallOption{nil, {client.Compression(wire.Zstd)}} {
		for _, shows := range []bool{false, true} {
			s := newStock(t, client.Options{Codec: "raw", Compression: wire.Zstd})
			long := make([]byte, 2000)
			done := make(chan error, 2)
			do := func() { done <- s.Call(t.Context(), "Echo", "Echo", long, nil, o...) }
			go do()
			p := s.accept()
			want := wire.Gzip
			for range 2 {
				f := p.Receive()
				if f.Compression != want {
					t.Errorf("shown %v: %v, want %v", shows, f.Compression, want)
				}
				if err := f.Decompress(1 << 20); err != nil || len(f.Payload) != len(long) {
					t.Errorf("%d bytes, %v", len(f.Payload), err)
				}
				f.Type, f.Metadata = wire.Response, nil
				if shows {
					f.Metadata.Set(wire.MetaHost, "h")
					f.Metadata.Set(wire.MetaAcceptCompression, "gzip, zstd")
					want = wire.Zstd
				}
				p.Send(f)
				must(t, receive(t, done))
				go do()
			}
			p.Receive()
		}
	}
}

// Frames that are compressed already are no exception.
func TestFramesWithZstdAreRecompressedForStockServers(t *testing.T) {
	s := newStock(t, client.Options{})
	packed, err := wire.AppendCompressed(nil, wire.Zstd, make([]byte, 2000))
	must(t, err)
	done := make(chan error, 1)
	go func() {
		req := wiretest.Request(0, "Echo", "Echo", wire.Raw, packed)
		req.Compression = wire.Zstd
		done <- s.Handle(t.Context(), req, new(wire.Frame))
	}()
	p := s.accept()
	f := p.Receive()
	if f.Compression == wire.Zstd || f.Decompress(1<<20) != nil || len(f.Payload) != 2000 {
		t.Errorf("%v with %d bytes", f.Compression, len(f.Payload))
	}
	f.Type = wire.Response
	p.Send(f)
	must(t, receive(t, done))
}

// Stock servers know no other compression than gzip: they are not asked for another, unless the program says so.
func TestFeaturesThatStockServersLackAreNotRequested(t *testing.T) {
	s := newStock(t, client.Options{})
	done := s.six()
	p := s.accept()
	f := p.Receive()
	if len(f.Metadata) != 0 || f.Compression != wire.NoCompression || f.Seq != 0 {
		t.Errorf("sent %+v", f)
	}
	p.Send(answer(f))
	wantSix(t, receive(t, done))
}

// Servers of easymicro 2019 have all names in lower case and compare bytes. Rules and metrics have the original name.
func TestNamesAreInLowerCaseOnTheWireOnly(t *testing.T) {
	var observed []string
	s := newStock(t, client.Options{LowerCase: true, Wrap: func(next wire.Handler) wire.Handler {
		return wire.HandlerFunc(func(ctx context.Context, req, res *wire.Frame) error {
			observed = append(observed, req.Service, req.Method)
			return next.Handle(ctx, req, res)
		})
	}})
	done := s.six()
	p := s.accept()
	f := p.Receive()
	if f.Service != "arith" || f.Method != "mul" {
		t.Errorf("sent %s.%s", f.Service, f.Method)
	}
	p.Send(answer(f))
	wantSix(t, receive(t, done))
	if len(observed) != 2 || observed[0] != "Arith" || observed[1] != "Mul" {
		t.Errorf("observed %v", observed)
	}
}
