package host_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/discovery"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
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
