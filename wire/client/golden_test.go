package client_test

import (
	"cmp"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/samples/serialize/pb"
	"github.com/easymicro/easymicro/samples/serialize/th"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// patience is the timeout of every step.
const patience = 20 * time.Second

// Arguments and replies of the recorded services.
type (
	args  struct{ A, B int }
	reply struct{ C int }
)

// stock is a stock server, simulated by a test, and a client of ours that calls it.
type stock struct {
	*client.Client
	t  *testing.T
	ln net.Listener
}

// Watch makes it the one endpoint of every service.
func (s *stock) Watch(ctx context.Context, _ string, update func([]client.Endpoint, error)) error {
	update([]client.Endpoint{{Address: s.ln.Addr().String()}}, nil)
	<-ctx.Done()
	return ctx.Err()
}

func newStock(t *testing.T, o client.Options) *stock {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { _ = ln.Close() })
	s := &stock{t: t, ln: ln}
	o.Resolver = s
	s.Client, err = client.New(o)
	must(t, err)
	t.Cleanup(func() { _ = s.Close() })
	return s
}

// accept is the connection of the client, which makes it with its first call.
func (s *stock) accept() *wiretest.Peer {
	s.t.Helper()
	must(s.t, s.ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience)))
	c, err := s.ln.Accept()
	must(s.t, err)
	must(s.t, c.SetDeadline(time.Now().Add(patience)))
	p := wiretest.NewPeer(s.t, c)
	p.Greet()
	return p
}

// outcome is the result of a call.
type outcome struct {
	reply    any
	metadata wire.Metadata
	err      error
}

// like makes the call of a recorded request, in a goroutine of its own.
func (s *stock) like(want wire.Frame) <-chan outcome {
	s.t.Helper()
	must(s.t, want.Decompress(1<<20))
	var in, out any
	switch want.Codec {
	case wire.Raw:
		in, out = new([]byte), new([]byte)
	case wire.Protobuf:
		in, out = new(pb.Args), new(pb.Reply)
	case wire.Thrift:
		in, out = new(th.Args), new(th.Reply)
	default:
		in, out = new(args), new(reply)
	}
	must(s.t, wire.Decode(want.Codec, want.Payload, in))
	ctx, cancel := s.t.Context(), context.CancelFunc(func() {})
	var o outcome
	options := []client.CallOption{client.Codec(want.Codec), client.ReplyMetadata(&o.metadata)}
	for _, pair := range want.Metadata {
		if pair[0] == wire.MetaTimeout {
			ctx, cancel = context.WithTimeout(ctx, 2*time.Second)
			continue
		}
		options = append(options, client.Metadata(pair[0], pair[1]))
	}
	done := make(chan outcome, 1)
	go func() {
		defer cancel()
		if want.OneWay {
			o.err = s.Notify(ctx, want.Service, want.Method, in, options...)
		} else {
			o.reply, o.err = out, s.Call(ctx, want.Service, want.Method, in, out, options...)
		}
		done <- o
	}()
	return done
}

func TestRecordedServersAnswerOurClient(t *testing.T) {
	for _, c := range wiretest.Golden(t, "../testdata/golden") {
		t.Run(c.Name, func(t *testing.T) {
			if c.Frames[0].Frame.Heartbeat || c.Name == "em-error" { // tests of their own, in stock_test.go
				t.Skip("no call, or no answer")
			}
			o := client.Options{LowerCase: strings.HasPrefix(c.Peer, "easymicro")}
			if c.Frames[0].Frame.Compression == wire.Gzip {
				o.Compression = wire.Gzip
			}
			s := newStock(t, o)
			if c.Name == "pipelined" {
				pipelined(t, s, c)
				return
			}
			done := s.like(c.Frames[0].Frame)
			p := s.accept()
			got := p.Receive()
			sameRequest(t, got, c)
			if got.OneWay {
				must(t, receive(t, done).err)
				return
			}
			answer := c.Frames[1]
			if got.Seq == answer.Frame.Seq {
				_, err := p.Write(answer.Bytes)
				must(t, err)
			} else { // the original counts from 1
				answer.Frame.Seq = got.Seq
				p.Send(&answer.Frame)
			}
			sameOutcome(t, receive(t, done), answer.Frame, recordedCodes[c.Name])
		})
	}
}

