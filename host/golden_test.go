package host_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/samples/serialize/th"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// The other services of the recordings, besides arith.
type (
	pbMul struct{}
	thMul struct{}
	echo  struct{}
)

// varints is a protobuf message of numbers: field n is at n-1.
type varints [2]uint64

func (v *varints) MarshalVT() ([]byte, error) {
	return binary.AppendUvarint([]byte{1 << 3}, v[0]), nil
}

func (v *varints) UnmarshalVT(b []byte) error {
	for len(b) > 1 {
		value, n := binary.Uvarint(b[1:])
		if field := b[0]>>3 - 1; n <= 0 || int(field) >= len(v) {
			return errors.New("no such message")
		}
		v[b[0]>>3-1], b = value, b[1+n:]
	}
	return nil
}

func (pbMul) Mul(_ context.Context, a, r *varints) error {
	r[0] = a[0] * a[1]
	return nil
}

func (thMul) Mul(_ context.Context, a *th.Args, r *th.Reply) error {
	r.C = a.A * a.B
	return nil
}

func (echo) Echo(_ context.Context, a, r *[]byte) error {
	*r = append((*r)[:0], *a...)
	return nil
}

// recordedHost is a host with the services of the recordings: arith serves Arith, and more is inserted before the services.
func recordedHost(t *testing.T, arith any, more string) *hosttest.Host {
	t.Helper()
	reg := registry.New()
	for name, v := range map[string]any{"test.arith": arith, "test.pb": pbMul{}, "test.th": thMul{}, "test.echo": echo{}} {
		registry.Plain(v, registry.In(reg), registry.As(name))
	}
	return hosttest.Start(t, more+`
auth: {identify: [token], tokens: {file: tokens.yaml}}
services:
  - {name: Arith, handler: test.arith}
  - {name: PB, handler: test.pb}
  - {name: TH, handler: test.th}
  - {name: Echo, handler: test.echo}
policies: {rules: [{name: time, match: {service: "*"}, timeout: 5s}]}
`, hosttest.Options{Registry: reg, Files: map[string]string{
		"tokens.yaml": "- {caller: partner, sha256: " + tokenOf("", "good").SHA256 + "}\n",
	}})
}

func TestRecordedConversationsAreAnsweredInKindByAHost(t *testing.T) {
	h := recordedHost(t, arith{}, "")
	for _, c := range wiretest.Golden(t, "../wire/testdata/golden") {
		t.Run(c.Name, func(t *testing.T) {
			peer, waiting, sent := rawPeer(t, h.Address), map[uint64]wire.Frame{}, 0
			for _, f := range c.Frames {
				if f.From == "server" {
					waiting[f.Frame.Seq] = f.Frame
				}
			}
			if c.Name == "em-error" { // the original's server does not answer failed calls; ours must
				f := c.Frames[0].Frame
				f.Type, f.Status = wire.Response, wire.StatusError
				waiting[f.Seq] = f
			}
			for _, f := range c.Frames {
				if f.From == "client" {
					_, err := peer.Write(f.Bytes)
					must(t, err)
					sent++
				}
			}
			for len(waiting) > 0 {
				inKind(t, peer.Receive(), waiting)
			}
			peer.Send(wiretest.Heartbeat(math.MaxInt64)) // shows that nothing else came
			if f := peer.Receive(); f.Seq != math.MaxInt64 || sent == 0 {
				t.Errorf("left over: %+v", f)
			}
		})
	}
}

// inKind compares as the README of the recordings says.
func inKind(t *testing.T, got *wire.Frame, waiting map[uint64]wire.Frame) {
	t.Helper()
	want, ok := waiting[got.Seq]
	if !ok {
		t.Fatalf("nobody waits for %+v", got)
	}
	delete(waiting, got.Seq)
	if err := wiretest.InKind(got, &want); err != nil {
		t.Fatal(err)
	}
	if want.Status == wire.StatusError {
		return // the texts are the peer's
	}
	must(t, got.Decompress(1<<20))
	must(t, want.Decompress(1<<20))
	if got.Heartbeat || got.Codec != wire.Msgpack { // whose numbers have several lengths
		if string(got.Payload) != string(want.Payload) {
			t.Errorf("payload %q, want %q", got.Payload, want.Payload)
		}
		return
	}
	var g, w reply
	must(t, wire.Decode(got.Codec, got.Payload, &g))
	must(t, wire.Decode(want.Codec, want.Payload, &w))
	if g != w {
		t.Errorf("%+v, want %+v", g, w)
	}
}
