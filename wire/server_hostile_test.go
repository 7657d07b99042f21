package wire_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"runtime"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

func liveHeap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func TestHeadersThatClaimFourGiBCostNothing(t *testing.T) {
	r := newRig(t, echo, wire.Limits{MaxMessageBytes: math.MaxInt32})
	header := []byte{0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1}
	header = binary.BigEndian.AppendUint32(header, 1<<31-1)
	header = append(header, make([]byte, 100)...)
	before := liveHeap()
	const peers = 1000
	for range peers {
		if _, err := r.dial(t).Write(header); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, "all headers are read", func() bool {
		r.seen.mu.Lock()
		defer r.seen.mu.Unlock()
		return r.seen.opened == peers
	})
	if grown := int64(liveHeap()) - int64(before); grown > peers*(16<<10) {
		t.Errorf("%d bytes a connection", grown/peers)
	}
}

func TestBadFramesCloseTheirConnectionOnlyWithAReason(t *testing.T) {
	good := wiretest.Bytes(wiretest.Request(1, "Test", "Echo", wire.Raw, []byte("x")))
	claims := bytes.Clone(good)
	binary.BigEndian.PutUint32(claims[12:], 1<<32-1)
	inner := bytes.Clone(good)
	binary.BigEndian.PutUint32(inner[16:], 1<<31)
	for _, tc := range []struct {
		name, reason string
		sent         []byte
	}{
		{"not a frame", "bad_magic", []byte("GET / HTTP/1.1\r\n\r\n")},
		{"4 GiB", "truncated", claims},
		{"a block longer than its frame", "bad_length", inner},
		{"cut short", "truncated", good[:20]},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, echo, wire.Limits{})
			bystander := r.client(t, wire.ConnOptions{})
			c := r.dial(t)
			if _, err := c.Write(tc.sent); err != nil {
				t.Fatal(err)
			}
			_ = c.(interface{ CloseWrite() error }).CloseWrite()
			if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
				t.Errorf("got %x, %v", b, err)
			}
			eventually(t, tc.reason, func() bool { return r.seen.count(tc.reason) == 1 })
			if got, err := call(t.Context(), bystander, "Echo", "y"); got != "y" {
				t.Errorf("another connection: %q, %v", got, err)
			}
		})
	}
}

func TestRequestsOverALimitAreRefusedAndTheConnectionStaysOpen(t *testing.T) {
	r := newRig(t, echo, wire.Limits{})
	c := r.client(t, wire.ConnOptions{})
	flood := wiretest.Request(0, "Test", "Echo", wire.Raw, nil)
	for i := range 10_000 {
		flood.Metadata = append(flood.Metadata, [2]string{fmt.Sprint(i), ""})
	}
	for name, req := range map[string]*wire.Frame{
		"10,000 metadata pairs": flood,
		"64 KiB of metadata":    wiretest.With(wiretest.Request(0, "Test", "Echo", wire.Raw, nil), "k", strings.Repeat("x", 64<<10)),
		"a long name":           wiretest.Request(0, strings.Repeat("s", 300), "Echo", wire.Raw, nil),
		"5 MiB":                 wiretest.Request(0, "Test", "Echo", wire.Raw, make([]byte, 5<<20)),
	} {
		var res wire.Frame
		err := c.Do(t.Context(), req, &res)
		var e *code.Error
		if !errors.As(err, &e) || e.Code != code.ResourceExhausted || e.Reason != code.ReasonTooLarge {
			t.Errorf("%s: got %v", name, err)
		}
	}
	if got, err := call(t.Context(), c, "Echo", "y"); got != "y" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

func TestInvalidCompressedRequestsAreAnswered(t *testing.T) {
	bomb, err := wire.AppendCompressed(nil, wire.Gzip, make([]byte, 32<<20))
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t, echo, wire.Limits{})
	c := r.client(t, wire.ConnOptions{})
	for _, tc := range []struct {
		name    string
		with    wire.Compression
		payload []byte
		code    code.Code
		reason  string
	}{
		{"bomb", wire.Gzip, bomb, code.ResourceExhausted, code.ReasonTooLarge},
		{"garbage", wire.Gzip, []byte("no gzip"), code.InvalidArgument, code.ReasonBadPayload},
		{"unknown", 7, []byte("?"), code.InvalidArgument, code.ReasonUnknownCodec},
	} {
		t.Run(tc.name, func(t *testing.T) {
			req := wiretest.Request(0, "Test", "Echo", wire.Raw, tc.payload)
			req.Compression = tc.with
			wantError(t, c.Do(t.Context(), req, new(wire.Frame)), tc.code, tc.reason)
			if n := r.seen.count(tc.reason); n != 1 {
				t.Errorf("counted %d times", n)
			}
		})
	}
	if got, err := call(t.Context(), c, "Echo", "y"); got != "y" {
		t.Errorf("afterwards: %q, %v", got, err)
	}
}

