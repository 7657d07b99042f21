package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/host/telemetry/otlptest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

const (
	callersTrace = "0af7651916cd43dd8448eb211c80319c"
	callersSpan  = "b7ad6b7169203331"
	toBeTraced   = "00-" + callersTrace + "-" + callersSpan + "-01"
	notTraced    = "00-" + callersTrace + "-" + callersSpan + "-00"
)

// shop is a handler that calls another service.
type shop struct{ arith registry.Client }

func (s *shop) Price(ctx context.Context, a *args, r *reply) error {
	return s.arith.Call(ctx, "Mul", a, r)
}

// withShop is the handlers of a plant, and test.shop, whose client is called arith.
func withShop(p *plant) *registry.Registry {
	registry.Register("test.shop", struct{}{}, func(_ context.Context, _ struct{}, e registry.Env) (*registry.Service, error) {
		return registry.Receiver(&shop{e.Client("arith")}), nil
	}, registry.In(p.reg), registry.Methods[shop](), registry.Uses("arith"))
	return p.reg
}

// traces is the part of a manifest that sends spans to c.
func traces(c *otlptest.Collector, ratio string) string {
	return fmt.Sprintf("telemetry: {traces: {otlpEndpoint: %q, sampleRatio: %s}}\n", c.URL, ratio)
}

func TestOneTraceLeadsFromTheCallerThroughAHostToItsUpstream(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			c := otlptest.Start(t, protocol)
			b := hosttest.Start(t, "services: [{name: Arith, handler: test.arith}]\nhost: {name: b}\n"+traces(c, "0"),
				hosttest.Options{Registry: newPlant(t).reg})
			a := hosttest.Start(t, `
host: {name: a}
services: [{name: Shop, handler: test.shop, uses: {arith: arith}}]
upstreams: [{name: arith, service: Arith, connection: {connectTimeout: 20s}, resolve: {endpoints: ["`+b.Address+`"]}}]
`+traces(c, "0"), hosttest.Options{Registry: withShop(newPlant(t))})
			if _, text := a.Post("/Shop/Price", `{"A":6,"B":7}`, "Traceparent", toBeTraced, "Tracestate", "vendor=1"); !strings.Contains(text, "42") {
				t.Fatal(text)
			}
			spans := c.Wait(3)
			price, out, mul := otlptest.Find(spans, "Shop/Price", "SERVER"), otlptest.Find(spans, "Arith/Mul", "CLIENT"), otlptest.Find(spans, "Arith/Mul", "SERVER")
			if price.Parent != callersSpan || out.Parent != price.ID || mul.Parent != out.ID {
				t.Errorf("%+v", spans)
			}
			for _, s := range spans {
				if s.Trace != callersTrace || s.State != "vendor=1" || s.Attributes["rpc.status_code"] != "OK" {
					t.Errorf("%+v", s)
				}
			}
			if price.Service != "Shop" || out.Service != "Shop" || mul.Service != "Arith" || mul.Resource["service.instance.id"] != "b" {
				t.Errorf("of %s, %s, %s", price.Service, out.Service, mul.Service)
			}
			if price.Attributes["network.protocol.name"] != "http" || mul.Attributes["network.protocol.name"] != "rpcx" {
				t.Errorf("%v, %v", price.Attributes, mul.Attributes)
			}
			if len(out.Events) != 1 || out.Attributes["server.address"]+":"+out.Attributes["server.port"] != b.Address {
				t.Errorf("%+v", out)
			}
			if text := scrape(t, a); !strings.Contains(text,
				`rpc_client_call_duration_seconds_count{rpc_method="Arith/Mul",rpc_status_code="OK",rpc_system_name="rpcx",upstream="arith"} 1`) {
				t.Error(text)
			}
		})
	}
}

func TestWithoutTracingTheTraceOfTheCallerGoesOn(t *testing.T) {
	t.Parallel()
	c := otlptest.HTTP(t)
	b := hosttest.Start(t, "services: [{name: Arith, handler: test.arith}]\n"+traces(c, "0"), hosttest.Options{Registry: newPlant(t).reg})
	a := hosttest.Start(t, `
services: [{name: Shop, handler: test.shop, uses: {arith: arith}}]
upstreams: [{name: arith, service: Arith, connection: {connectTimeout: 20s}, resolve: {endpoints: ["`+b.Address+`"]}}]
`, hosttest.Options{Registry: withShop(newPlant(t))})
	a.Post("/Shop/Price", `{}`, "Traceparent", notTraced)
	a.Post("/Shop/Price", `{}`)
	a.Post("/Shop/Price", `{}`, "Traceparent", "malformed")
	a.Post("/Shop/Price", `{}`, "Traceparent", toBeTraced)
	if s := c.Wait(1); len(s) != 1 || s[0].Parent != callersSpan || s[0].Name != "Arith/Mul" {
		t.Errorf("%+v", s)
	}
}

