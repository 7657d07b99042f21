package host_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/wiretest"
)

const arithAlone = "services: [{name: Arith, handler: test.arith}]\n"

func TestOtherHostsNamesReachNoListenerOnLoopback(t *testing.T) {
	t.Parallel()
	h := hosttest.Start(t, arithAlone+"gateway: {hosts: [Desk.example]}\n", hosttest.Options{Registry: newPlant(t).reg})
	for name, want := range map[string]int{
		"localhost": 200, "desk.localhost": 200, "127.0.0.1:80": 200, "[::1]": 200, "desk.example": 200, "DESK.example.:8972": 200,
		"evil.example": 403, "desk.example.evil": 403, "localhost.evil": 403, "127.0.0.1.evil": 403,
	} {
		req, err := http.NewRequestWithContext(t.Context(), "POST", h.URL+"/Arith/Mul", strings.NewReader(`{"a":6,"b":7}`))
		must(t, err)
		req.Host = name
		res, err := http.DefaultClient.Do(req)
		must(t, err)
		must(t, res.Body.Close())
		if res.StatusCode != want {
			t.Errorf("%s: %d", name, res.StatusCode)
		}
	}
}

func TestACallersTimeOverHTTPEndsItsCall(t *testing.T) {
	t.Parallel()
	y := newYard()
	_, a := far(t, y, newPlant(t), "")
	gw := standalone(t, y, toAll, hosttest.Options{})
	if r, body := gw.Post("/Away/Tell", `{}`, "X-Request-Timeout", "5s"); r.StatusCode != 200 {
		t.Fatalf("%d %s", r.StatusCode, body)
	}
	receive(t, a.came, "it did not come")
	for _, header := range []string{"X-Request-Timeout", "Grpc-Timeout", "Connect-Timeout-Ms"} {
		r, body := gw.Post("/Away/Tell", `{}`, header, map[string]string{"X-Request-Timeout": "0s", "Grpc-Timeout": "0S", "Connect-Timeout-Ms": "0"}[header])
		if p := problemOf(t, r, body); p.Status != 504 || p.Reason != "expired" {
			t.Errorf("%s: %s", header, body)
		}
	}
	if n := len(a.came); n != 0 {
		t.Errorf("%d came whose time was over", n)
	}
}

func TestACallersTimeOverHTTPIsThatOfItsHandler(t *testing.T) {
	t.Parallel()
	p := newPlant(t)
	h := hosttest.Start(t, "services: [{name: Gate, handler: test.gate}]\n", hosttest.Options{Registry: p.reg})
	r, body := h.Post("/Gate/Wait", `{}`, "X-Request-Timeout", "50ms", "Grpc-Timeout", "9S")
	if problem := problemOf(t, r, body); problem.Status != 504 || problem.Reason != "timeout" || problem.Rule != "" {
		t.Errorf("%s", body)
	}
	p.gate.come(t)
	if err := receive(t, p.gate.ended, "the handler goes on"); err == nil {
		t.Error("the handler's context has not ended")
	}
}

// startMul is a stock server that knows Arith.Mul and no other spelling.
func startMul(t *testing.T) (address string, calls chan string) {
	t.Helper()
	calls = make(chan string, 100)
	return wiretest.Meet(t, func(c net.Conn) {
		in := wire.NewReader(c, wire.Limits{})
		for {
			req := new(wire.Frame)
			if in.Read(req) != nil {
				return
			}
			res := &wire.Frame{Type: wire.Response, Heartbeat: req.Heartbeat, Seq: req.Seq, Service: req.Service, Method: req.Method, Codec: req.Codec}
			if !req.Heartbeat {
				calls <- req.Method
				if res.Payload = []byte("{}"); req.Method != "Mul" {
					res.Status, res.Payload = wire.StatusError, nil
					res.Metadata.Set(wire.MetaError, "rpcx: can't find method "+req.Method)
				}
			}
			if _, err := c.Write(wire.AppendFrame(nil, res)); err != nil {
				return
			}
		}
	}), calls
}

