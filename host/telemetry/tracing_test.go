package telemetry

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/easymicro/easymicro/host/telemetry/otlptest"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// traced is the tracing of a host under test.
type traced struct {
	*Tracing
	metrics *Metrics
	log     *lockedBuffer
	ended   bool
	t       testing.TB
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newTraced(t testing.TB, url string, ratio float64) *traced {
	x := &traced{metrics: New(Options{}), log: new(lockedBuffer), t: t}
	log := slog.New(slog.NewTextHandler(x.log, nil))
	sampler := NewLogSampler(log)
	x.Tracing = NewTracing(TracingOptions{Host: "orders-1", Version: "v9", Metrics: x.metrics, Log: log, Sampler: sampler})
	x.set(url, ratio)
	t.Cleanup(func() {
		x.end()
		sampler.Close()
	})
	return x
}

func (x *traced) set(url string, ratio float64) {
	x.t.Helper()
	if err := x.Set(collectorAt(url), ratio); err != nil {
		x.t.Fatal(err)
	}
}

// end flushes the spans.
func (x *traced) end() {
	if !x.ended {
		x.ended = true
		x.Shutdown(context.Background())
	}
}

func collectorAt(url string) Collector {
	scheme, address, _ := strings.Cut(url, "://")
	if scheme == "grpc" {
		return Collector{GRPC: true, Address: address}
	}
	return Collector{Address: address, Path: "/v1/traces"}
}

var mul = NewOperation("Arith", "Arith/Mul")

// serve serves one call and passes the handler's context to inside.
func (x *traced) serve(op *Operation, req *wire.Frame, e *code.Error, inside func(ctx context.Context)) *Trace {
	call := wire.NewCall(context.Background(), wire.CallOptions{Transport: "rpcx", Peer: netip.MustParseAddr("192.0.2.7")})
	defer call.End()
	tr := new(Trace)
	x.Begin(tr, op, call, req)
	if inside != nil {
		inside(tr.Context(call))
	}
	tr.End(e, "web-1")
	return tr
}

func request(metadata ...string) *wire.Frame {
	req := &wire.Frame{Service: "Arith", Method: "Mul"}
	for i := 0; i < len(metadata); i += 2 {
		req.Metadata.Set(metadata[i], metadata[i+1])
	}
	return req
}

func TestASpanHasMethodCallerAndOutcome(t *testing.T) {
	for _, protocol := range []string{"grpc", "http"} {
		t.Run(protocol, func(t *testing.T) {
			c := otlptest.Start(t, protocol)
			x := newTraced(t, c.URL, 1)
			refusal := code.Refuse(code.ResourceExhausted, code.ReasonRateLimited, "rate limited", "partner-quota@r42", "orders-1", time.Second)
			x.serve(mul, request("traceparent", sampledOne, "tracestate", "vendor=x"), refusal, nil)
			x.end()
			s := c.Wait(1)[0]
			if s.Name != "Arith/Mul" || s.Kind != "SERVER" || s.Trace != someTrace || s.Parent != someSpan || s.State != "vendor=x" ||
				s.Service != "Arith" || s.Error {
				t.Errorf("%+v", s)
			}
			expectAll(t, s.Attributes, map[string]string{
				"rpc.system.name": "rpcx", "rpc.method": "Arith/Mul", "rpc.status_code": "RESOURCE_EXHAUSTED",
				"error.type": "RESOURCE_EXHAUSTED", "easymicro.rule": "partner-quota@r42", "easymicro.reason": "rate_limited",
				"easymicro.caller": "web-1", "server.address": "orders-1", "network.transport": "tcp",
				"network.protocol.name": "rpcx", "client.address": "192.0.2.7",
			})
			expectAll(t, s.Resource, map[string]string{"service.instance.id": "orders-1", "service.version": "v9"})
		})
	}
}

func expectAll(t *testing.T, got, want map[string]string) {
	t.Helper()
	for key, value := range want {
		if got[key] != value {
			t.Errorf("%s is %q, want %q", key, got[key], value)
		}
	}
}

func TestAServerSpanIsAnErrorOnlyForServerFaults(t *testing.T) {
	c := otlptest.HTTP(t)
	x := newTraced(t, c.URL, 1)
	blamed := map[code.Code]bool{
		code.Unknown: true, code.DeadlineExceeded: true, code.Unimplemented: true, code.Internal: true, code.Unavailable: true,
		code.DataLoss: true,
	}
	for _, k := range code.All()[1:] {
		x.serve(NewOperation("S", k.String()), request(), code.Errorf(k, "no"), nil)
	}
	x.end()
	for _, s := range c.Wait(len(code.All()) - 1) {
		k, _ := code.Parse(s.Name)
		if s.Error != blamed[k] {
			t.Errorf("%s: error %v", s.Name, s.Error)
		}
	}
}

func TestAMethodThatIsNotKnownNamesNoSpan(t *testing.T) {
	c := otlptest.HTTP(t)
	x := newTraced(t, c.URL, 1)
	req := &wire.Frame{Service: "Made", Method: strings.Repeat("up", 500) + "\xff"}
	x.serve(nil, req, code.Errorf(code.Unimplemented, "no"), nil)
	x.serve(RemoteOperation("Arith/Mull"), request(), code.Refuse(code.Unimplemented, code.ReasonUnknownMethod, "no", "", "h", 0), nil)
	x.serve(RemoteOperation("Arith/Mul"), request(), nil, nil)
	x.end()
	var names []string
	for _, s := range c.Wait(3) {
		names = append(names, s.Name+" "+s.Attributes["rpc.method"]+" of "+s.Service)
	}
	got := strings.Join(names, ", ")
	if got != "_OTHER _OTHER of orders-1, Arith/_OTHER Arith/_OTHER of orders-1, Arith/Mul Arith/Mul of orders-1" {
		t.Error(got)
	}
	if asked := c.Spans()[0].Attributes["rpc.method_original"]; !strings.HasPrefix(asked, "Made/upup") || len(asked) > 2*attributeBytes {
		t.Error(asked)
	}
}

func TestTheCallersDecisionIsFollowedWhateverTheRatio(t *testing.T) {
	c := otlptest.HTTP(t)
	x := newTraced(t, c.URL, 0)
	for range 20 {
		x.serve(mul, request(), nil, nil)
	}
	recorded := x.serve(mul, request("traceparent", sampledOne), nil, nil)
	x.set(c.URL, 1)
	ignored := x.serve(mul, request("traceparent", ignoredOne), nil, nil)
	x.end()
	if spans := c.Wait(1); len(spans) != 1 || spans[0].Trace != someTrace {
		t.Errorf("%+v", spans)
	}
	if !recorded.Recorded() || ignored.Recorded() || ignored.ID() != someTrace {
		t.Errorf("recorded %v, ignored %v of %q", recorded.Recorded(), ignored.Recorded(), ignored.ID())
	}
}

func TestTheRatioAgreesWithOpenTelemetry(t *testing.T) {
	const n = 20_000
	for _, ratio := range []float64{0, 0.05, 0.5, 1} {
		var p pipeline
		p.setRatio(ratio)
		theirs, recorded := sdk.TraceIDRatioBased(ratio), 0
		for range n {
			r := p.root()
			if r.flags.IsSampled() {
				recorded++
			}
			other := theirs.ShouldSample(sdk.SamplingParameters{ParentContext: context.Background(), TraceID: r.trace})
			if (other.Decision == sdk.RecordAndSample) != r.flags.IsSampled() || !r.valid() {
				t.Fatalf("%v at %v: %v, want %v", r, ratio, r.flags, other.Decision)
			}
		}
		if got := float64(recorded) / n; got < ratio-0.02 || got > ratio+0.02 {
			t.Errorf("ratio %v: %v", ratio, got)
		}
	}
}

func TestHandlersSeeTheSpanOfTheirCall(t *testing.T) {
	c := otlptest.HTTP(t)
	x := newTraced(t, c.URL, 1)
	own := x.serve(mul, request(), nil, func(ctx context.Context) {
		ctx, cancel := context.WithTimeout(ctx, time.Minute)
		defer cancel()
		span := trace.SpanFromContext(ctx)
		_, inner := span.TracerProvider().Tracer("a handler").Start(ctx, "inner")
		inner.End()
		_, fresh := span.TracerProvider().Tracer("a handler").Start(ctx, "fresh", trace.WithNewRoot())
		fresh.End()
		if TraceID(ctx) != span.SpanContext().TraceID().String() {
			t.Errorf("TraceID is %q", TraceID(ctx))
		}
	})
	x.end()
	byName := map[string]otlptest.Span{}
	for _, s := range c.Wait(3) {
		byName[s.Name] = s
	}
	outer, inner, fresh := byName["Arith/Mul"], byName["inner"], byName["fresh"]
	if inner.Parent != outer.ID || inner.Trace != outer.Trace || inner.Service != "Arith" || own.ID() != outer.Trace {
		t.Errorf("%+v in %+v", inner, outer)
	}
	if fresh.Trace == outer.Trace || fresh.Parent != "" {
		t.Errorf("a new root is %+v", fresh)
	}
}

func TestAnUnrecordedCallIsStillAParent(t *testing.T) {
	off := newTraced(t, "", 0)
	on := newTraced(t, otlptest.HTTP(t).URL, 0)
	for name, x := range map[string]*traced{"off": off, "on": on} {
		x.serve(mul, request("traceparent", ignoredOne, "tracestate", "v=1"), nil, func(ctx context.Context) {
			sc := trace.SpanContextFromContext(ctx)
			if sc.TraceID().String() != someTrace || sc.SpanID().String() != someSpan || !sc.IsRemote() || sc.IsSampled() ||
				sc.TraceState().String() != "v=1" || trace.SpanFromContext(ctx).IsRecording() {
				t.Errorf("%s: %+v", name, sc)
			}
		})
	}
	off.serve(mul, request("traceparent", "nonsense"), nil, func(ctx context.Context) {
		if sc := trace.SpanContextFromContext(ctx); sc.IsValid() || CallOf(ctx) == nil {
			t.Errorf("%+v", sc)
		}
	})
	on.serve(mul, request(), nil, func(ctx context.Context) {
		if sc := trace.SpanContextFromContext(ctx); !sc.IsValid() || sc.IsSampled() || TraceID(ctx) != "" {
			t.Errorf("%+v", sc)
		}
	})
}

// CallOf returns the wire.Call in a context.
func CallOf(ctx context.Context) *wire.Call { return wire.CallFrom(ctx) }

func TestAContextWithATraceEndsLikeItsParent(t *testing.T) {
	x := newTraced(t, "", 0)
	call := wire.NewCall(context.Background(), wire.CallOptions{})
	var tr Trace
	x.Begin(&tr, mul, call, request("traceparent", sampledOne))
	ctx := tr.Context(call)
	derived, cancel := context.WithCancel(ctx)
	defer cancel()
	call.End()
	<-derived.Done()
	if !errors.Is(ctx.Err(), context.Canceled) || !errors.Is(derived.Err(), context.Canceled) {
		t.Errorf("%v, %v", ctx.Err(), derived.Err())
	}
}

func TestAnotherCollectorTakesOverWhileCallsRun(t *testing.T) {
	first, second := otlptest.HTTP(t), otlptest.GRPC(t)
	x := newTraced(t, first.URL, 1)
	x.serve(NewOperation("S", "before"), request(), nil, nil)
	x.serve(NewOperation("S", "across"), request(), nil, func(context.Context) { x.set(second.URL, 1) })
	x.serve(NewOperation("S", "after"), request(), nil, nil)
	x.set("", 1)
	x.serve(NewOperation("S", "off"), request(), nil, nil)
	old := first.WaitFor("what began before", func(s []otlptest.Span) bool { return len(s) == 2 })
	if s := second.Wait(1); len(s) != 1 || s[0].Name != "after" || old[0].Name != "before" || old[1].Name != "across" {
		t.Errorf("%+v and %+v", old, s)
	}
	x.end() // the collector has a span before its response is counted
	if text := scrape(t, x.metrics); !strings.Contains(text, "easymicro_trace_spans_exported_total 3") {
		t.Error(text)
	}
}

func TestAnUnreachableCollectorCostsOnlySpans(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	for _, scheme := range []string{"http", "grpc"} {
		t.Run(scheme, func(t *testing.T) {
			x := newTraced(t, scheme+"://"+ln.Addr().String(), 1)
			for range 10 {
				x.serve(mul, request(), nil, nil)
			}
			begin := time.Now()
			x.end()
			if took := time.Since(begin); took > flushTimeout+5*time.Second {
				t.Errorf("shutdown took %v", took)
			}
			if text := scrape(t, x.metrics); !strings.Contains(text, `easymicro_trace_spans_dropped_total{reason="export"} 10`) {
				t.Error(text)
			}
			if text := x.log.String(); strings.Count(text, "traces were not delivered") != 1 || !strings.Contains(text, "spans=10") {
				t.Error(text)
			}
		})
	}
}

func TestASlowCollectorFillsOnlyTheQueue(t *testing.T) {
	for _, protocol := range []string{"http", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			c := otlptest.Start(t, protocol)
			c.Hold.Store(true)
			x := newTraced(t, c.URL, 1)
			const calls = maxQueuedSpans + 1000
			for range calls {
				x.serve(mul, request(), nil, nil)
			}
			c.Asked()
			p := x.current.Load()
			if n := p.queue.queued.Load(); n > maxQueuedSpans {
				t.Errorf("%d spans wait", n)
			}
			c.Hold.Store(false)
			x.end()
			if n := len(c.Spans()); n > maxQueuedSpans || n < maxQueuedSpans/2 {
				t.Errorf("%d spans came", n)
			}
			text := scrape(t, x.metrics)
			if !strings.Contains(text, `easymicro_trace_spans_dropped_total{reason="queue_full"} 1000`) {
				t.Error(text)
			}
		})
	}
}

