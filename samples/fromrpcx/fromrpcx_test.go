package fromrpcx_test

import (
	"math"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/samples/fromrpcx"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/wiretest"
)

const patience = 20 * time.Second

// start runs the sample unchanged, but never with an etcd of the machine: it serves without.
func start(t *testing.T) *hosttest.Host {
	t.Helper()
	manifest, err := os.ReadFile("easymicro.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"name: Arith ", "layouts: [easymicro, rpcx]"} {
		if !strings.Contains(string(manifest), want) {
			t.Errorf("the manifest has no %q", want)
		}
	}
	return hosttest.StartCopy(t, ".", hosttest.Options{}, "127.0.0.1:2379", "127.0.0.1:1",
		"files: [policies.yaml]\n", "files: [policies.yaml]\nhost: {shutdown: {drainDelay: 0s}}\n")
}

func dial(t *testing.T, address string) *wiretest.Peer {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		t.Fatal(err)
	}
	return wiretest.NewPeer(t, c)
}

// The recorded clients find the service that they called at their own servers: the same names, values and texts.
func TestRecordedClientsAreServedAsBefore(t *testing.T) {
	h := start(t)
	served := 0
	for _, c := range wiretest.Golden(t, "../../wire/testdata/golden") {
		switch first := c.Frames[0].Frame; {
		case !first.Heartbeat && !strings.EqualFold(first.Service, "Arith"):
			continue // another service of the recording
		case c.Name == "auth-bad":
			continue // this host does not require a token
		}
		served++
		t.Run(c.Name, func(t *testing.T) { replay(t, dial(t, h.Address), c) })
	}
	if served < 15 {
		t.Errorf("only %d conversations are with Arith", served)
	}
}

func replay(t *testing.T, p *wiretest.Peer, c wiretest.Conversation) {
	t.Helper()
	waiting := map[uint64]wire.Frame{}
	for _, f := range c.Frames {
		if f.From == "server" {
			waiting[f.Frame.Seq] = f.Frame
			continue
		}
		if _, err := p.Write(f.Bytes); err != nil {
			t.Fatal(err)
		}
	}
	if c.Name == "em-error" { // the original server does not answer failed calls, ours must
		f := c.Frames[0].Frame
		f.Type, f.Status = wire.Response, wire.StatusError
		waiting[f.Seq] = f
	}
	for len(waiting) > 0 {
		got := p.Receive()
		want, ok := waiting[got.Seq]
		if !ok {
			t.Fatalf("no test waits for %+v", got)
		}
		delete(waiting, got.Seq)
		if err := wiretest.InKind(got, &want); err != nil {
			t.Error(err)
		}
		if want.Status == wire.StatusError {
			theirs := want.Metadata.Get(wire.MetaError)
			if own := want.Method == "Div"; own && got.Metadata.Get(wire.MetaError) != theirs {
				t.Errorf("the error is %q, was %q", got.Metadata.Get(wire.MetaError), theirs)
			}
			continue
		}
		if product(t, got) != product(t, &want) {
			t.Errorf("got %+v, want %+v", got, want)
		}
	}
	p.Send(wiretest.Heartbeat(math.MaxInt64)) // shows that nothing else was sent
	if f := p.Receive(); f.Seq != math.MaxInt64 {
		t.Errorf("left over: %+v", f)
	}
}

func product(t *testing.T, f *wire.Frame) (r fromrpcx.Reply) {
	t.Helper()
	if f.Heartbeat {
		return r
	}
	if err := f.Decompress(1 << 20); err != nil {
		t.Fatal(err)
	}
	if err := wire.Decode(f.Codec, f.Payload, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

// The gateway of rpcx takes POST /{service} with the rest in headers.
func TestRequestsToTheGatewayAreServedAsBefore(t *testing.T) {
	h := start(t)
	res, body := h.Post("/Arith", `{"A":73,"B":1500}`, "X-RPCX-MessageID", "12345678", "X-RPCX-SerializeType", "1", "X-RPCX-ServiceMethod", "Mul")
	if res.StatusCode != 200 || body != `{"C":109500}` || res.Header.Get("X-RPCX-MessageID") != "12345678" {
		t.Errorf("%s %s %v", res.Status, body, res.Header)
	}
	res, _ = h.Post("/Arith", `{"A":1,"B":0}`, "X-RPCX-SerializeType", "1", "X-RPCX-ServiceMethod", "Div")
	if res.StatusCode != 500 || res.Header.Get("X-RPCX-ErrorMessage") != "divide by zero" {
		t.Errorf("%s %v", res.Status, res.Header)
	}
}
