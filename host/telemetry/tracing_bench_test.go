package telemetry

import (
	"context"
	"testing"

	"github.com/easymicro/easymicro/host/telemetry/otlptest"
	"github.com/easymicro/easymicro/wire"
)

// served is what a host keeps for each call: a Trace in it costs no allocation of its own.
type served struct {
	trace Trace
	call  *wire.Call
}

var sink context.Context

func (x *traced) oneCall(s *served, req *wire.Frame) {
	s.trace = Trace{}
	x.Begin(&s.trace, mul, s.call, req)
	sink = s.trace.Context(s.call)
	s.trace.End(nil, "web-1")
}

var costs = []struct {
	name     string
	on       bool
	ratio    float64
	metadata []string
}{
	{"off", false, 0, nil},
	{"off, carried on", false, 0, []string{"traceparent", sampledOne, "tracestate", "v=1"}},
	{"unsampled root", true, 0, nil},
	{"unsampled parent", true, 1, []string{"traceparent", ignoredOne, "tracestate", "v=1"}},
	{"sampled root", true, 1, nil},
	{"sampled parent", true, 0, []string{"traceparent", sampledOne}},
}

func TestCallsThatAreNotRecordedAllocateNothing(t *testing.T) {
	c := otlptest.HTTP(t)
	for _, tc := range costs[:4] {
		url := ""
		if tc.on {
			url = c.URL
		}
		x := newTraced(t, url, tc.ratio)
		req := request(tc.metadata...)
		s := &served{call: wire.NewCall(context.Background(), wire.CallOptions{})}
		if n := testing.AllocsPerRun(100, func() { x.oneCall(s, req) }); n != 0 {
			t.Errorf("%s: %v allocations", tc.name, n)
		}
		if tc.metadata == nil {
			continue
		}
		out := x.Wrap(x.metrics.Upstream("u"))(wire.HandlerFunc(func(context.Context, *wire.Frame, *wire.Frame) error { return nil }))
		to := &wire.Frame{Service: "S", Method: "M", Metadata: make(wire.Metadata, 0, 4)}
		if n := testing.AllocsPerRun(100, func() {
			to.Metadata = to.Metadata[:0]
			_ = out.Handle(sink, to, nil)
		}); n != 0 || to.Metadata.Get("traceparent") == "" {
			t.Errorf("%s: a call that goes out makes %v allocations and sends %v", tc.name, n, to.Metadata)
		}
	}
}

func BenchmarkTrace(b *testing.B) {
	c := otlptest.HTTP(b)
	for _, tc := range costs {
		b.Run(tc.name, func(b *testing.B) {
			url := ""
			if tc.on {
				url = c.URL
			}
			x := newTraced(b, url, tc.ratio)
			req := request(tc.metadata...)
			s := &served{call: wire.NewCall(context.Background(), wire.CallOptions{})}
			b.ReportAllocs()
			for b.Loop() {
				x.oneCall(s, req)
			}
		})
	}
}
