package main

import (
	"bytes"
	"cmp"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	trace "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// forest holds the traces that are still receiving spans.
type forest struct {
	out   io.Writer
	quiet time.Duration

	mu     sync.Mutex
	traces map[string]*tree // by trace ID
}

// tree is one trace.
type tree struct {
	spans []span
	timer *time.Timer // prints the trace once no more spans arrive
}

type span struct {
	*trace.Span
	service, host string
}

func newForest(out io.Writer, quiet time.Duration) *forest {
	return &forest{out: out, quiet: quiet, traces: make(map[string]*tree)}
}

func (f *forest) add(resource []*common.KeyValue, s *trace.Span) {
	f.mu.Lock()
	defer f.mu.Unlock()
	id := hex.EncodeToString(s.GetTraceId())
	t := f.traces[id]
	if t == nil {
		t = &tree{timer: time.AfterFunc(f.quiet, func() { f.done(id) })}
		f.traces[id] = t
	}
	t.timer.Reset(f.quiet)
	t.spans = append(t.spans, span{s, text(resource, "service.name"), text(resource, "service.instance.id")})
}

// done prints a trace and removes it.
func (f *forest) done(id string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.traces[id]; t != nil {
		t.timer.Stop()
		t.print(f.out, id)
		delete(f.traces, id)
	}
}

// close prints the remaining traces.
func (f *forest) close() {
	f.mu.Lock()
	var ids []string
	for id := range f.traces {
		ids = append(ids, id)
	}
	f.mu.Unlock()
	for _, id := range ids {
		f.done(id)
	}
}

func (t *tree) print(out io.Writer, id string) {
	slices.SortFunc(t.spans, func(a, b span) int { return cmp.Compare(a.GetStartTimeUnixNano(), b.GetStartTimeUnixNano()) })
	known := make(map[string]bool, len(t.spans))
	for _, s := range t.spans {
		known[string(s.GetSpanId())] = true
	}
	fmt.Fprintf(out, "\ntrace %s\n", id)
	for _, s := range t.spans {
		if !known[string(s.GetParentSpanId())] { // a root, or one whose parent was not received
			t.branch(out, s, 0)
		}
	}
}

func (t *tree) branch(out io.Writer, s span, depth int) {
	const nameWidth, whereWidth = 28, 40
	indent := strings.Repeat("  ", depth)
	took := time.Duration(s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano()).Round(10 * time.Microsecond)
	fmt.Fprintf(out, "%-*s %-*s %9s  %s\n", nameWidth, indent+s.GetName(), whereWidth, s.where(), took, s.outcome())
	for _, child := range t.spans {
		if bytes.Equal(child.GetParentSpanId(), s.GetSpanId()) {
			t.branch(out, child, depth+1)
		}
	}
}

func (s *span) where() string {
	switch s.GetKind() {
	case trace.Span_SPAN_KIND_SERVER:
		return fmt.Sprintf("%s serves it on %s over %s", s.service, s.host, s.text("network.protocol.name"))
	case trace.Span_SPAN_KIND_CLIENT:
		return fmt.Sprintf("%s calls %s:%s", s.service, s.text("server.address"), s.text("server.port"))
	default:
		return s.service
	}
}

func (s *span) outcome() string {
	result := s.text("rpc.status_code")
	if rule := s.text("easymicro.rule"); rule != "" {
		result += " by " + rule
	}
	return result
}

func (s *span) text(key string) string { return text(s.GetAttributes(), key) }

func text(attributes []*common.KeyValue, key string) string {
	for _, a := range attributes {
		if a.GetKey() != key {
			continue
		}
		if n, ok := a.GetValue().GetValue().(*common.AnyValue_IntValue); ok {
			return fmt.Sprint(n.IntValue)
		}
		return a.GetValue().GetStringValue()
	}
	return ""
}

// ServeHTTP receives a batch of spans, a protobuf message by POST (https://opentelemetry.io/docs/specs/otlp/).
func (f *forest) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	var batch collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(body, &batch)
	}
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/v1/traces" {
		http.Error(w, "POST /v1/traces takes an ExportTraceServiceRequest", http.StatusBadRequest)
		return
	}
	for _, resource := range batch.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				f.add(resource.GetResource().GetAttributes(), s)
			}
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}
