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

// TracingOptions say whose traces these are.
type TracingOptions struct {
	Host    string // the host's name
	Version string
	Metrics *Metrics     // counts spans that are sent and dropped
	Log     *slog.Logger // nil discards
	Sampler *LogSampler  // of Log; for what repeats while a collector is away
}

// Collector is where spans go.
type Collector struct {
	GRPC    bool // OTLP/gRPC; otherwise OTLP/HTTP
	TLS     bool
	Address string // host:port; empty: tracing is off
	Path    string // of OTLP/HTTP
}

func (c Collector) String() string {
	scheme := "http"
	if c.GRPC {
		scheme = "grpc"
	}
	if c.TLS {
		scheme += "s"
	}
	return scheme + "://" + c.Address + c.Path
}

const (
	// quietTime is how long a collector that is no longer asked for gets the spans of calls in flight.
	quietTime = 30 * time.Second
	// flushTime is what the last spans may take on their way to a collector.
	flushTime = 2 * time.Second
)

// Tracing makes the spans of one host. It starts off, is switched on, over and off by Set while calls run, and ends with
// Shutdown. All methods may be called concurrently, but for Set and Shutdown.
type Tracing struct {
	options  TracingOptions
	resource []attribute.KeyValue
	current  atomic.Pointer[pipeline] // nil: off

	ending   chan struct{}   // closed by Shutdown: nobody waits for calls in flight any more
	life     context.Context //nolint:containedctx // its end cuts the exports that are left at Shutdown
	cut      context.CancelFunc
	retiring sync.WaitGroup // pipelines that were switched off
}

// NewTracing makes the tracing of a host, switched off.
func NewTracing(o TracingOptions) *Tracing {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
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

// Set sends spans to a collector from now on, and samples a share of the calls that come without a trace. A changed
// ratio takes effect at once; with another collector the one before gets what is left, in the background. It contacts
// nobody. With an error nothing changes.
func (t *Tracing) Set(c Collector, ratio float64) error {
	old := t.current.Load()
	if old != nil && old.collector == c {
		old.sample(ratio)
		return nil
	}
	var next *pipeline
	if c.Address != "" {
		var err error
		if next, err = t.newPipeline(c); err != nil {
			return err
		}
		next.sample(ratio)
	}
	t.swap(next)
	return nil
}

func (t *Tracing) swap(next *pipeline) {
	old := t.current.Swap(next)
	if old == nil {
		return
	}
	t.retiring.Go(func() {
		old.spool.retire(t.ending)
		old.spool.close(flushTime)
	})
}

// Shutdown switches tracing off and returns when nothing of it runs any more. Spans that are still here have until ctx
// ends, and not longer than two seconds, to reach their collector.
func (t *Tracing) Shutdown(ctx context.Context) {
	close(t.ending)
	t.swap(nil)
	stop := context.AfterFunc(ctx, t.cut)
	defer stop()
	t.retiring.Wait()
	t.cut()
}

// Concerns tells whether a call needs a Trace: it brings one, or may be given one here. Most calls of a host without
// tracing do not, and need not have the room for it.
func (t *Tracing) Concerns(req *wire.Frame) bool {
	if t.current.Load() != nil {
		return true
	}
	_, ok := req.Metadata.Lookup(metaTraceparent)
	return ok
}

// Begin finds out where a call stands in its trace, for tr, and starts its span if it is to be recorded. op is nil for a
// method that is not known. A call that is not recorded carries on what it came with, or the word that nobody further
// down needs to record it either.
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
	p.serve(tr, call, req)
	// Handlers that pass metadata on by hand pass on the right thing.
	own := refOf(tr.span.SpanContext())
	req.Metadata.Set(metaTraceparent, own.String())
}