func TestResponsesAreCompressedIfThePeerAcceptsItAndTheyGetShorter(t *testing.T) {
	long, short := bytes.Repeat([]byte("easymicro "), 400), []byte("short")
	noise := make([]byte, 4000)
	for i, x := 0, uint32(1); i < len(noise); i++ {
		x = x*1664525 + 1013904223
		noise[i] = byte(x >> 24)
	}
	for _, tc := range []struct {
		name     string
		with     wire.Compression
		accept   string
		payload  []byte
		want     wire.Compression
		contains []byte
	}{
		{"plain request", wire.NoCompression, "", long, wire.NoCompression, long},
		{"gzip request", wire.Gzip, "", long, wire.Gzip, long},
		{"gzip request, short reply", wire.Gzip, "", short, wire.NoCompression, short},
		{"gzip request, reply that does not shrink", wire.Gzip, "", noise, wire.NoCompression, noise},
		{"zstd request nobody asked an answer for", wire.Zstd, "", long, wire.NoCompression, long},
		{"zstd accepted", wire.NoCompression, "gzip, zstd", long, wire.Zstd, long},
		{"zstd accepted, gzip request", wire.Gzip, "zstd", long, wire.Zstd, long},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newRig(t, func(ctx context.Context, req, res *wire.Frame) error {
				if req.Compression != wire.NoCompression || !bytes.Equal(req.Payload, tc.payload) {
					t.Errorf("the handler sees %v %.20q", req.Compression, req.Payload)
				}
				return echo(ctx, req, res)
			}, wire.Limits{})
			packed, err := wire.AppendCompressed(nil, tc.with, tc.payload)
			if err != nil {
				t.Fatal(err)
			}
			req := wiretest.Request(5, "Test", "Echo", wire.Raw, packed)
			req.Compression = tc.with
			if tc.accept != "" {
				req.Metadata.Set(wire.MetaAcceptCompression, tc.accept)
			}
			p := r.peer(t)
			p.Send(req)
			f := p.Receive()
			got := f.Compression
			if err := f.Decompress(1 << 20); err != nil || got != tc.want || !bytes.Equal(f.Payload, tc.contains) {
				t.Errorf("got %v %.20q, %v", got, f.Payload, err)
			}
		})
	}
}

func TestCrashedHandlerIsAnsweredAndTheServerKeepsRunning(t *testing.T) {
	r := newRig(t, func(ctx context.Context, req, res *wire.Frame) error {
		switch req.Method {
		case "Panic":
			panic("secret")
		case "Nil":
			panic(nil) //nolint:govet // what a handler may do
		case "Goexit":
			runtime.Goexit()
		}
		return echo(ctx, req, res)
	}, wire.Limits{})
	c := r.client(t, wire.ConnOptions{})
	before := runtime.NumGoroutine()
	for range 100 {
		for _, method := range []string{"Panic", "Nil", "Goexit"} {
			_, err := call(t.Context(), c, method, "")
			wantError(t, err, code.Internal, code.ReasonPanic)
			if strings.Contains(err.Error(), "secret") {
				t.Fatalf("the peer is answered: %v", err)
			}
		}
		if got, err := call(t.Context(), c, "Echo", "y"); got != "y" {
			t.Fatalf("afterwards: %q, %v", got, err)
		}
	}
	if left := runtime.NumGoroutine() - before; left > 5 {
		t.Errorf("%d goroutines more", left)
	}
}