func TestARefusedCallHasASpanThatNamesTheRule(t *testing.T) {
	t.Parallel()
	c := otlptest.HTTP(t)
	log := new(logBuffer)
	h := hosttest.Start(t, `
services: [{name: Arith, handler: test.arith, accessLog: true}]
policies: {rules: [{name: few, match: {service: Arith}, rateLimit: {rate: 1, burst: 1, per: 1h}}]}
`+traces(c, "1"), hosttest.Options{Registry: newPlant(t).reg, Log: log})
	h.Post("/Arith/Mul", "{}")
	_, text := h.Post("/Arith/Mul", "{}")
	spans := c.Wait(2)
	s := spans[1] // the batch is in the order of the calls
	if s.Attributes["easymicro.rule"] != "few@r1" || s.Attributes["easymicro.reason"] != "rate_limited" ||
		s.Attributes["error.type"] != "RESOURCE_EXHAUSTED" || s.Attributes["easymicro.caller"] != "anonymous" {
		t.Errorf("%+v", s)
	}
	var problem struct {
		TraceID string `json:"trace_id"`
	}
	must(t, json.Unmarshal([]byte(text), &problem))
	list, err := h.Admin.Refusals(t.Context(), admin.RefusalQuery{})
	if err != nil || len(list) != 1 || list[0].Trace != s.Trace || problem.TraceID != s.Trace {
		t.Errorf("%+v, %v and %s, want the trace %s", list, err, text, s.Trace)
	}
	for _, line := range []string{"msg=call ", `msg="call refused"`} {
		found := false
		for l := range strings.Lines(log.String()) {
			found = found || strings.Contains(l, line) && strings.Contains(l, "trace_id="+s.Trace)
		}
		if !found {
			t.Errorf("no line with %s has the trace:\n%s", line, log.String())
		}
	}
}

func TestNamesOfPeersAreNoNamesOfSpans(t *testing.T) {
	t.Parallel()
	c := otlptest.HTTP(t)
	h := hosttest.Start(t, "host: {name: h1}\nservices: [{name: Arith, handler: test.arith}]\n"+traces(c, "1"),
		hosttest.Options{Registry: newPlant(t).reg})
	h.Post("/Arith/Made", "{}")
	req := wire.Frame{Service: "Up", Method: "Made", Codec: wire.JSON, Payload: []byte("{}")}
	if e := code.From(h.Dial().Do(t.Context(), &req, new(wire.Frame))); e == nil {
		t.Error("served")
	}
	for _, s := range c.Wait(2) {
		if s.Name != "_OTHER" || s.Service != "h1" || !strings.HasSuffix(s.Attributes["rpc.method_original"], "/Made") || !s.Error {
			t.Errorf("%+v", s)
		}
	}
}

func TestTheSpanOfACallThatIsAnsweredAtItsDeadlineEndsThere(t *testing.T) {
	t.Parallel()
	c := otlptest.HTTP(t)
	p := newPlant(t)
	h := hosttest.Start(t, `
services: [{name: Gate, handler: test.gate}]
policies: {rules: [{name: soon, match: {service: Gate}, timeout: 20ms}]}
`+traces(c, "1"), hosttest.Options{Registry: p.reg})
	if _, text := h.Post("/Gate/Ignore", "{}"); !strings.Contains(text, "soon@r1") || !strings.Contains(text, "trace_id") {
		t.Error(text)
	}
	s := c.Wait(1)[0]
	if s.Attributes["easymicro.rule"] != "soon@r1" || s.Attributes["easymicro.reason"] != "timeout" || !s.Error {
		t.Errorf("%+v", s)
	}
	p.gate.open()
}