func TestAHangingCollectorDoesNotDelayShutdown(t *testing.T) {
	for _, protocol := range []string{"http", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			c := otlptest.Start(t, protocol)
			c.Hold.Store(true)
			x := newTraced(t, c.URL, 1)
			x.serve(mul, request(), nil, nil)
			c.Asked()
			ctx, cancel := context.WithCancel(context.Background())
			cancel()
			begin := time.Now()
			x.ended = true
			x.Shutdown(ctx)
			if took := time.Since(begin); took > flushTimeout {
				t.Errorf("shutdown took %v", took)
			}
		})
	}
}

func TestNewTracesHaveTheSampledID(t *testing.T) {
	c := otlptest.HTTP(t)
	x := newTraced(t, c.URL, 0.5)
	want := map[string]bool{}
	for range 50 {
		if tr := x.serve(mul, request(), nil, nil); tr.Recorded() {
			want[tr.ID()] = true
		}
	}
	x.end()
	for _, s := range c.Wait(len(want)) {
		id, _ := trace.TraceIDFromHex(s.Trace)
		if !want[s.Trace] || binary.BigEndian.Uint64(id[8:])>>1 >= 1<<62 {
			t.Errorf("trace %s", s.Trace)
		}
	}
}

// served is a host's state for each call, with the Trace in the same allocation.
type served struct {
	trace Trace
	call  *wire.Call
}

