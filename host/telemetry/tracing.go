package telemetry

import (
	"context"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"

	"github.com/easymicro/easymicro/wire"
)

// TracingOptions configure Tracing. All but Version are required.
type TracingOptions struct {
	Host    string // the host's name
	Version string
	Metrics *Metrics // counts exported and dropped spans
	Log     *slog.Logger
	Sampler *LogSampler // of Log; for warnings that repeat while a collector is unreachable
}

// flushTimeout bounds the delivery of the last spans to a collector.
const flushTimeout = 2 * time.Second

// Tracing makes the spans of one host. It is off at first; Set turns it on and off and changes the collector while calls
// run, and Shutdown ends it. All methods but Set and Shutdown may be called concurrently.
type Tracing struct {
	options  TracingOptions
	resource []attribute.KeyValue
	current  atomic.Pointer[pipeline] // nil: off

	ending   chan struct{}   // closed by Shutdown: calls in flight are not waited for any longer
	life     context.Context //nolint:containedctx // its end cancels the exports that are left at Shutdown
	cut      context.CancelFunc
	retiring sync.WaitGroup // queues that were switched off
}

// NewTracing returns the tracing of a host, turned off.
func NewTracing(o TracingOptions) *Tracing {
	t := &Tracing{options: o, ending: make(chan struct{})}
	t.life, t.cut = context.WithCancel(context.Background())
	t.resource = []attribute.KeyValue{attrInstance.String(clip(o.Host))}
	if o.Version != "" {
		t.resource = append(t.resource, attrServiceVersion.String(clip(o.Version)))
	}
	if machine, err := os.Hostname(); err == nil {
		t.resource = append(t.resource, attrHostName.String(clip(machine)))
	}
	return t
}

// Set changes the collector, and the fraction of calls without a trace that are recorded. A changed ratio takes effect at
// once; the previous collector gets its remaining spans in the background. Set does not contact a collector, and changes
// nothing if it fails.
func (t *Tracing) Set(c Collector, ratio float64) error {
	if p := t.current.Load(); p != nil && p.queue.collector == c {
		p.setRatio(ratio)
		return nil
	}
	if c.Address == "" {
		t.swap(nil)
		return nil
	}
	queue, err := newSpanQueue(t.life, c, &t.options)
	if err != nil {
		return err
	}
	next := &pipeline{host: t.options.Host, resource: t.resource, queue: queue}
	next.setRatio(ratio)
	t.swap(next)
	return nil
}

func (t *Tracing) swap(next *pipeline) {
	old := t.current.Swap(next)
	if old == nil {
		return
	}
	t.retiring.Go(func() {
		old.queue.retire(t.ending)
		old.queue.close(flushTimeout)
	})
}

// Shutdown turns tracing off and returns when all of its goroutines have ended. The remaining spans have until ctx ends,
// but at most two seconds, to reach their collector.
func (t *Tracing) Shutdown(ctx context.Context) {
	close(t.ending)
	t.swap(nil)
	stop := context.AfterFunc(ctx, t.cut)
	defer stop()
	t.retiring.Wait()
	t.cut()
}

// NeedsTrace reports whether a call needs a Trace: it has one, or may start one here. With tracing off most calls do not,
// which saves the memory.
func (t *Tracing) NeedsTrace(req *wire.Frame) bool {
	if t.current.Load() != nil {
		return true
	}
	_, ok := req.Metadata.Lookup(metaTraceparent)
	return ok
}

// Begin fills tr with the trace of a call, and starts the call's span if it is recorded. op is nil for an unknown method. A
// call that is not recorded propagates the trace it has, or an unsampled one.
func (t *Tracing) Begin(tr *Trace, op *Operation, call *wire.Call, req *wire.Frame) {
	tr.receive(req.Metadata)
	p := t.current.Load()
	if p == nil && !tr.remote {
		return
	}
	tr.op, tr.passed.of = op, tr
	if p == nil {
		return
	}
	if !tr.remote {
		tr.ref = p.root()
	}
	if !tr.ref.flags.IsSampled() {
		return
	}
	p.startServer(tr, call, req)
	own := refOf(tr.span.SpanContext())
	req.Metadata.Set(metaTraceparent, own.String()) // for handlers that copy metadata themselves
}

// Wrap returns a wrapper that starts a span for every outgoing call, propagates the trace of its context, and counts it in
// m. It is meant for a client's Wrap option, outside the rules, so that a call is one span however often it is sent;
// Attempt records the attempts.
func (t *Tracing) Wrap(m *UpstreamMetrics) func(wire.Handler) wire.Handler {
	return func(next wire.Handler) wire.Handler {
		return &tracedClient{pipeline: &t.current, metrics: m, next: next}
	}
}