func TestTheKnownSpellingOfAMethodIsSent(t *testing.T) {
	t.Parallel()
	y := newYard()
	address, calls := startMul(t)
	y.put("Arith", address)
	gw := standalone(t, y, toAll, hosttest.Options{})
	var statuses []int
	for _, path := range []string{"/arith/mul", "/arith/Mul", "/arith/mul", "/ARITH/MUL", "/Arith/Mul"} {
		r, _ := gw.Post(path, `{}`)
		statuses = append(statuses, r.StatusCode)
	}
	if want := []int{404, 200, 200, 200, 200}; !slices.Equal(statuses, want) {
		t.Errorf("answers %v, want %v", statuses, want)
	}
	close(calls)
	var sent []string
	for name := range calls {
		sent = append(sent, name)
	}
	if want := []string{"mul", "Mul", "Mul", "Mul", "Mul"}; !slices.Equal(sent, want) {
		t.Errorf("sent were %v, want %v", sent, want)
	}
}

// A host of ours takes any spelling, so that one which it has answered to may be none of a stock server beside it.
func TestASpellingThatGoCannotExportIsNotKnownBetterThanTheCallers(t *testing.T) {
	t.Parallel()
	y := newYard()
	address, calls := startMul(t) // ends after the gateway, which is connected to it
	far(t, y, newPlant(t), "")
	gw := standalone(t, y, toAll, hosttest.Options{})
	if r, body := gw.Post("/Arith/mul", `{}`); r.StatusCode != 200 {
		t.Fatalf("%d %s", r.StatusCode, body)
	}
	y.put("Arith", address)
	eventually(t, "the stock server is called", func() bool {
		r, _ := gw.Post("/Arith/Mul", `{}`)
		return r.StatusCode == 200 && len(calls) > 0
	})
	if name := <-calls; name != "Mul" {
		t.Errorf("%s was sent", name)
	}
}

func TestNamesOutsideTheAllowListAreUnknownBeforeDiscoveryHasSpoken(t *testing.T) {
	t.Parallel()
	h := hosttest.Start(t, "discovery: {etcd: [{name: main, endpoints: ['http://127.0.0.1:1']}]}\ngateway: {remote: {etcd: main, services: [Arith, Pub*]}}\n", hosttest.Options{})
	for path, want := range map[string]int{"/Arith/Mul": 502, "/arith/mul": 502, "/Public/X": 502, "/Secret/X": 404, "/pub/X": 502, "/Ari/Mul": 404} {
		if r, body := h.Post(path, `{}`); r.StatusCode != want {
			t.Errorf("%s: %d %s", path, r.StatusCode, body)
		}
	}
}

// The connection of an HTTP caller goes on behind chunked requests, through the host's mux.
func TestChunkedCallsShareAConnectionToAHost(t *testing.T) {
	t.Parallel()
	h := hosttest.Start(t, arithAlone, hosttest.Options{Registry: newPlant(t).reg})
	var opened int
	tr := &http.Transport{DialContext: func(ctx context.Context, network, address string) (net.Conn, error) {
		opened++
		return new(net.Dialer).DialContext(ctx, network, address)
	}}
	defer tr.CloseIdleConnections()
	client := http.Client{Transport: tr, Timeout: 10 * time.Second}
	for range 100 {
		body := io.MultiReader(strings.NewReader(`{"a":6,`), strings.NewReader(`"b":7}`)) // of no known length
		res, err := client.Post(h.URL+"/Arith/Mul", "application/json", body)
		must(t, err)
		_, err = io.Copy(io.Discard, res.Body)
		must(t, err)
		must(t, res.Body.Close())
		if res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
	}
	if opened != 1 {
		t.Errorf("%d connections for 100 requests", opened)
	}
}
