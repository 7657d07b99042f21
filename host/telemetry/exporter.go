package telemetry

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
)

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
