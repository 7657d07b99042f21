package host_test

import (
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// startStock is a stock rpcx server that answers every call with an error of that text, and says how many there were.
func startStock(t *testing.T, text string) (address string, calls chan *wire.Frame) {
	t.Helper()
	calls = make(chan *wire.Frame, 1000)
	return wiretest.Meet(t, func(c net.Conn) {
		in := wire.NewReader(c, wire.Limits{})
		for {
			req := new(wire.Frame)
			if in.Read(req) != nil {
				return
			}
			if !req.Heartbeat {
				calls <- req
			}
			res := &wire.Frame{Type: wire.Response, Heartbeat: req.Heartbeat, Seq: req.Seq, Service: req.Service, Method: req.Method, Codec: req.Codec}
			if !req.Heartbeat {
				res.Status = wire.StatusError
				res.Metadata.Set(wire.MetaError, text)
			}
			if _, err := c.Write(wire.AppendFrame(nil, res)); err != nil {
				return
			}
		}
	}), calls
}

func TestWhereACallWentIsNotSaidToCallersOfAGateway(t *testing.T) {
	t.Parallel()
	for want, payload := range map[string][]byte{
		"Arith.Mul: the response: not valid gzip":                   []byte("not gzip"),
		"Arith.Mul: the response: the payload exceeds the limit of": gzipped(t, make([]byte, 17<<20)),
	} {
		address := wiretest.Meet(t, func(c net.Conn) {
			in := wire.NewReader(c, wire.Limits{})
			for req := new(wire.Frame); in.Read(req) == nil; {
				res := &wire.Frame{Type: wire.Response, Heartbeat: req.Heartbeat, Seq: req.Seq, Service: req.Service, Method: req.Method, Codec: req.Codec}
				if !req.Heartbeat {
					res.Compression, res.Payload = wire.Gzip, payload
				}
				if _, err := c.Write(wire.AppendFrame(nil, res)); err != nil {
					return
				}
			}
		})
		y := newYard()
		y.put("Arith", address)
		gw := standalone(t, y, toAll, hosttest.Options{})
		r, body := gw.Post("/Arith/Mul", `{}`)
		if got := problemOf(t, r, body).Detail; !strings.HasPrefix(got, want) || strings.Contains(got, "127.0.0.1") {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

func TestThePanicOfAStockServerIsNotShownToHTTPCallers(t *testing.T) {
	t.Parallel()
	const text = "[service internal error]: boom, method: Mul, argv: {A:1}, stack: goroutine 7"
	const hidden = "the handler panicked"
	for gateway, want := range map[string]string{
		"": hidden, toAll: hidden, "gateway: {errors: {exposeInternal: true}, remote: {etcd: main, services: ['*']}}\n": text,
	} {
		address, _ := startStock(t, text)
		var h *hosttest.Host
		if gateway == "" {
			h = startDeskAt(t, "rules: []\n", address)
		} else {
			y := newYard()
			y.put("Desk", address)
			h = standalone(t, y, gateway, hosttest.Options{})
		}
		r, body := h.Post("/Desk/Mul", `{}`)
		if p := problemOf(t, r, body); p.Status != 500 || p.Code != "INTERNAL" || p.Detail != want {
			t.Errorf("%s: %s", gateway, body)
		}
	}
}

func gzipped(t *testing.T, payload []byte) []byte {
	t.Helper()
	f := wire.Frame{Payload: payload}
	must(t, f.Compress(wire.Gzip))
	return f.Payload
}

func startDeskAt(t *testing.T, rules, address string) *hosttest.Host {
	t.Helper()
	return hosttest.Start(t, fmt.Sprintf(deskManifest, "till", address), hosttest.Options{
		Registry: deskPlant(t).reg, Files: map[string]string{"p.yaml": rules},
	})
}

func TestFailuresOfStockServersOpenBreakers(t *testing.T) {
	t.Parallel()
	for text, opens := range map[string]bool{
		"context deadline exceeded": true, "[service internal error]: boom, method: Mul, argv: 1, stack: x": true, "can not found any server": true,
		"divide by zero": false, "request reached rate limit": false, "rpcx: can't find method Mul": false,
	} {
		t.Run(text, func(t *testing.T) {
			address, _ := startStock(t, text)
			h := startDeskAt(t, "rules: [{name: out, match: {upstream: till}, circuitBreaker: {consecutiveFailures: 2}}]\n", address)
			for range 3 {
				_, err := mul(t, h, 1, 1)
				if err == nil {
					t.Fatal("a stock server's error is lost")
				}
			}
			if b := stateOf(t, h); (b.State == "open") != opens {
				t.Errorf("%+v", b)
			}
		})
	}
}

// What a stock server cannot find was not run, and may go elsewhere; other refusals of it prove nothing.
func TestWhatAStockServerCannotFindIsSentAgain(t *testing.T) {
	t.Parallel()
	for text, attempts := range map[string]int{"rpcx: can't find service Till": 3, "request reached rate limit": 1, "rpcx: can't find service Ledger": 1} {
		address, calls := startStock(t, text)
		h := startDeskAt(t, "rules: [{name: out, match: {upstream: till}, retry: {retryOn: [UNIMPLEMENTED, RESOURCE_EXHAUSTED], failMode: failtry}}]\n", address)
		_, _ = mul(t, h, 1, 1)
		if len(calls) != attempts {
			t.Errorf("%s: %d attempts, want %d", text, len(calls), attempts)
		}
	}
}

func TestAGatewayBeforeStockServersTranslatesTheirTexts(t *testing.T) {
	t.Parallel()
	for text, status := range map[string]int{
		"rpcx: can't find service Arith": 404, "rpcx: can't find method Mul": 404, "request reached rate limit": 429, "invalid token": 401,
		"context deadline exceeded": 504, "divide by zero": 500,
	} {
		y := newYard()
		address, _ := startStock(t, text)
		y.put("Arith", address)
		gw := standalone(t, y, toAll, hosttest.Options{})
		if r, body := gw.Post("/Arith/Mul", `{}`); r.StatusCode != status || !strings.Contains(problemOf(t, r, body).Detail, text) {
			t.Errorf("%s: %d %s", text, r.StatusCode, body)
		}
		if err := hosttest.CallJSON(t.Context(), gw.Dial(), "Arith", "Mul", args{}, new(reply)); code.Of(err) == code.Unknown && status != 500 {
			t.Errorf("%s over rpcx: %v", text, err)
		}
	}
}