var sink context.Context

func (x *traced) oneCall(s *served, req *wire.Frame) {
	s.trace = Trace{}
	x.Begin(&s.trace, mul, s.call, req)
	sink = s.trace.Context(s.call)
	s.trace.End(nil, "web-1")
}

var costs = []struct {
	name     string
	on       bool
	ratio    float64
	metadata []string
}{
	{"off", false, 0, nil},
	{"off, carried on", false, 0, []string{"traceparent", sampledOne, "tracestate", "v=1"}},
	{"unsampled root", true, 0, nil},
	{"unsampled parent", true, 1, []string{"traceparent", ignoredOne, "tracestate", "v=1"}},
	{"sampled root", true, 1, nil},
	{"sampled parent", true, 0, []string{"traceparent", sampledOne}},
}

func TestCallsThatAreNotRecordedAllocateNothing(t *testing.T) {
	c := otlptest.HTTP(t)
	for _, tc := range costs[:4] {
		url := ""
		if tc.on {
			url = c.URL
		}
		x := newTraced(t, url, tc.ratio)
		req := request(tc.metadata...)
		s := &served{call: wire.NewCall(context.Background(), wire.CallOptions{})}
		if n := testing.AllocsPerRun(100, func() { x.oneCall(s, req) }); n != 0 {
			t.Errorf("%s: %v allocations", tc.name, n)
		}
		if tc.metadata == nil {
			continue
		}
		out := x.Wrap(x.metrics.Upstream("u"))(wire.HandlerFunc(func(context.Context, *wire.Frame, *wire.Frame) error { return nil }))
		to := &wire.Frame{Service: "S", Method: "M", Metadata: make(wire.Metadata, 0, 4)}
		if n := testing.AllocsPerRun(100, func() {
			to.Metadata = to.Metadata[:0]
			_ = out.Handle(sink, to, nil)
		}); n != 0 || to.Metadata.Get("traceparent") == "" {
			t.Errorf("%s: an outgoing call makes %v allocations and sends %v", tc.name, n, to.Metadata)
		}
	}
}

func BenchmarkTrace(b *testing.B) {
	c := otlptest.HTTP(b)
	for _, tc := range costs {
		b.Run(tc.name, func(b *testing.B) {
			url := ""
			if tc.on {
				url = c.URL
			}
			x := newTraced(b, url, tc.ratio)
			req := request(tc.metadata...)
			s := &served{call: wire.NewCall(context.Background(), wire.CallOptions{})}
			b.ReportAllocs()
			for b.Loop() {
				x.oneCall(s, req)
			}
		})
	}
}
