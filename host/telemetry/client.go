package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// Wrap gives every call that goes out a span, the trace of its context, and a place in the metrics of m. It is made for
// the Wrap of a client's options: around the rules, so that a call is one span however often it is sent. Attempt tells
// of the attempts.
func (t *Tracing) Wrap(m *UpstreamMetrics) func(wire.Handler) wire.Handler {
	return func(next wire.Handler) wire.Handler { return &caller{tracing: t, metrics: m, next: next} }
}

type caller struct {
	tracing *Tracing
	metrics *UpstreamMetrics
	next    wire.Handler
}

// Handle makes a call.
func (c *caller) Handle(ctx context.Context, req, res *wire.Frame) error {
	begin := time.Now()
	service, method := req.Service, req.Method // the client may write them its own way
	span := c.tracing.begin(ctx, c.metrics.upstream, req)
	if span != nil {
		ctx = span
	}
	err := c.next.Handle(ctx, req, res)
	e := code.From(err)
	c.metrics.done(service, method, e, time.Since(begin))
	if span != nil {
		span.end(e)
	}
	return err
}

// begin puts the trace of ctx into the metadata of req. When the call is recorded it starts a span; otherwise the result
// is nil.
func (t *Tracing) begin(ctx context.Context, upstream string, req *wire.Frame) *clientSpan {
	p := t.current.Load()
	parent := trace.SpanFromContext(ctx)
	if passed, ok := parent.(*passedSpan); ok && (p == nil || !passed.of.ref.flags.IsSampled()) {
		passed.of.inject(&req.Metadata)
		return nil
	}
	sc := parent.SpanContext()
	if !sc.IsValid() {
		if p == nil {
			return nil
		}
		root := p.root() // a call that no call has caused
		if !root.flags.IsSampled() {
			inject(root.String(), "", &req.Metadata)
			return nil
		}
		return p.call(ctx, withRoot(root.trace), upstream, req)
	}
	if p == nil || !sc.IsSampled() {
		injectContext(sc, req)
		return nil
	}
	return p.call(ctx, ctx, upstream, req)
}

// call starts the span of a call that goes out; start is the context that says what it belongs to.
func (p *pipeline) call(ctx, start context.Context, upstream string, req *wire.Frame) *clientSpan {
	op := &Operation{name: clip(req.Service + "/" + req.Method)}
	if upstream == "" { // passed on for a caller
		upstream, op.hearsay = req.Service, true
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

func injectContext(sc trace.SpanContext, req *wire.Frame) {
	ref := refOf(sc)
	inject(ref.String(), sc.TraceState().String(), &req.Metadata)
}

type clientKey struct{}

// clientSpan is the context of a call that goes out.
type clientSpan struct {
	context.Context //nolint:containedctx // this type is a context
	op              *Operation
	span            trace.Span
}

func (c *clientSpan) Value(key any) any {
	switch key {
	case spanKey:
		return c.span
	case clientKey{}:
		return c
	}
	return c.Context.Value(key)
}

// AfterFunc spares contexts that are derived from c a goroutine.
func (c *clientSpan) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.Context, f) }

func (c *clientSpan) end(e *code.Error) {
	c.op.settle(c.span, e)
	c.span.SetAttributes(outcome(e)...)
	if e != nil {
		if e.Host != "" {
			c.span.SetAttributes(attrRefuser.String(clip(e.Host)))
		}
		c.span.SetStatus(codes.Error, clip(e.Message))
	}
	c.span.End()
}

// Attempt tells the span of a call that it was sent to an endpoint, and what came of it. It is made for the OnAttempt of
// a client's options.
func Attempt(ctx context.Context, endpoint string, err error) {
	c, ok := ctx.Value(clientKey{}).(*clientSpan)
	if !ok {
		return
	}
	at := endpointAttributes(make([]attribute.KeyValue, 0, 3), endpoint)
	c.span.SetAttributes(at...) // of several attempts the last one stays
	c.span.AddEvent(eventAttempt, trace.WithAttributes(append(at, outcome(code.From(err))...)...))
}
