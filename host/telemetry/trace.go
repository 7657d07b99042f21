package telemetry

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// Trace is where one call that is served stands in its trace. Tracing.Begin fills it. The nil Trace and the zero Trace
// are those of a call without one, see Tracing.Concerns. It must not be copied once it was begun.
type Trace struct {
	context context.Context //nolint:containedctx // a Trace with something to carry is a context, see Context

	op     *Operation
	ref    spanRef    // the caller's span, or what stands for ours when it is not recorded; invalid: there is nothing to carry
	remote bool       // ref is the caller's
	given  string     // the traceparent as it came
	state  string     // the tracestate as it came
	span   trace.Span // ours; nil unless it is recorded
	passed passedSpan // what OpenTelemetry sees of a span that is not
}

// ID is the trace in hexadecimal digits: the one that this call is recorded in, or else its caller's; "" without either.
func (t *Trace) ID() string {
	if t == nil || t.span == nil && !t.remote {
		return ""
	}
	return t.ref.trace.String()
}

// Recorded tells that the call has a span of its own here.
func (t *Trace) Recorded() bool { return t != nil && t.span != nil }

// Context is parent with the trace in it, for OpenTelemetry (trace.SpanFromContext) and for the clients of Wrap. It
// costs nothing: the result is t itself, or parent when there is nothing to carry.
func (t *Trace) Context(parent context.Context) context.Context {
	if t == nil || !t.ref.valid() {
		return parent
	}
	t.context = parent
	return (*traceContext)(t)
}

// End ends the span with the outcome of the call; e is nil for a success.
func (t *Trace) End(e *code.Error, caller string) {
	if !t.Recorded() {
		return
	}
	t.op.settle(t.span, e)
	t.span.SetAttributes(outcome(e)...)
	if caller != "" {
		t.span.SetAttributes(attrCaller.String(clip(caller)))
	}
	if e != nil && serverFault(e.Code) {
		t.span.SetStatus(codes.Error, clip(e.Message))
	}
	t.span.End()
}

// receive takes the caller's context out of the metadata.
func (t *Trace) receive(m wire.Metadata) {
	given, ok := m.Lookup(metaTraceparent)
	if !ok {
		return
	}
	ref, ok := parseTraceparent(given)
	if !ok {
		return
	}
	t.ref, t.remote = ref, true
	t.given, t.state = given, passable(m.Get(metaTracestate))
	if given[:2] != "00" {
		t.given = ref.String()
	}
}

// inject writes what was received, or what stands for a call that is not recorded.
func (t *Trace) inject(m *wire.Metadata) {
	given := t.given
	if given == "" {
		given = t.ref.String()
	}
	inject(given, t.state, m)
}

// inject writes a traceparent and its tracestate. Pairs that are there may be those of a request that is passed on, which
// others read at the same time: they are left as they are.
func inject(traceparent, tracestate string, m *wire.Metadata) {
	if replaces(*m, metaTraceparent, traceparent) || replaces(*m, metaTracestate, tracestate) {
		*m = slices.Clone(*m)
	}
	m.Set(metaTraceparent, traceparent)
	if tracestate == "" {
		m.Del(metaTracestate) // of another trace
		return
	}
	m.Set(metaTracestate, tracestate)
}

func replaces(m wire.Metadata, key, value string) bool {
	old, ok := m.Lookup(key)
	return ok && old != value
}

func (t *Trace) spanContext() trace.SpanContext {
	c := trace.SpanContextConfig{TraceID: t.ref.trace, SpanID: t.ref.span, TraceFlags: t.ref.flags, Remote: t.remote}
	if t.state != "" {
		c.TraceState, _ = trace.ParseTraceState(t.state) // what is malformed counts as none
	}
	return trace.NewSpanContext(c)
}

// start is the context that a span is started in: under the caller's, or as the first of a trace whose ID is chosen.
func (t *Trace) start() context.Context {
	if t.remote {
		return trace.ContextWithRemoteSpanContext(context.Background(), t.spanContext())
	}
	return withRoot(t.ref.trace)
}

// passedSpan is the span of a call that is not recorded, made when somebody asks for it.
type passedSpan struct {
	noop.Span
	of *Trace
}

func (s *passedSpan) SpanContext() trace.SpanContext { return s.of.spanContext() }

// traceContext is a Trace as a context.
type traceContext Trace

// spanKey is the key under which OpenTelemetry looks for the span of a context.
var spanKey = func() any {
	var p keyProbe
	trace.SpanFromContext(&p)
	return p.key
}()

// keyProbe is a context that remembers what it was asked for.
type keyProbe struct {
	context.Context //nolint:containedctx // this type is a context
	key             any
}

func (p *keyProbe) Value(key any) any {
	p.key = key
	return nil
}

type traceKey struct{}

func (c *traceContext) Value(key any) any {
	switch key {
	case spanKey:
		if c.span != nil {
			return c.span
		}
		return &c.passed
	case traceKey{}:
		return (*Trace)(c)
	case clientKey{}:
		return nil // a client span further up is not ours
	}
	return c.context.Value(key)
}

func (c *traceContext) Deadline() (time.Time, bool) { return c.context.Deadline() }

func (c *traceContext) Done() <-chan struct{} { return c.context.Done() }

func (c *traceContext) Err() error { return c.context.Err() }

// AfterFunc spares contexts that are derived from c a goroutine.
func (c *traceContext) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.context, f) }

// TraceID is the trace that ctx belongs to, in hexadecimal digits; "" without one, and when nobody records it.
func TraceID(ctx context.Context) string {
	if t, ok := ctx.Value(traceKey{}).(*Trace); ok {
		return t.ID()
	}
	return ""
}
