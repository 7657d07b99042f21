// Package telemetry counts, times and traces what a host does, and writes its log: Prometheus metrics whose handles are
// resolved once per generation, OpenTelemetry spans, and slog handlers for terminals and for machines.
package telemetry

import (
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/easymicro/easymicro/wire/code"
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
			Help:    "Duration of calls from arrival to answer.",
			Buckets: buckets,
		}, []string{"rpc_system_name", "rpc_method", "rpc_status_code", "transport"}),
		conns: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "easymicro_connections",
			Help: "Open connections, by listener and protocol.",
		}, []string{"listener", "protocol"}),
		wireErrs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "easymicro_wire_errors_total",
			Help: "Connections and frames rejected before they became a call, by reason.",
		}, []string{"reason"}),
		acceptErrs: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "easymicro_accept_errors_total",
			Help: "Connections not accepted, by listener and reason.",
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
		Help: "Build information of the running binary. Always 1.",
		ConstLabels: prometheus.Labels{
			"version": label(o.Build.Version), "revision": label(o.Build.Revision), "goversion": label(o.Build.GoVersion),
		},
	})
	build.Set(1)
	inflight := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "easymicro_inflight_requests",
		Help: "Calls whose handler has not returned, including calls already answered.",
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

// results of an attempt to apply a set; any other is counted as "other".
var results = []string{"applied", "rejected", "rolledBack", "held", "unchanged"}

type policyMetrics struct {
	revision, inSync, successful, lastSuccess prometheus.Gauge
	reloads                                   *prometheus.CounterVec
}

func newPolicyMetrics() policyMetrics {
	gauge := func(name, help string) prometheus.Gauge {
		return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help})
	}
	p := policyMetrics{
		revision: gauge("easymicro_config_revision", "Revision of the running configuration."),
		inSync:   gauge("easymicro_config_in_sync", "Whether the running configuration matches the files."),
		successful: gauge("easymicro_config_last_reload_successful",
			"Whether the last configuration reload attempt was successful."),
		lastSuccess: gauge("easymicro_config_last_success_timestamp_seconds", "Unix timestamp of the last successful configuration reload."),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "easymicro_config_reloads_total",
			Help: "Configuration reload attempts, by result.",
		}, []string{"result"}),
	}
	for _, r := range results[:2] {
		p.reloads.WithLabelValues(r) // so that an alert on the rate sees the first one
	}
	return p
}

func (p *policyMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{p.revision, p.inSync, p.successful, p.lastSuccess, p.reloads}
}

// Reload is the outcome of one attempt to apply a set.
type Reload struct {
	Result   string // applied, rejected, rolledBack, held, unchanged
	Revision int    // the revision in force afterwards
	InSync   bool   // whether that is what the files say
	At       time.Time
}

// Reloaded counts an attempt to apply a set and shows where it left the host.
func (m *Metrics) Reloaded(r Reload) {
	result := r.Result
	if !slices.Contains(results, result) {
		result = otherLabel
	}
	m.policy.reloads.WithLabelValues(result).Inc()
	m.policy.revision.Set(float64(r.Revision))
	m.SetInSync(r.InSync)
	switch result {
	case "applied":
		m.policy.successful.Set(1)
		m.policy.lastSuccess.Set(float64(r.At.UnixMilli()) / 1000)
	case "unchanged":
		m.policy.successful.Set(1)
	default:
		m.policy.successful.Set(0)
	}
}

// SetInSync shows whether the policies in force are those of the files, between two attempts.
func (m *Metrics) SetInSync(inSync bool) {
	v := 0.0
	if inSync {
		v = 1
	}
	m.policy.inSync.Set(v)
}

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
			Help: "Spans exported to the collector.",
		}),
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "easymicro_trace_spans_dropped_total",
			Help: "Recorded spans that were not exported, by reason (queue_full, export, late).",
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

// WireError counts a connection or a frame that was refused before it became a call. Reasons are the program's own
// words, such as bad_magic; anything else, and any beyond the first 64, is counted as "other".
func (m *Metrics) WireError(reason string) { m.wireError(reason).Inc() }

func (m *Metrics) wireError(reason string) prometheus.Counter {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.reasons[reason]; ok {
		return c
	}
	if !isReason(reason) || len(m.reasons) >= maxReasons {
		return m.wireErrs.WithLabelValues(otherLabel)
	}
	c := m.wireErrs.WithLabelValues(reason)
	m.reasons[reason] = c
	return c
}

// AcceptError counts a connection that a listener did not accept. Listeners are named by the manifest, or admin and health;
// reasons are the program's own words.
func (m *Metrics) AcceptError(listener, reason string) {
	m.acceptErrs.WithLabelValues(label(listener), label(reason)).Inc()
}

// Gauge is a number that goes up and down.
type Gauge struct{ g prometheus.Gauge }

// Inc adds one.
func (g Gauge) Inc() { g.g.Inc() }

// Dec takes one away.
func (g Gauge) Dec() { g.g.Dec() }

// Connections is the gauge of the open connections of a listener that speak a protocol (rpcx, http; any other word is
// "other"). Listeners are named by the manifest.
func (m *Metrics) Connections(listener, protocol string) Gauge {
	return Gauge{m.conns.WithLabelValues(label(listener), protocolLabel(protocol))}
}

// DropListener ends the series of a listener that was closed.
func (m *Metrics) DropListener(listener string) {
	of := prometheus.Labels{"listener": label(listener)}
	m.conns.DeletePartialMatch(of)
	m.acceptErrs.DeletePartialMatch(of)
}

const (
	labelBytes = 256
	otherLabel = "other"
	maxReasons = 64
)

// label makes any text fit for a label value: Prometheus fails a whole scrape over one that is not UTF-8.
func label(s string) string { return code.Clip(s, labelBytes) }

// transports that calls come by; any other is "other".
var transports = []string{"rpcx", "http", "local", otherLabel}

func transportLabel(s string) string {
	if slices.Contains(transports, s) {
		return s
	}
	return otherLabel
}

func protocolLabel(s string) string {
	switch s {
	case "rpcx", "http", "tls":
		return s
	}
	return otherLabel
}

// isReason reports whether s looks like one of the program's own reasons, and not like something that a peer made up.
func isReason(s string) bool {
	if s == "" || len(s) > 40 {
		return false
	}
	for i := range len(s) {
		if c := s[i]; (c < 'a' || c > 'z') && c != '_' {
			return false
		}
	}
	return true
}