// sameRequest compares the request of our client with the recorded one, as the README of the recordings says.
func sameRequest(t *testing.T, got *wire.Frame, c wiretest.Conversation) {
	t.Helper()
	want := c.Frames[0].Frame
	if got.Type != want.Type || got.OneWay != want.OneWay || got.Heartbeat || got.Status != want.Status || got.Codec != want.Codec ||
		got.Service != want.Service || got.Method != want.Method {
		t.Fatalf("sent %+v, recorded %+v", got, want)
	}
	rpcx := !strings.HasPrefix(c.Peer, "easymicro")
	if rpcx && !want.OneWay && got.Seq != want.Seq { // the recorded one-way call chose its sequence
		t.Errorf("sequence %d, recorded %d", got.Seq, want.Seq)
	}
	if rpcx && got.Compression != want.Compression { // the original's compress what grows by it
		t.Errorf("compressed with %v, recorded %v", got.Compression, want.Compression)
	}
	deadline := want.Metadata.Get(wire.MetaTimeout)
	if deadline != "" {
		if ms, err := time.ParseDuration(got.Metadata.Get(wire.MetaTimeout) + "ms"); err != nil || ms <= 0 || ms > 2*time.Second {
			t.Errorf("metadata %v, recorded %v", got.Metadata, want.Metadata)
		}
	} else if !slices.Equal(got.Metadata, want.Metadata) {
		t.Errorf("metadata %v, recorded %v", got.Metadata, want.Metadata)
	}
	canonical := rpcx && !want.OneWay && deadline == "" && len(want.Metadata) <= 1 && want.Compression == wire.NoCompression
	if b := wiretest.Bytes(got); canonical && string(b) != string(c.Frames[0].Bytes) && c.Name != "bad-payload" {
		t.Errorf("sent     %x\nrecorded %x", b, c.Frames[0].Bytes)
	}
	must(t, got.Decompress(1<<20))
	must(t, want.Decompress(1<<20))
	if g, w := plain(t, got), plain(t, &want); g != w {
		t.Errorf("payload %v, recorded %v", g, w)
	}
}

// plain is a payload in a form that can be compared: msgpack has several for a number.
func plain(t *testing.T, f *wire.Frame) any {
	t.Helper()
	if f.Codec != wire.Msgpack {
		return string(f.Payload)
	}
	var a args
	must(t, wire.Decode(f.Codec, f.Payload, &a))
	return a
}

// recordedCodes are the codes that the recorded errors stand for; the others are UNKNOWN.
var recordedCodes = map[string]code.Code{
	"unknown-method": code.Unimplemented, "unknown-service": code.Unimplemented, "auth-bad": code.Unauthenticated,
	"bad-payload": code.InvalidArgument,
}

// sameOutcome compares what our caller gets with the recorded answer.
func sameOutcome(t *testing.T, got outcome, want wire.Frame, failure code.Code) {
	t.Helper()
	if !slices.Equal(got.metadata, want.Metadata) {
		t.Errorf("metadata %v, want %v", got.metadata, want.Metadata)
	}
	if want.Status == wire.StatusError {
		failure = cmp.Or(failure, code.Unknown)
		var e *code.Error
		if text := want.Metadata.Get(wire.MetaError); got.err == nil || got.err.Error() != text || !errors.As(got.err, &e) || e.Code != failure {
			t.Errorf("error %v, want %s: %s", got.err, failure, text)
		}
		return
	}
	must(t, got.err)
	must(t, want.Decompress(1<<20))
	switch r := got.reply.(type) {
	case *[]byte:
		if string(*r) != string(want.Payload) {
			t.Errorf("reply %q, want %q", *r, want.Payload)
		}
	case *pb.Reply:
		if r.GetC() != 109500 {
			t.Errorf("reply %v", r)
		}
	case *th.Reply:
		if r.C != 109500 {
			t.Errorf("reply %v", r)
		}
	case *reply:
		var w reply
		must(t, wire.Decode(want.Codec, want.Payload, &w))
		if *r != w {
			t.Errorf("reply %v, want %v", *r, w)
		}
	}
}

// pipelined has all calls out at the same time, and the answers in the recorded order.
func pipelined(t *testing.T, s *stock, c wiretest.Conversation) {
	t.Helper()
	outcomes := map[any]<-chan outcome{} // by argument
	theirs := map[uint64]any{}           // arguments by the recorded sequence
	ours := map[any]uint64{}             // our sequences by argument
	for _, f := range c.Frames {
		if f.From == "client" {
			in := plain(t, &f.Frame)
			theirs[f.Frame.Seq] = in
			outcomes[in] = s.like(f.Frame)
		}
	}
	p := s.accept()
	for range outcomes {
		f := p.Receive()
		ours[plain(t, f)] = f.Seq
	}
	for _, f := range c.Frames {
		if f.From == "server" {
			in := theirs[f.Frame.Seq]
			f.Frame.Seq = ours[in]
			p.Send(&f.Frame)
			sameOutcome(t, receive(t, outcomes[in]), f.Frame, code.OK)
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// receive waits for something that must happen.
func receive[T any](t *testing.T, c <-chan T) T {
	t.Helper()
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatal("nothing comes of it")
		panic("unreachable")
	}
}
