package host_test

import (
	"context"
	"net"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// witness is arith, and records what of each request reached the handler.
type witness struct {
	arith
	seen chan seen
}

type seen struct {
	args     args
	metadata registry.Pairs
	left     time.Duration
}

func (w witness) Mul(ctx context.Context, a *args, r *reply) error {
	w.note(ctx, a)
	return w.arith.Mul(ctx, a, r)
}

func (w witness) Meta(ctx context.Context, a *args, r *reply) error {
	w.note(ctx, a)
	return w.arith.Meta(ctx, a, r)
}

func (w witness) note(ctx context.Context, a *args) {
	s := seen{args: *a}
	for _, p := range registry.Metadata(ctx) {
		s.metadata.Set(p[0], p[1])
	}
	if deadline, ok := ctx.Deadline(); ok {
		s.left = time.Until(deadline)
	}
	w.seen <- s
}

// recording is the recorded conversation of that name.
func recording(t *testing.T, name string) wiretest.Conversation {
	t.Helper()
	return wiretest.Recording(t, "../wire/testdata/golden", name)
}

func TestWhatStockClientsSendReachesTheHandler(t *testing.T) {
	w := witness{seen: make(chan seen, 1)}
	h := recordedHost(t, w, "")
	for _, tc := range []struct {
		name     string
		args     args
		metadata registry.Pairs
		deadline time.Duration // of the caller; the host's own is 5 s
	}{
		{name: "oneway", args: args{2, 3}},
		{name: "deadline", args: args{6, 7}, deadline: 1999 * time.Millisecond},
		{name: "metadata", args: args{1, 2}, metadata: registry.Pairs{{"testmd", "md"}}},
		{name: "em-metadata", args: args{1, 2}, metadata: registry.Pairs{{"testmd", "md"}, {"testMd2", "md2"}}},
		{name: "em-gzip", args: args{73, 1500}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			p := rawPeer(t, h.Address)
			_, err := p.Write(recording(t, tc.name).Frames[0].Bytes)
			must(t, err)
			got := receive(t, w.seen, "the call does not reach the handler")
			if got.args != tc.args {
				t.Errorf("args %v, want %v", got.args, tc.args)
			}
			for _, pair := range tc.metadata {
				if v := got.metadata.Get(pair[0]); v != pair[1] {
					t.Errorf("metadata %s is %q, want %q", pair[0], v, pair[1])
				}
			}
			if tc.deadline > 0 && (got.left <= 0 || got.left > tc.deadline) {
				t.Errorf("%v left, want at most %v", got.left, tc.deadline)
			}
			if tc.deadline == 0 && got.left <= 2*time.Second {
				t.Errorf("%v left of 5s", got.left)
			}
		})
	}
}

// Programs compare the texts of errors, so a handler's own goes out as it is.
func TestHandlerErrorsReachStockClientsVerbatimUnderBothKeys(t *testing.T) {
	h := recordedHost(t, arith{}, "")
	want := recording(t, "error-div").Frames[1].Frame.Metadata.Get(wire.MetaError)
	for _, name := range []string{"error-div", "em-error"} { // the original's server answers nothing at all
		p := rawPeer(t, h.Address)
		_, err := p.Write(recording(t, name).Frames[0].Bytes)
		must(t, err)
		f := p.Receive()
		for _, key := range []string{wire.MetaError, wire.MetaErrorEasymicro} {
			if got := f.Metadata.Get(key); got != want || want == "" {
				t.Errorf("%s: %s is %q, want %q", name, key, got, want)
			}
		}
	}
}

// Stock peers answer a compressed request with a compressed answer when that is longer than 1 KiB, and none else.
func TestAnswersAreCompressedAsStockServersDo(t *testing.T) {
	h := recordedHost(t, arith{}, "")
	for _, name := range []string{"gzip-echo", "em-gzip", "json-mul", "raw-echo"} {
		c := recording(t, name)
		p := rawPeer(t, h.Address)
		_, err := p.Write(c.Frames[0].Bytes)
		must(t, err)
		if f, want := p.Receive(), c.Frames[1].Frame.Compression; f.Compression != want {
			t.Errorf("%s: compressed with %v, recorded %v", name, f.Compression, want)
		}
	}
}