func TestTracesFollowTheManifestWhileCallsRun(t *testing.T) {
	t.Parallel()
	first, second := otlptest.HTTP(t), otlptest.GRPC(t)
	h := hosttest.Start(t, "services: [{name: Arith, handler: test.arith}]\n"+traces(first, "1"), hosttest.Options{Registry: newPlant(t).reg})
	h.Post("/Arith/Mul", "{}")
	h.Edit("easymicro.yaml", first.URL, second.URL)
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatalf("%+v", r)
	}
	h.Post("/Arith/Div", `{"A":1,"B":1}`)
	h.Edit("easymicro.yaml", "sampleRatio: 1", "sampleRatio: 0")
	h.Revision()
	h.Post("/Arith/Meta", "{}")
	if s := first.Wait(1); len(s) != 1 || s[0].Name != "Arith/Mul" {
		t.Errorf("%+v", s)
	}
	if s := second.Wait(1); len(s) != 1 || s[0].Name != "Arith/Div" {
		t.Errorf("%+v", s)
	}
	h.Edit("easymicro.yaml", "grpc://", "gprc://")
	if r := h.Revision(); r.Result != host.ResultRejected || !strings.Contains(r.Problems.Error(), "easymicro.yaml:2") ||
		!strings.Contains(r.Problems.Error(), "did you mean grpc://") {
		t.Errorf("%+v", r)
	}
}

func TestAHostWithADeadCollectorServesAndEndsAsFast(t *testing.T) {
	t.Parallel()
	c := otlptest.HTTP(t)
	c.Hold.Store(true)
	h := hosttest.Start(t, "services: [{name: Arith, handler: test.arith}]\n"+traces(c, "1"),
		hosttest.Options{Registry: newPlant(t).reg, Log: io.Discard})
	conn := h.Dial()
	for range 3000 {
		req := wire.Frame{Service: "Arith", Method: "Mul", Codec: wire.JSON, Payload: []byte(`{"A":2,"B":3}`)}
		must(t, conn.Do(t.Context(), &req, new(wire.Frame)))
	}
	const dropped = "easymicro_trace_spans_dropped_total"
	full, failed := metric(t, h, dropped+`{reason="queue_full"}`), metric(t, h, dropped+`{reason="export"}`)
	if full == 0 || full+failed < 3000-2048 {
		t.Errorf("%v spans of 3,000 do not fit, and %v could not be sent", full, failed)
	}
	conn.Close()
	begin := time.Now()
	h.Stop()
	if took := time.Since(begin); took > 20*time.Second { // the grace period is 30s
		t.Errorf("the end took %v", took)
	}
	c.Hold.Store(false)
}

func TestOneTraceLeadsThroughAStandaloneGateway(t *testing.T) {
	t.Parallel()
	c := otlptest.GRPC(t)
	b := hosttest.Start(t, "services: [{name: Arith, handler: test.arith}]\nhost: {name: b}\n"+traces(c, "0"),
		hosttest.Options{Registry: newPlant(t).reg})
	a := hosttest.Start(t, `
host: {name: a}
services: [{name: Shop, handler: test.shop, uses: {arith: arith}}]
upstreams: [{name: arith, service: Arith, connection: {connectTimeout: 20s}, resolve: {endpoints: ["`+b.Address+`"]}}]
`+traces(c, "0"), hosttest.Options{Registry: withShop(newPlant(t))})
	y := newYard()
	y.put("Shop", a.Address)
	gw := standalone(t, y, toAll+traces(c, "1"), hosttest.Options{})
	if _, text := gw.Post("/Shop/Price", `{"A":6,"B":7}`, "Tracestate", "of=nothing"); !strings.Contains(text, "42") {
		t.Fatal(text)
	}
	spans := c.Wait(5)
	parent := ""
	for i, want := range []struct{ name, kind, service, instance string }{
		{"Shop/Price", "SERVER", "gw", "gw"},
		{"Shop/Price", "CLIENT", "gw", "gw"},
		{"Shop/Price", "SERVER", "Shop", "a"},
		{"Arith/Mul", "CLIENT", "Shop", "a"},
		{"Arith/Mul", "SERVER", "Arith", "b"},
	} {
		found := slices.IndexFunc(spans, func(s otlptest.Span) bool { return s.Parent == parent })
		if found < 0 {
			t.Fatalf("span %d has no child in %+v", i, spans)
		}
		s := spans[found]
		if s.Name != want.name || s.Kind != want.kind || s.Service != want.service || s.Resource["service.instance.id"] != want.instance ||
			s.Trace != spans[0].Trace {
			t.Errorf("span %d is %+v, want %v", i, s, want)
		}
		parent = s.ID
	}
	_, text := gw.Post("/Shop/Made", `{}`)
	made := c.Wait(8)[5:]
	for _, s := range made {
		if strings.Contains(s.Name, "Made") || !strings.Contains(text, `"trace_id":"`+s.Trace) {
			t.Errorf("%+v for %s", s, text)
		}
	}
}
