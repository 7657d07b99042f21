package telemetry

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

const (
	maxQueuedSpans = 2048 // waiting for the collector, or being sent
	batchSpans     = 512
	batchTime      = time.Second      // after which a batch is sent that is not full
	exportTimeout  = 10 * time.Second // of one batch, retries included
	drainTimeout   = 30 * time.Second // for the spans of calls in flight when the collector changes

	// Pauses between attempts to deliver a batch.
	minBackoff = 200 * time.Millisecond
	maxBackoff = 2 * time.Second
)

// Collector is where spans are sent.
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

// Reasons for which a span was not exported.
const (
	dropFull   = "queue_full" // the collector is slower than the calls
	dropExport = "export"     // the collector is unreachable or rejected it
	dropLate   = "late"       // it ended after its collector was switched off
)

// spanMetrics count the spans that are exported and dropped.
type spanMetrics struct {
	exported prometheus.Counter
	dropped  *prometheus.CounterVec
	full     prometheus.Counter // of dropped: incremented on the path of calls
}

func newSpanMetrics() *spanMetrics {
	m := &spanMetrics{
		exported: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "easymicro_trace_spans_exported_total",
			Help: "Spans exported to the collector.",
		}),
		dropped: newCounters("easymicro_trace_spans_dropped_total",
			"Recorded spans that were not exported, by reason (queue_full, export, late).", "reason"),
	}
	for _, reason := range []string{dropFull, dropExport, dropLate} {
		m.dropped.WithLabelValues(reason) // an alert on the rate needs the zero before the first one
	}
	m.full = m.dropped.WithLabelValues(dropFull)
	return m
}

// spanQueue is a bounded queue of spans for a collector. Ending a span never blocks. It wraps OpenTelemetry's
// BatchSpanProcessor, which does not report how many spans it drops and why a batch was not delivered.
type spanQueue struct {
	exporter  sdk.SpanExporter
	batches   sdk.SpanProcessor
	collector Collector
	metrics   *spanMetrics
	log       *slog.Logger
	sampler   *LogSampler // of log

	queued  atomic.Int64 // spans
	full    atomic.Int64 // spans dropped because it was full since the last warning
	open    atomic.Int64 // spans that were started and not ended
	retired atomic.Bool
	closed  atomic.Bool
	idle    chan struct{} // closed once it is retired and no span is open
	once    sync.Once

	life context.Context //nolint:containedctx // its end cancels the export in progress
	cut  context.CancelFunc
}

// newSpanQueue returns a queue for a collector, without contacting it. When life ends, the remaining spans are dropped.
func newSpanQueue(life context.Context, c Collector, o *TracingOptions) (*spanQueue, error) {
	exporter, err := newExporter(c)
	if err != nil {
		return nil, err
	}
	q := &spanQueue{exporter: exporter, collector: c, metrics: o.Metrics.spans, log: o.Log, sampler: o.Sampler, idle: make(chan struct{})}
	q.life, q.cut = context.WithCancel(life)
	q.batches = sdk.NewBatchSpanProcessor(batchExporter{q},
		sdk.WithMaxQueueSize(maxQueuedSpans), sdk.WithMaxExportBatchSize(batchSpans), sdk.WithBatchTimeout(batchTime),
		sdk.WithExportTimeout(exportTimeout))
	return q, nil
}

// OnStart counts a span as open.
func (q *spanQueue) OnStart(context.Context, sdk.ReadWriteSpan) { q.open.Add(1) }

// OnEnd queues a span, or drops it when the queue is full.
func (q *spanQueue) OnEnd(span sdk.ReadOnlySpan) {
	defer q.ended()
	switch {
	case q.closed.Load():
		q.dropped(1, dropLate)
	case q.queued.Add(1) > maxQueuedSpans:
		q.queued.Add(-1)
		q.full.Add(1)
		q.metrics.full.Inc()
	default:
		q.batches.OnEnd(span)
	}
}

func (q *spanQueue) ended() {
	if q.open.Add(-1) <= 0 && q.retired.Load() {
		q.once.Do(func() { close(q.idle) })
	}
}

// ForceFlush delivers the queued spans.
func (q *spanQueue) ForceFlush(ctx context.Context) error { return q.batches.ForceFlush(ctx) }

// Shutdown does nothing: the queue ends with its pipeline, not with one of the providers that share it.
func (q *spanQueue) Shutdown(context.Context) error { return nil }

// retire returns when no span is open any more, after drainTimeout or when ending is closed.
func (q *spanQueue) retire(ending <-chan struct{}) {
	q.retired.Store(true)
	if q.open.Load() <= 0 {
		return
	}
	timer := time.NewTimer(drainTimeout)
	defer timer.Stop()
	select {
	case <-q.idle:
	case <-timer.C:
	case <-ending:
	}
}