// Where an encoding is canonical the answer is the recorded one, byte for byte: at most one pair of metadata, no gzip,
// and no error, of which ours say more. The original's msgpack has numbers longer than needed.
func TestCanonicalAnswersAreTheRecordedBytes(t *testing.T) {
	h := recordedHost(t, arith{}, "")
	same := 0
	for _, c := range wiretest.Golden(t, "../wire/testdata/golden") {
		if len(c.Frames) != 2 || c.Frames[1].Frame.Compression != wire.NoCompression ||
			c.Frames[1].Frame.Status == wire.StatusError || c.Name == "em-msgpack-mul" {
			continue
		}
		same++
		p := rawPeer(t, h.Address)
		_, err := p.Write(c.Frames[0].Bytes)
		must(t, err)
		if got := wiretest.Bytes(p.Receive()); string(got) != string(c.Frames[1].Bytes) {
			t.Errorf("%s:\ngot  %x\nwant %x", c.Name, got, c.Frames[1].Bytes)
		}
	}
	if same < 10 {
		t.Errorf("only %d conversations are canonical", same)
	}
}

// The original's client lower-cases the method in Call and leaves it as it is in Go; the service is always lower-cased.
func TestNamesOfTheOriginalsClientsAreServed(t *testing.T) {
	h := recordedHost(t, arith{}, "")
	p := rawPeer(t, h.Address)
	for i, name := range [][2]string{{"arith", "mul"}, {"arith", "Mul"}, {"Arith", "Mul"}} {
		p.Send(wiretest.Request(uint64(i), name[0], name[1], wire.JSON, []byte(`{"A":6,"B":7}`)))
		f := p.Receive()
		if f.Service != name[0] || f.Method != name[1] || string(f.Payload) != `{"C":42}` {
			t.Errorf("%v: %+v", name, f)
		}
	}
}

// A client of the original easymicro with a call out is answered while the host drains, and gets nothing else: it would
// take the frame that announces the drain for its answer.
func TestClientsOfTheOriginalSurviveADrain(t *testing.T) {
	p := newPlant(t)
	h := hosttest.Start(t, `
host: {shutdown: {gracePeriod: 10s}}
services: [{name: Gate, handler: test.gate}]
`, hosttest.Options{Registry: p.reg})
	peer := rawPeer(t, h.Address)
	peer.Send(wiretest.Request(1, "gate", "wait", wire.JSON, []byte(`{}`)))
	p.gate.come(t)
	h.Drain()
	eventually(t, "the listener closes", func() bool {
		c, err := net.Dial("tcp", h.Address)
		if err == nil {
			_ = c.Close()
		}
		return err != nil
	})
	p.gate.open()
	if f := peer.Receive(); f.Type != wire.Response || f.Seq != 1 || string(f.Payload) != `{"C":1}` {
		t.Errorf("got %+v", f)
	}
	if f, err := peer.TryReceive(); err == nil {
		t.Errorf("got %+v", f)
	}
	_ = peer.Close()
	h.Stop()
}

// With compat easymicro2019 an upstream is called as the original's client calls, and its server's answer is understood.
func TestAnUpstreamOfTheOriginalIsCalledInLowerCase(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	h := hosttest.Start(t, `
services: [{name: Desk, handler: test.desk, uses: {till: till}}]
upstreams:
  - {name: till, service: Arith, compat: easymicro2019, resolve: {endpoints: ["`+ln.Addr().String()+`"]}}
`, hosttest.Options{Registry: deskPlant(t).reg})
	c := recording(t, "em-msgpack-mul")
	caller := rawPeer(t, h.Address)
	caller.Send(wiretest.Request(0, "Desk", "Mul", wire.JSON, []byte(`{"A":73,"B":1500}`)))
	must(t, ln.(*net.TCPListener).SetDeadline(time.Now().Add(patience)))
	conn, err := ln.Accept()
	must(t, err)
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	server := wiretest.NewPeer(t, conn)
	server.Greet()
	got, want := server.Receive(), c.Frames[0].Frame
	if got.Service != want.Service || got.Method != want.Method || got.Codec != want.Codec {
		t.Errorf("sent %+v, recorded %+v", got, want)
	}
	answer := c.Frames[1].Frame
	answer.Seq = got.Seq // the original's client counts from 1
	server.Send(&answer)
	if f := caller.Receive(); string(f.Payload) != `{"C":109500}` {
		t.Errorf("got %+v", f)
	}
}
