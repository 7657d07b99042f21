// Package otlptest provides trace collectors for tests, over OTLP/gRPC and OTLP/HTTP.
package otlptest

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"
)

// arrivalTimeout is how long spans may take to arrive before the test fails.
const arrivalTimeout = 20 * time.Second

// Span is a span as received, with IDs in hexadecimal.
type Span struct {
	Trace, ID, Parent string
	Service           string // of its resource
	Name              string
	Kind              string // SERVER, CLIENT, …
	Error             bool
	State             string            // tracestate
	Attributes        map[string]string // of the span
	Resource          map[string]string
	Events            []Event
	Start, End        time.Time
}

// Find returns the first span with this name and kind, or an empty one.
func Find(spans []Span, name, kind string) Span {
	for _, s := range spans {
		if s.Name == name && s.Kind == kind {
			return s
		}
	}
	return Span{}
}

// Event is an event of a span.
type Event struct {
	Name       string
	Attributes map[string]string
}

// Collector receives spans and keeps them.
type Collector struct {
	URL string // for telemetry.traces.otlpEndpoint

	// Hold delays the collector's responses while true.
	Hold atomic.Bool
	// Refuse makes the collector reject all spans.
	Refuse atomic.Bool

	t       testing.TB
	mu      sync.Mutex
	spans   []Span
	changed chan struct{} // closed and replaced when spans arrive
	batches int
	ended   chan struct{}

	collector.UnimplementedTraceServiceServer
}

func newCollector(t testing.TB) *Collector {
	return &Collector{t: t, changed: make(chan struct{}), ended: make(chan struct{})}
}

// HTTP starts a collector for OTLP/HTTP, which stops when the test ends.
func HTTP(t testing.TB) *Collector {
	c := newCollector(t)
	srv := httptest.NewServer(http.HandlerFunc(c.serveHTTP))
	c.URL = srv.URL
	t.Cleanup(func() {
		close(c.ended)
		srv.Close()
	})
	return c
}

// GRPC starts a collector for OTLP/gRPC, which stops when the test ends.
func GRPC(t testing.TB) *Collector {
	c := newCollector(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0") //nolint:noctx // of a test
	if err != nil {
		t.Fatal(err)
	}
	srv := grpc.NewServer()
	collector.RegisterTraceServiceServer(srv, c)
	served := make(chan error, 1)
	go func() { served <- srv.Serve(ln) }()
	c.URL = "grpc://" + ln.Addr().String()
	t.Cleanup(func() {
		close(c.ended)
		srv.Stop()
		if err := <-served; err != nil {
			t.Errorf("collector: %v", err)
		}
	})
	return c
}

// Start starts a collector for a protocol, grpc or http.
func Start(t testing.TB, protocol string) *Collector {
	if protocol == "grpc" {
		return GRPC(t)
	}
	return HTTP(t)
}

// Export receives spans over gRPC.
func (c *Collector) Export(ctx context.Context, req *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	if !c.take(ctx.Done(), req) {
		return nil, status.Error(codes.InvalidArgument, "refused by the test")
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (c *Collector) serveHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var req collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &req)
	}
	if err != nil || r.URL.Path != "/v1/traces" || !c.take(r.Context().Done(), &req) {
		http.Error(w, "refused by the test", http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

func (c *Collector) take(gone <-chan struct{}, req *collector.ExportTraceServiceRequest) bool {
	c.mu.Lock()
	c.batches++
	close(c.changed)
	c.changed = make(chan struct{})
	c.mu.Unlock()
	for c.Hold.Load() {
		select {
		case <-gone:
			return false
		case <-c.ended:
			return false
		case <-time.After(5 * time.Millisecond):
		}
	}
	if c.Refuse.Load() {
		return false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, resource := range req.GetResourceSpans() {
		of := attributes(resource.GetResource().GetAttributes())
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.spans = append(c.spans, read(s, of))
			}
		}
	}
	close(c.changed)
	c.changed = make(chan struct{})
	return true
}

func read(s *trace.Span, resource map[string]string) Span {
	span := Span{
		Trace: fmt.Sprintf("%x", s.GetTraceId()), ID: fmt.Sprintf("%x", s.GetSpanId()), Parent: fmt.Sprintf("%x", s.GetParentSpanId()),
		Service: resource["service.name"], Name: s.GetName(), Kind: s.GetKind().String()[len("SPAN_KIND_"):],
		Error: s.GetStatus().GetCode() == trace.Status_STATUS_CODE_ERROR, State: s.GetTraceState(),
		Attributes: attributes(s.GetAttributes()), Resource: resource,
		Start: time.Unix(0, int64(s.GetStartTimeUnixNano())), End: time.Unix(0, int64(s.GetEndTimeUnixNano())),
	}
	for _, e := range s.GetEvents() {
		span.Events = append(span.Events, Event{Name: e.GetName(), Attributes: attributes(e.GetAttributes())})
	}
	return span
}

func attributes(list []*common.KeyValue) map[string]string {
	m := make(map[string]string, len(list))
	for _, kv := range list {
		switch v := kv.GetValue().GetValue().(type) {
		case *common.AnyValue_StringValue:
			m[kv.GetKey()] = v.StringValue
		case *common.AnyValue_IntValue:
			m[kv.GetKey()] = fmt.Sprint(v.IntValue)
		default:
			m[kv.GetKey()] = fmt.Sprint(v)
		}
	}
	return m
}

// Spans returns the spans received so far.
func (c *Collector) Spans() []Span {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]Span(nil), c.spans...)
}

// Wait returns the spans once there are at least n.
func (c *Collector) Wait(n int) []Span {
	c.t.Helper()
	return c.WaitFor(fmt.Sprintf("%d spans", n), func(spans []Span) bool { return len(spans) >= n })
}

// WaitFor returns the spans once ok returns true for them.
func (c *Collector) WaitFor(what string, ok func([]Span) bool) []Span {
	c.t.Helper()
	deadline := time.After(arrivalTimeout)
	for {
		c.mu.Lock()
		spans, changed := append([]Span(nil), c.spans...), c.changed
		c.mu.Unlock()
		if ok(spans) {
			return spans
		}
		select {
		case <-changed:
		case <-deadline:
			c.t.Fatalf("the collector got no %s, but %+v", what, spans)
		}
	}
}

// Asked returns once a batch has arrived, accepted or not.
func (c *Collector) Asked() {
	c.t.Helper()
	deadline := time.After(arrivalTimeout)
	for {
		c.mu.Lock()
		batches, changed := c.batches, c.changed
		c.mu.Unlock()
		if batches > 0 {
			return
		}
		select {
		case <-changed:
		case <-deadline:
			c.t.Fatal("no batch arrived at the collector")
		}
	}
}
