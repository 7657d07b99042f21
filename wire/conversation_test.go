package wire_test

import (
	"context"
	"encoding/binary"
	"errors"
	"math"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

type (
	args  struct{ A, B int }
	reply struct{ C int }
)

// stock behaves like the handlers of the recordings.
func stock(_ context.Context, req, res *wire.Frame) error {
	if strings.HasSuffix(req.Metadata.Get(wire.MetaAuth), "bad") {
		return code.Errorf(code.Unauthenticated, "invalid token")
	}
	switch strings.ToLower(req.Service + "." + req.Method) {
	case "arith.mul":
		return arith(req, res, func(a args) (int, error) { return a.A * a.B, nil })
	case "arith.div":
		return arith(req, res, func(args) (int, error) { return 0, errors.New("divide by zero") })
	case "arith.meta":
		res.Metadata.Set("server", "hi this is server md")
		return arith(req, res, func(args) (int, error) { return 1, nil })
	case "pb.mul":
		a, b := protoFields(req.Payload)
		res.Payload = protowire.AppendVarint(append(res.Payload, 0x08), a*b)
		return nil
	case "th.mul":
		a, b := binary.BigEndian.Uint32(req.Payload[3:]), binary.BigEndian.Uint32(req.Payload[10:])
		res.Payload = binary.BigEndian.AppendUint32(append(res.Payload, 8, 0, 1), a*b)
		res.Payload = append(res.Payload, 0)
		return nil
	case "echo.echo":
		res.Payload = append(res.Payload, req.Payload...)
		return nil
	}
	return code.Errorf(code.Unimplemented, "can't find %s.%s", req.Service, req.Method)
}

func arith(req, res *wire.Frame, do func(args) (int, error)) (err error) {
	var a args
	if req.Codec == wire.Raw {
		return code.Errorf(code.InvalidArgument, "raw bytes for a struct")
	}
	if err := wire.Decode(req.Codec, req.Payload, &a); err != nil {
		return err
	}
	c, err := do(a)
	if err != nil {
		return err
	}
	res.Payload, err = wire.Append(req.Codec, res.Payload, reply{c})
	return err
}

func protoFields(b []byte) (first, second uint64) {
	_, _, n := protowire.ConsumeTag(b)
	first, m := protowire.ConsumeVarint(b[n:])
	_, _, k := protowire.ConsumeTag(b[n+m:])
	second, _ = protowire.ConsumeVarint(b[n+m+k:])
	return first, second
}

func TestRecordedConversationsAreAnsweredInKind(t *testing.T) {
	r := newRig(t, stock, wire.Limits{})
	for _, c := range wiretest.Golden(t, "testdata/golden") {
		t.Run(c.Name, func(t *testing.T) {
			p := r.peer(t)
			waiting := map[uint64]wire.Frame{} // what the stock server answered, by sequence
			for _, f := range c.Frames {
				if f.From == "server" {
					waiting[f.Frame.Seq] = f.Frame
				}
			}
			if len(waiting) == 0 && !c.Frames[0].Frame.OneWay {
				// The original's server does not answer failed calls; ours must.
				refused := c.Frames[0].Frame
				refused.Type, refused.Status = wire.Response, wire.StatusError
				waiting[refused.Seq] = refused
			}
			pipelined := c.Frames[0].From == "client" && len(c.Frames) > 4 && c.Frames[1].From == "client"
			for _, f := range c.Frames {
				if f.From != "client" {
					continue
				}
				if _, err := p.Write(f.Bytes); err != nil {
					t.Fatal(err)
				}
				if !pipelined && !f.Frame.OneWay {
					answeredInKind(t, p.Receive(), waiting)
				}
			}
			for pipelined && len(waiting) > 0 {
				answeredInKind(t, p.Receive(), waiting)
			}
			p.Send(wiretest.Heartbeat(math.MaxInt64)) // shows that nothing else came
			if f := p.Receive(); f.Seq != math.MaxInt64 {
				t.Errorf("left over: %+v", f)
			}
		})
	}
}

func answeredInKind(t *testing.T, got *wire.Frame, waiting map[uint64]wire.Frame) {
	t.Helper()
	want, ok := waiting[got.Seq]
	if !ok {
		t.Fatalf("unexpected answer %+v", got)
	}
	delete(waiting, got.Seq)
	if err := wiretest.InKind(got, &want); err != nil {
		t.Fatal(err)
	}
	if want.Status == wire.StatusError {
		return // the texts are the peer's
	}
	if g, w := plain(t, got), plain(t, &want); g != w {
		t.Errorf("payload %v, want %v", g, w)
	}
}

// plain is a payload in a form that can be compared.
func plain(t *testing.T, f *wire.Frame) any {
	t.Helper()
	if err := f.Decompress(1 << 20); err != nil {
		t.Fatal(err)
	}
	if f.Heartbeat || f.Codec != wire.JSON && f.Codec != wire.Msgpack {
		return string(f.Payload)
	}
	var r reply
	if err := wire.Decode(f.Codec, f.Payload, &r); err != nil {
		t.Fatal(err)
	}
	return r
}
