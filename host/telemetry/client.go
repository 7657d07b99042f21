package telemetry

import (
	"context"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// tracedClient is a handler that traces and counts the calls it sends.
type tracedClient struct {
	pipeline *atomic.Pointer[pipeline]
	metrics  *UpstreamMetrics
	next     wire.Handler
}

// Handle makes a call.
func (c *tracedClient) Handle(ctx context.Context, req, res *wire.Frame) error {
	begin := time.Now()
	service, method := req.Service, req.Method // the client may change their spelling
	span := c.begin(ctx, req)
	if span != nil {
		ctx = span
	}
	err := c.next.Handle(ctx, req, res)
	e := code.From(err)
	took := time.Since(begin)
	c.metrics.done(service, method, e, begin.Add(took), took)
	if span != nil {
		span.end(e)
	}
	return err
}

// begin writes the trace of ctx into the metadata of req, and starts a span if the call is recorded; otherwise it returns
// nil.
func (c *tracedClient) begin(ctx context.Context, req *wire.Frame) *clientSpan {
	p := c.pipeline.Load()
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
		root := p.root() // not made on behalf of another call
		if !root.flags.IsSampled() {
			inject(root.String(), "", &req.Metadata)
			return nil
		}
		return p.startClient(ctx, withRoot(root.trace), c.metrics.upstream, req)
	}
	if p == nil || !sc.IsSampled() {
		injectContext(sc, req)
		return nil
	}
	return p.startClient(ctx, ctx, c.metrics.upstream, req)
}

// Attempt records an attempt, with its endpoint and outcome, in the span of its call. It is meant for a client's OnAttempt
// option.
func Attempt(ctx context.Context, endpoint string, err error) {
	c, ok := ctx.Value(clientKey{}).(*clientSpan)
	if !ok {
		return
	}
	at := endpointAttributes(make([]attribute.KeyValue, 0, 3), endpoint)
	c.span.SetAttributes(at...) // the last attempt overwrites earlier ones
	c.span.AddEvent(eventAttempt, trace.WithAttributes(append(at, outcome(code.From(err))...)...))
}

// clientSpan is the context of an outgoing call.
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

// AfterFunc saves a goroutine for each context derived from c.
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
