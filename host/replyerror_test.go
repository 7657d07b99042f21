package host_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/easymicro/easymicro/host/discovery"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// half fails, with or without a part of what was asked for.
type half struct{}

var errHalf = errors.New("half of it is missing")

func (half) Some(_ context.Context, _ *args, r *reply) error {
	r.C = 7
	return errHalf
}

func (half) None(context.Context, *args, *reply) error { return errHalf }

func TestAReplyNextToAnErrorIsSentAndReadAsStockPeersDo(t *testing.T) {
	reg := registry.New()
	registry.Register("test.half", struct{}{}, func(context.Context, struct{}, registry.Env) (*registry.Service, error) {
		typed := registry.Unary("Typed", func(context.Context, *args) (*reply, error) { return &reply{C: 7}, errHalf })
		return registry.Receiver(half{}).And(typed), nil
	}, registry.In(reg))
	h := hosttest.Start(t, "services: [{name: Half, handler: test.half}]\n", hosttest.Options{Registry: reg})
	p := rawPeer(t, h.Address)
	for method, want := range map[string]string{"Some": `{"C":7}`, "Typed": `{"C":7}`, "None": ""} {
		p.Send(wiretest.Request(0, "Half", method, wire.JSON, []byte("{}")))
		f := p.Receive()
		if f.Status != wire.StatusError || f.Metadata.Get(wire.MetaError) != errHalf.Error() || string(f.Payload) != want {
			t.Errorf("%s over rpcx: %v with %q", method, wire.ErrorOf(f), f.Payload)
		}
		res, body := h.Post("/Half/"+method, "{}")
		if res.StatusCode != http.StatusInternalServerError || strings.Contains(body, `"C"`) || !strings.Contains(body, errHalf.Error()) {
			t.Errorf("%s over HTTP: %s %s", method, res.Status, body)
		}
	}
	at, err := discovery.Static(h.Address)
	must(t, err)
	c, err := client.New(client.Options{Resolver: at})
	must(t, err)
	defer c.Close()
	for _, codec := range []wire.Codec{wire.JSON, wire.Msgpack} {
		var r reply
		err := c.Call(t.Context(), "Half", "Some", &args{}, &r, client.Codec(codec))
		if err == nil || err.Error() != errHalf.Error() || r.C != 7 {
			t.Errorf("%v: %v with %+v", codec, err, r)
		}
	}
}

// encodedReply is a reply that notes when it is encoded.
type encodedReply struct{ encoded *atomic.Int64 }

func (c encodedReply) MarshalJSON() ([]byte, error) {
	c.encoded.Add(1)
	return []byte("1"), nil
}

// tardy fails when its context has ended, and leaves a goroutine behind that still writes to the reply.
type tardy struct {
	encoded atomic.Int64
	ended   chan struct{}
}

type lateReply struct{ C encodedReply }

func (l *tardy) Heed(ctx context.Context, _ *args, r *lateReply) error {
	r.C.encoded = &l.encoded
	<-ctx.Done()
	return l.end(ctx.Err())
}

// Own has a context of its own, which ends sooner.
func (l *tardy) Own(_ context.Context, _ *args, r *lateReply) error {
	r.C.encoded = &l.encoded
	return l.end(fmt.Errorf("asking elsewhere: %w", context.DeadlineExceeded))
}

func (l *tardy) Coded(_ context.Context, _ *args, r *lateReply) error {
	r.C.encoded = &l.encoded
	return l.end(&code.Error{Code: code.Cancelled, Message: "given up"})
}

// Slow fails with an error of its own, after its caller has been answered.
func (l *tardy) Slow(ctx context.Context, _ *args, r *lateReply) error {
	r.C.encoded = &l.encoded
	<-ctx.Done()
	return l.end(errHalf)
}

func (l *tardy) Fail(_ context.Context, _ *args, r *lateReply) error {
	r.C.encoded = &l.encoded
	return l.end(errHalf)
}

func (l *tardy) end(err error) error {
	l.ended <- struct{}{}
	return err
}

// A goroutine that still writes to a reply races with its encoding: with a map that would end the process.
func TestNoReplyIsEncodedThatIsNotSent(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		method, timeout string
		oneWay          bool
		want            int64
	}{
		{method: "Heed", timeout: "20"},
		{method: "Slow", timeout: "20"},
		{method: "Own"},
		{method: "Coded"},
		{method: "Fail", oneWay: true},
		{method: "Fail", want: 1},
	} {
		l := &tardy{ended: make(chan struct{}, 1)}
		reg := registry.New()
		registry.Plain(l, registry.In(reg), registry.As("test.tardy"))
		h := hosttest.Start(t, "services: [{name: Late, handler: test.tardy}]\n", hosttest.Options{Registry: reg})
		p := rawPeer(t, h.Address)
		req := wiretest.Request(1, "Late", tc.method, wire.JSON, []byte("{}"))
		req.OneWay = tc.oneWay
		if tc.timeout != "" {
			req.Metadata.Set(wire.MetaTimeout, tc.timeout)
		}
		p.Send(req)
		if !tc.oneWay && p.Receive().Status != wire.StatusError {
			t.Errorf("%+v: no error", tc)
		}
		receive(t, l.ended, "the handler does not return")
		h.Stop() // waits for what comes of it
		if got := l.encoded.Load(); got != tc.want {
			t.Errorf("%+v: encoded %d times, want %d", tc, got, tc.want)
		}
	}
}
