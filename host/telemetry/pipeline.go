package telemetry

import (
	"cmp"
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/easymicro/easymicro/wire"
)

const scope = "github.com/easymicro/easymicro/host/telemetry"

// pipeline makes spans and queues them for one collector.
type pipeline struct {
	host     string
	resource []attribute.KeyValue
	queue    *spanQueue
	bound    atomic.Uint64 // see samples
	tracers  sync.Map      // trace.Tracer by service: each is a resource of its own
}

// setRatio sets the fraction of new traces that are recorded.
func (p *pipeline) setRatio(ratio float64) {
	p.bound.Store(uint64(math.Min(math.Max(ratio, 0), 1) * (1 << 63)))
}

// samples decides by the lower half of the trace ID, like OpenTelemetry's TraceIDRatioBased, so that all processes decide
// alike about a trace.
func (p *pipeline) samples(low uint64) bool { return low>>1 < p.bound.Load() }

// ShouldSample decides for spans started by handlers: they follow their parent; new traces are sampled by ratio.
func (p *pipeline) ShouldSample(s sdk.SamplingParameters) sdk.SamplingResult {
	parent := trace.SpanContextFromContext(s.ParentContext)
	sampled := parent.IsSampled()
	if !parent.IsValid() {
		sampled = p.samples(binary.BigEndian.Uint64(s.TraceID[8:]))
	}
	r := sdk.SamplingResult{Decision: sdk.Drop, Tracestate: parent.TraceState()}
	if sampled {
		r.Decision = sdk.RecordAndSample
	}
	return r
}

// Description names the sampler.
func (p *pipeline) Description() string { return "ParentBased{TraceIDRatioBased}" }

// tracer returns the tracer of a service. Its spans have the service's name, or without a service the host's, as their
// resource's service.name.
func (p *pipeline) tracer(service string) trace.Tracer {
	if t, ok := p.tracers.Load(service); ok {
		return t.(trace.Tracer) //nolint:forcetypeassert // nothing else is stored
	}
	attrs := append(slices.Clone(p.resource), attrServiceName.String(clip(cmp.Or(service, p.host))))
	provider := sdk.NewTracerProvider(
		sdk.WithResource(resource.NewWithAttributes(schemaURL, attrs...)),
		sdk.WithSampler(p), sdk.WithIDGenerator(ids{}), sdk.WithSpanProcessor(p.queue),
	)
	t, _ := p.tracers.LoadOrStore(service, provider.Tracer(scope, trace.WithSchemaURL(schemaURL)))
	return t.(trace.Tracer) //nolint:forcetypeassert // nothing else is stored
}

// startServer starts the span of an incoming call.
func (p *pipeline) startServer(tr *Trace, call *wire.Call, req *wire.Frame) {
	op, asked := tr.op, ""
	if op == nil {
		op, asked = unknown, req.Service+"/"+req.Method
	}
	attrs := op.attributes(make([]attribute.KeyValue, 0, 8), asked)
	attrs = append(attrs, attrServerAddress.String(p.host), attrProtocol.String(transportLabel(call.Transport())))
	if peer := call.Peer(); peer.IsValid() {
		attrs = append(attrs, attrTransport.String("tcp"), attrClientAddress.String(peer.String()))
	}
	_, tr.span = p.tracer(op.service).Start(tr.start(), op.spanName(),
		trace.WithSpanKind(trace.SpanKindServer), trace.WithTimestamp(call.Arrived()), trace.WithAttributes(attrs...))
}

// startClient starts the span of an outgoing call, under the parent in start.
func (p *pipeline) startClient(ctx, start context.Context, upstream string, req *wire.Frame) *clientSpan {
	op := &Operation{name: clip(req.Service + "/" + req.Method)}
	if upstream == "" { // forwarded for a caller
		upstream, op.unverified = req.Service, true
	}
	if t, ok := ctx.Value(traceKey{}).(*Trace); ok && t.op != nil {
		op.service = t.op.service
	}
	attrs := op.attributes(make([]attribute.KeyValue, 0, 4), "")
	_, span := p.tracer(op.service).Start(start, op.spanName(), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(append(attrs, attrUpstream.String(clip(upstream)))...))
	injectContext(span.SpanContext(), req)
	return &clientSpan{Context: ctx, op: op, span: span}
}

// root returns a new trace, sampled or not.
func (p *pipeline) root() spanRef {
	var r spanRef
	high, low := rand.Uint64(), rand.Uint64()
	binary.BigEndian.PutUint64(r.trace[:8], high|1) // zero is not valid
	binary.BigEndian.PutUint64(r.trace[8:], low)
	binary.BigEndian.PutUint64(r.span[:], (high^low)|1) // recorded nowhere
	if p.samples(low) {
		r.flags = trace.FlagsSampled
	}
	return r
}

// ids gives a new trace the ID for which it was sampled.
type ids struct{}

func (ids) NewIDs(ctx context.Context) (id trace.TraceID, span trace.SpanID) {
	id, ok := ctx.Value(rootKey{}).(trace.TraceID)
	if !ok {
		binary.BigEndian.PutUint64(id[:8], rand.Uint64()|1)
		binary.BigEndian.PutUint64(id[8:], rand.Uint64())
	}
	return id, ids{}.NewSpanID(ctx, id)
}

func (ids) NewSpanID(context.Context, trace.TraceID) (id trace.SpanID) {
	binary.BigEndian.PutUint64(id[:], rand.Uint64()|1)
	return id
}
