// Package telemetry counts, times and traces what a host does, and writes its log: Prometheus metrics whose handles are
// resolved once per generation, OpenTelemetry spans, and slog handlers for terminals and for machines.
package telemetry

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Build says which binary runs.
type Build struct{ Version, Revision, GoVersion string }

// Options is what New is told.
type Options struct{ Build Build }

// Metrics holds the metrics of one host in a registry of its own. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	seconds  *prometheus.HistogramVec
	calls    *prometheus.HistogramVec // to upstreams
	spans    spanMetrics
	conns    *prometheus.GaugeVec
	wireErrs *prometheus.CounterVec

	acceptErrs *prometheus.CounterVec
	policy     policyMetrics
	others     map[string]*MethodMetrics // by transport; never changes
	source     atomic.Pointer[func(*Emitter)]

	mu        sync.Mutex
	methods   map[methodKey]*MethodMetrics
	leaving   []*MethodMetrics // dropped, with calls still in flight
	reasons   map[string]prometheus.Counter
	upstreams map[string]*UpstreamMetrics
}

// buckets are the boundaries that OpenTelemetry advises, and two below a millisecond.
var buckets = []float64{.0001, .0005, .005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}

// New makes the metrics of a host.
func New(o Options) *Metrics {
	m := &Metrics{
		registry: prometheus.NewRegistry(),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "rpc_server_call_duration_seconds",
			Help:    "Time from the arrival of a call to its answer. The count is the number of calls.",
			Buckets: buckets,
		}, []string{"rpc_system_name", "rpc_method", "rpc_status_code", "transport"}),
		conns: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "easymicro_connections",
			Help: "Open connections by listener and by the protocol that their first byte told.",
		}, []string{"listener", "protocol"}),
		wireErrs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "easymicro_wire_errors_total",
			Help: "Connections and frames that were cut off or refused before they became a call, by reason.",
		}, []string{"reason"}),
		acceptErrs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "easymicro_accept_errors_total",
			Help: "Connections not accepted, by reason: no_descriptors, accept_failed, too_many_connections (of admin and health: closed for a new one).",
		}, []string{"listener", "reason"}),
		calls:     newClientSeconds(buckets),
		spans:     newSpanMetrics(),
		policy:    newPolicyMetrics(),
		others:    make(map[string]*MethodMetrics, len(transports)),
		methods:   make(map[methodKey]*MethodMetrics),
		reasons:   make(map[string]prometheus.Counter),
		upstreams: make(map[string]*UpstreamMetrics),
	}
	for _, t := range transports {
		m.others[t] = &MethodMetrics{metrics: m, key: methodKey{otherMethod, t}}
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "easymicro_build_info",
		Help: "Always 1; the labels say which binary runs.",
		ConstLabels: prometheus.Labels{
			"version": label(o.Build.Version), "revision": label(o.Build.Revision), "goversion": label(o.Build.GoVersion),
		},
	})
	build.Set(1)
	inflight := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "easymicro_inflight_requests",
		Help: "Calls whose handler has not returned, also when their answer is out already.",
	}, m.inflight)
	m.registry.MustRegister(m.calls, m.spans.exported, m.spans.dropped)
	m.registry.MustRegister(m.seconds, m.conns, m.wireErrs, m.acceptErrs, build, inflight, sourceCollector{m})
	m.registry.MustRegister(m.policy.all()...)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

// Handler answers scrapes. A source that fails costs its own metrics only; scrapers that pile up are turned away.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
	})
}