// close delivers the queued spans as far as time allows, and leaves nothing running.
func (q *spanQueue) close(within time.Duration) {
	timer := time.AfterFunc(within, q.cut)
	defer timer.Stop()
	q.closed.Store(true)
	if err := q.batches.Shutdown(context.Background()); err != nil {
		q.log.Debug("trace exporter not closed cleanly", "collector", q.collector.String(), "error", err)
	}
	q.cut()
}

func (q *spanQueue) dropped(n int, reason string) {
	q.metrics.dropped.WithLabelValues(reason).Add(float64(n))
}

func (q *spanQueue) warn(msg string, spans int, more ...slog.Attr) {
	q.sampler.Log(slog.LevelWarn, msg, LogKey{Subject: LogAttrs{{"collector", q.collector.String()}}}, func() []slog.Attr {
		return append([]slog.Attr{slog.Int("spans", spans)}, more...)
	})
}

// batchExporter hands batches to the exporter. It keeps errors from OpenTelemetry's global handler, which writes to
// stderr.
type batchExporter struct{ *spanQueue }

// ExportSpans delivers a batch.
func (e batchExporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	defer e.queued.Add(-int64(len(spans)))
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(e.life, cancel)
	defer stop()
	err := ctx.Err()
	if e.life.Err() != nil {
		err = context.Cause(e.life)
	} else if err == nil {
		err = e.exporter.ExportSpans(ctx, spans)
	}
	if err == nil {
		e.metrics.exported.Add(float64(len(spans)))
	} else {
		e.dropped(len(spans), dropExport)
		e.warn("traces were not delivered", len(spans), slog.String("error", clip(err.Error())))
	}
	if n := e.full.Swap(0); n > 0 {
		e.warn("traces were dropped: the collector is too slow", int(n))
	}
	return nil
}

// Shutdown ends the exporter.
func (e batchExporter) Shutdown(ctx context.Context) error { return e.exporter.Shutdown(ctx) }

// newExporter returns the exporter for a collector, without contacting it. Headers, such as the key of a hosted
// collector, are taken from the variable OTEL_EXPORTER_OTLP_HEADERS, as in every program that speaks OTLP.
func newExporter(c Collector) (sdk.SpanExporter, error) {
	open := newHTTPExporter
	if c.GRPC {
		open = newGRPCExporter
	}
	exporter, err := open(c)
	if err != nil {
		return nil, fmt.Errorf("traces to %s: %w", c, err)
	}
	return exporter, nil
}

func newGRPCExporter(c Collector) (sdk.SpanExporter, error) {
	reconnect := backoff.DefaultConfig // whose longest pause is two minutes
	reconnect.BaseDelay, reconnect.MaxDelay = minBackoff, maxBackoff
	options := []otlptracegrpc.Option{
		otlptracegrpc.WithEndpoint(c.Address), otlptracegrpc.WithTimeout(exportTimeout),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{
			Enabled: true, InitialInterval: minBackoff, MaxInterval: maxBackoff, MaxElapsedTime: exportTimeout,
		}),
		otlptracegrpc.WithDialOption(grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: maxBackoff})),
	}
	if !c.TLS {
		options = append(options, otlptracegrpc.WithInsecure())
	}
	return otlptracegrpc.New(context.Background(), options...)
}

func newHTTPExporter(c Collector) (sdk.SpanExporter, error) {
	original, ok := http.DefaultTransport.(*http.Transport)
	if !ok {
		return nil, errors.New("http.DefaultTransport was replaced")
	}
	transport := original.Clone()
	options := []otlptracehttp.Option{
		otlptracehttp.WithEndpoint(c.Address), otlptracehttp.WithURLPath(c.Path),
		otlptracehttp.WithHTTPClient(&http.Client{Transport: transport, Timeout: exportTimeout}),
		otlptracehttp.WithRetry(otlptracehttp.RetryConfig{
			Enabled: true, InitialInterval: minBackoff, MaxInterval: maxBackoff, MaxElapsedTime: exportTimeout,
		}),
	}
	if !c.TLS {
		options = append(options, otlptracehttp.WithInsecure())
	}
	exporter, err := otlptracehttp.New(context.Background(), options...)
	if err != nil {
		return nil, err
	}
	return &httpExporter{exporter, transport}, nil
}

// httpExporter closes the connections it has opened, which the exporter of the library keeps.
type httpExporter struct {
	sdk.SpanExporter
	transport *http.Transport
}

// Shutdown ends the exporter and its connections.
func (e *httpExporter) Shutdown(ctx context.Context) error {
	err := e.SpanExporter.Shutdown(ctx)
	e.transport.CloseIdleConnections()
	return err
}
