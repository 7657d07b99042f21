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

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

const (
	spoolSpans    = 2048 // that wait for the collector, or are on their way to it
	batchSpans    = 512
	batchTime     = time.Second      // after which a batch that is not full goes out
	exportTimeout = 10 * time.Second // for one batch, attempts and all
)

// spool holds the spans that wait for their collector: so many and no more. Whoever ends a span never waits for it.
// Around OpenTelemetry's BatchSpanProcessor it adds what that does not tell: how many spans were dropped, and why a
// batch was not delivered.
type spool struct {
	exporter sdk.SpanExporter
	batches  sdk.SpanProcessor
	tracing  *Tracing
	target   Collector

	waiting atomic.Int64 // spans
	full    atomic.Int64 // spans that found no place since it was last told
	open    atomic.Int64 // spans that were started and not ended
	retired atomic.Bool
	closed  atomic.Bool
	idle    chan struct{} // closed when it is retired and no span is open
	once    sync.Once

	life context.Context //nolint:containedctx // its end cuts the export that is out
	cut  context.CancelFunc
}

func newSpool(t *Tracing, c Collector, exporter sdk.SpanExporter) *spool {
	s := &spool{exporter: exporter, tracing: t, target: c, idle: make(chan struct{})}
	s.life, s.cut = context.WithCancel(t.life)
	s.batches = sdk.NewBatchSpanProcessor(exportFrom{s},
		sdk.WithMaxQueueSize(spoolSpans), sdk.WithMaxExportBatchSize(batchSpans), sdk.WithBatchTimeout(batchTime),
		sdk.WithExportTimeout(exportTimeout))
	return s
}

// OnStart counts the spans that are still to come.
func (s *spool) OnStart(context.Context, sdk.ReadWriteSpan) { s.open.Add(1) }

// OnEnd takes a span, or drops it when there is no place.
func (s *spool) OnEnd(span sdk.ReadOnlySpan) {
	defer s.ended()
	switch {
	case s.closed.Load():
		s.dropped(1, dropLate)
	case s.waiting.Add(1) > spoolSpans:
		s.waiting.Add(-1)
		s.full.Add(1)
		s.tracing.options.Metrics.spanFull()
	default:
		s.batches.OnEnd(span)
	}
}

func (s *spool) ended() {
	if s.open.Add(-1) <= 0 && s.retired.Load() {
		s.once.Do(func() { close(s.idle) })
	}
}

// ForceFlush delivers what waits.
func (s *spool) ForceFlush(ctx context.Context) error { return s.batches.ForceFlush(ctx) }

// Shutdown does nothing: a spool ends with its pipeline, not with one of the providers that share it.
func (s *spool) Shutdown(context.Context) error { return nil }

// retire returns when no span is open any more, or when it is no longer worth waiting.
func (s *spool) retire(ending <-chan struct{}) {
	s.retired.Store(true)
	if s.open.Load() <= 0 {
		return
	}
	timer := time.NewTimer(quietTime)
	defer timer.Stop()
	select {
	case <-s.idle:
	case <-timer.C:
	case <-ending:
	}
}

// close delivers what waits, as far as it can be done in time, and leaves nothing running.
func (s *spool) close(within time.Duration) {
	timer := time.AfterFunc(within, s.cut)
	defer timer.Stop()
	s.closed.Store(true)
	if err := s.batches.Shutdown(context.Background()); err != nil {
		s.tracing.options.Log.Debug("the exporter of traces was not closed cleanly", "collector", s.target.String(), "error", err)
	}
	s.cut()
}

func (s *spool) dropped(n int, reason string) { s.tracing.options.Metrics.spansDropped(n, reason) }

// exportFrom hands batches to the exporter. It keeps errors from OpenTelemetry's global handler, which would write them
// to stderr.
type exportFrom struct{ *spool }

// ExportSpans delivers a batch.
func (e exportFrom) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	defer e.waiting.Add(-int64(len(spans)))
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
		e.tracing.options.Metrics.spansExported(len(spans))
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
func (e exportFrom) Shutdown(ctx context.Context) error { return e.exporter.Shutdown(ctx) }

func (s *spool) warn(msg string, spans int, more ...slog.Attr) {
	floods := s.tracing.options.Sampler
	if floods == nil {
		return
	}
	kind := LogKey{Subject: LogAttrs{{"collector", s.target.String()}}}
	floods.Log(slog.LevelWarn, msg, kind, func() []slog.Attr {
		return append([]slog.Attr{slog.Int("spans", spans)}, more...)
	})
}

// The pauses between attempts to deliver a batch grow from the first one to the longest.
const (
	firstRetry = 200 * time.Millisecond
	maxRetry   = 2 * time.Second
)

// newExporter makes the exporter for a collector, without contacting it. Headers, such as the key of a hosted collector,
// come from the variable OTEL_EXPORTER_OTLP_HEADERS, as for every program that speaks OTLP.
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
	reconnect := backoff.DefaultConfig // its longest pause is two minutes
	reconnect.BaseDelay, reconnect.MaxDelay = firstRetry, maxRetry
	options := []otlptracegrpc.Option{
		otlptracegrpc.WithEndpoint(c.Address), otlptracegrpc.WithTimeout(exportTimeout),
		otlptracegrpc.WithRetry(otlptracegrpc.RetryConfig{
			Enabled: true, InitialInterval: firstRetry, MaxInterval: maxRetry, MaxElapsedTime: exportTimeout,
		}),
		otlptracegrpc.WithDialOption(grpc.WithConnectParams(grpc.ConnectParams{Backoff: reconnect, MinConnectTimeout: maxRetry})),
	}
	if !c.TLS {
		options = append(options, otlptracegrpc.WithInsecure())
	}
	return otlptracegrpc.New(context.Background(), options...)
}

// httpExporter closes the connections that it has opened, which the exporter of the library keeps.
type httpExporter struct {
	sdk.SpanExporter
	transport *http.Transport
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
			Enabled: true, InitialInterval: firstRetry, MaxInterval: maxRetry, MaxElapsedTime: exportTimeout,
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

// Shutdown ends the exporter and its connections.
func (e *httpExporter) Shutdown(ctx context.Context) error {
	err := e.SpanExporter.Shutdown(ctx)
	e.transport.CloseIdleConnections()
	return err
}
