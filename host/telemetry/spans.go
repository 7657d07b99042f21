package telemetry

import "github.com/prometheus/client_golang/prometheus"

// Why a span never reached a collector.
const (
	dropFull   = "queue_full" // the collector is slower than the calls
	dropExport = "export"     // the collector is away, or would not have it
	dropLate   = "late"       // it ended after its collector was switched off
)

type spanMetrics struct {
	exported prometheus.Counter
	dropped  *prometheus.CounterVec
	full     prometheus.Counter // of dropped: counted by calls
}

func newSpanMetrics() spanMetrics {
	s := spanMetrics{
		exported: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "easymicro_trace_spans_exported_total",
			Help: "Spans that a collector has taken.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "easymicro_trace_spans_dropped_total",
			Help: "Recorded spans that reached no collector, by reason: queue_full, export, late.",
		}, []string{"reason"}),
	}
	for _, reason := range []string{dropFull, dropExport, dropLate} {
		s.dropped.WithLabelValues(reason) // so that an alert on the rate sees the first one
	}
	s.full = s.dropped.WithLabelValues(dropFull)
	return s
}

func (m *Metrics) spansExported(n int) {
	if m != nil {
		m.spans.exported.Add(float64(n))
	}
}

func (m *Metrics) spansDropped(n int, reason string) {
	if m != nil {
		m.spans.dropped.WithLabelValues(reason).Add(float64(n))
	}
}

// spanFull counts a span for which there was no place.
func (m *Metrics) spanFull() {
	if m != nil {
		m.spans.full.Inc()
	}
}
