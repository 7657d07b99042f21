package telemetry

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// Trace is the position of an incoming call in its trace; Tracing.Begin fills it in. A nil or zero Trace is valid and means
// a call without a trace, see Tracing.NeedsTrace. It must not be copied after Begin.
type Trace struct {
	context context.Context //nolint:containedctx // a Trace can be a context, see Context

	op     *Operation
	ref    spanRef    // the caller's span, or an unrecorded one; invalid: nothing to propagate
	remote bool       // ref is the caller's
	given  string     // the traceparent as received
	state  string     // the tracestate as received
	span   trace.Span // of this call; nil unless it is recorded
	passed passedSpan // what OpenTelemetry sees of a call that is not recorded
}

// ID returns the trace in hexadecimal digits: the one this call is recorded in, or its caller's; "" without either.
func (t *Trace) ID() string {
	if t == nil || t.span == nil && !t.remote {
		return ""
	}
	return t.ref.trace.String()
}

// Recorded reports whether the call has a span of its own here.
func (t *Trace) Recorded() bool { return t != nil && t.span != nil }

// Context returns parent with the trace in it, for OpenTelemetry (trace.SpanFromContext) and for the clients of Wrap. It
// does not allocate: the result is t itself, or parent if there is nothing to propagate.
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

// receive reads the caller's trace from the metadata.
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
	t.given, t.state = given, validTracestate(m.Get(metaTracestate))
	if given[:2] != "00" {
		t.given = ref.String()
	}
}

// inject writes the trace that was received, or the unrecorded one.
func (t *Trace) inject(m *wire.Metadata) {
	given := t.given
	if given == "" {
		given = t.ref.String()
	}
	inject(given, t.state, m)
}

func (t *Trace) spanContext() trace.SpanContext {
	c := trace.SpanContextConfig{TraceID: t.ref.trace, SpanID: t.ref.span, TraceFlags: t.ref.flags, Remote: t.remote}
	if t.state != "" {
		c.TraceState, _ = trace.ParseTraceState(t.state) // a malformed one counts as none
	}
	return trace.NewSpanContext(c)
}

// start returns the context in which to start a span: under the caller's, or as the root of a trace with a given ID.
func (t *Trace) start() context.Context {
	if t.remote {
		return trace.ContextWithRemoteSpanContext(context.Background(), t.spanContext())
	}
	return withRoot(t.ref.trace)
}

type rootKey struct{}

// withRoot returns a context for the root span of a trace.
func withRoot(id trace.TraceID) context.Context {
	return context.WithValue(context.Background(), rootKey{}, id)
}

// passedSpan is the span of a call that is not recorded. Its span context is made on demand.
type passedSpan struct {
	noop.Span
	of *Trace
}

func (s *passedSpan) SpanContext() trace.SpanContext { return s.of.spanContext() }

// spanKey is the key under which OpenTelemetry looks for the span of a context.
var spanKey = func() any {
	var p keyProbe
	trace.SpanFromContext(&p)
	return p.key
}()

// keyProbe is a context that records the key passed to Value.
type keyProbe struct {
	context.Context //nolint:containedctx // this type is a context
	key             any
}

func (p *keyProbe) Value(key any) any {
	p.key = key
	return nil
}

type (
	traceKey  struct{}
	clientKey struct{} // of the clientSpan
)

// traceContext is a Trace as a context.
type traceContext Trace

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
		return nil // hides the client span of another call
	}
	return c.context.Value(key)
}

func (c *traceContext) Deadline() (time.Time, bool) { return c.context.Deadline() }

func (c *traceContext) Done() <-chan struct{} { return c.context.Done() }

func (c *traceContext) Err() error { return c.context.Err() }

// AfterFunc saves contexts that are derived from c a goroutine.
func (c *traceContext) AfterFunc(f func()) (stop func() bool) { return context.AfterFunc(c.context, f) }

// TraceID returns the ID of the trace that ctx belongs to, in hexadecimal; "" without one, or if it is not recorded.
func TraceID(ctx context.Context) string {
	if t, ok := ctx.Value(traceKey{}).(*Trace); ok {
		return t.ID()
	}
	return ""
}
