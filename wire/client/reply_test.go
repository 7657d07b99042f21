package client

import (
	"bytes"
	"context"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

func pass(h wire.Handler) wire.Handler { return h }

func TestReplyMetadataIsUnchangedWithoutAResponse(t *testing.T) {
	drains := func(_ context.Context, _, res *wire.Frame) error {
		res.Metadata.Set("etag", "drains")
		return code.Refuse(code.Unavailable, code.ReasonDraining, "draining", "", "h1", 0)
	}
	stuck := func(ctx context.Context, _, _ *wire.Frame) error {
		<-ctx.Done()
		return nil
	}
	for name, tc := range map[string]struct {
		a, b   wire.HandlerFunc // a is called first; b is called, if at all, when a drains
		silent bool             // b is
		cut    time.Duration    // when a is killed
		oneWay bool
		code   code.Code
		want   string
	}{
		"no endpoint":                          {code: code.Unavailable, want: "old"},
		"the deadline":                         {a: stuck, code: code.DeadlineExceeded, want: "old"},
		"connection lost":                      {a: stuck, cut: time.Millisecond, code: code.Unavailable, want: "old"},
		"one-way":                              {a: mul, oneWay: true, want: "old"},
		"a reply":                              {a: mul},
		"all drain":                            {a: drains, code: code.Unavailable, want: "drains"},
		"one drains, the other says nothing":   {a: drains, b: stuck, code: code.DeadlineExceeded, want: "old"},
		"one drains, the other is not reached": {a: drains, silent: true, code: code.DeadlineExceeded, want: "old"},
	} {
		for name2, wrap := range map[string]func(wire.Handler) wire.Handler{"plain": nil, "wrapped": pass} {
			t.Run(name+", "+name2, func(t *testing.T) {
				inBubble(t, func(t *testing.T, n *network) {
					names := newNames()
					if tc.a != nil {
						stop := n.serve("a", tc.a)
						defer stop()
						if tc.cut > 0 {
							time.AfterFunc(tc.cut, stop)
						}
						names.set("Arith", Endpoint{Address: "a", Weight: 10})
					}
					if tc.b != nil {
						defer n.serve("b", tc.b)()
					}
					if tc.b != nil || tc.silent {
						n.silence("b", tc.silent)
						names.set("Arith", Endpoint{Address: "a", Weight: 10}, Endpoint{Address: "b"})
					}
					c := n.client(Options{Resolver: names, Wrap: wrap, Policy: WeightedRoundRobin, ConnectTimeout: time.Minute})
					ctx, cancel := context.WithTimeout(t.Context(), time.Second)
					defer cancel()
					reply := wire.Metadata{{"etag", "old"}}
					call := six
					if tc.oneWay {
						call = func(ctx context.Context, c *Client, o ...CallOption) error {
							return c.Notify(ctx, "Arith", "Mul", &Args{}, o...)
						}
					}
					if err := call(ctx, c, ReplyMetadata(&reply)); code.Of(err) != tc.code {
						t.Errorf("got %v, want %s", err, tc.code)
					}
					if got := reply.Get("etag"); got != tc.want {
						t.Errorf("got %q, want %q", got, tc.want)
					}
					_ = c.Close()
				})
			})
		}
	}
}

func TestReplyThatWouldTakeTooMuchMemoryIsABadReply(t *testing.T) {
	type item struct {
		A, B, C, D int
		Name       string
	}
	srv := newServer(t, func(_ context.Context, req, res *wire.Frame) error {
		if req.Method == "Mul" {
			return mul(t.Context(), req, res)
		}
		res.Payload = append(res.Payload, "\x81\xa5Items\xdd\x00\x0f\x00\x00"...)
		res.Payload = append(res.Payload, bytes.Repeat([]byte{0xc0}, 0xf0000)...)
		return nil
	})
	c := newClient(t, Options{Resolver: serving(srv.address), Codec: "msgpack"})
	var reply struct{ Items []item }
	wantError(t, c.Call(t.Context(), "Arith", "List", Args{}, &reply), code.Internal, code.ReasonBadReply)
	if reply.Items != nil {
		t.Errorf("%d items", len(reply.Items))
	}
	if err := six(t.Context(), c); err != nil {
		t.Error(err)
	}
}
