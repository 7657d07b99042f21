// Package telemetry provides the metrics, traces and logs of a host: Prometheus metrics resolved once per generation,
// OpenTelemetry spans, and slog handlers for terminals and for machines.
package telemetry

import (
	"net/http"
	"runtime"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/easymicro/easymicro/wire"
)

// Options configure Metrics.
type Options struct {
	Version string // of the running binary
	// Source is called by each scrape for the values of rules, limiters and breakers; nil emits none. Overlapping scrapes call
	// it concurrently.
	Source func(*Emitter)
}

// Metrics holds the metrics of one host in a registry of its own. It is safe for concurrent use.
type Metrics struct {
	*serverMetrics
	*clientMetrics
	*connectionMetrics
	*configMetrics
	*interceptorMetrics

	registry *prometheus.Registry
	spans    *spanMetrics
}

// New returns the metrics of a host.
func New(o Options) *Metrics {
	m := &Metrics{
		serverMetrics: newServerMetrics(), clientMetrics: newClientMetrics(),
		connectionMetrics: newConnectionMetrics(), configMetrics: newConfigMetrics(),
		interceptorMetrics: newInterceptorMetrics(),
		registry:           prometheus.NewRegistry(), spans: newSpanMetrics(),
	}
	build := newGauge("easymicro_build_info", "Build information of the running binary. Always 1.", prometheus.Labels{
		"version": label(o.Version), "goversion": label(runtime.Version()),
	})
	build.Set(1)
	inflight := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "easymicro_inflight_requests",
		Help: "Calls whose handler has not returned, including calls already answered.",
	}, m.inflight)
	m.registry.MustRegister(
		build, inflight, m.serverMetrics.durations, m.clientMetrics.durations, m.interceptorMetrics, m.spans.exported, m.spans.dropped, sourceCollector(o.Source),
		m.connections, m.wireErrors, m.acceptErrors, m.notAfter, m.revision, m.inSync, m.successful, m.lastSuccess, m.reloads, m.stateFailures,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	)
	return m
}

// Handler serves scrapes. If a source fails, only its metrics are missing. Concurrent scrapes are limited.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		ErrorHandling:       promhttp.ContinueOnError,
		MaxRequestsInFlight: 4,
		Timeout:             10 * time.Second,
	})
}

// connectionMetrics counts connections, and what was rejected on them before it became a call.
type connectionMetrics struct {
	connections              *prometheus.GaugeVec
	wireErrors, acceptErrors *prometheus.CounterVec
	notAfter                 *validity

	mu      sync.Mutex
	reasons map[string]prometheus.Counter
}

func newConnectionMetrics() *connectionMetrics {
	return &connectionMetrics{
		connections: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "easymicro_connections",
			Help: "Open connections, by listener and protocol.",
		}, []string{"listener", "protocol"}),
		wireErrors: newCounters("easymicro_wire_errors_total",
			"Connections and frames rejected before they became a call, by reason.", "reason"),
		notAfter:     newValidity(),
		acceptErrors: newCounters("easymicro_accept_errors_total", "Connections not accepted, by listener and reason.", "listener", "reason"),
		reasons:      make(map[string]prometheus.Counter),
	}
}

// WireError counts a connection or a frame that was rejected before it became a call. Reasons are constants such as
// bad_magic; anything else, and any reason beyond the first 64, is counted as "other".
func (m *connectionMetrics) WireError(reason string) { m.wireError(reason).Inc() }

const maxReasons = 64

func (m *connectionMetrics) wireError(reason string) prometheus.Counter {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.reasons[reason]; ok {
		return c
	}
	if !isReason(reason) || len(m.reasons) >= maxReasons {
		return m.wireErrors.WithLabelValues(otherLabel)
	}
	c := m.wireErrors.WithLabelValues(reason)
	m.reasons[reason] = c
	return c
}

// isReason reports whether s looks like a constant rather than text made up by a peer.
func isReason(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz_") == ""
}

// AcceptError counts a connection that a listener did not accept. Listeners are named as in the manifest, or admin and
// health; reasons are constants.
func (m *connectionMetrics) AcceptError(listener, reason string) {
	m.acceptErrors.WithLabelValues(label(listener), label(reason)).Inc()
}

// Gauge is a number that goes up and down.
type Gauge struct{ g prometheus.Gauge }

// Inc adds one.
func (g Gauge) Inc() { g.g.Inc() }

// Dec subtracts one.
func (g Gauge) Dec() { g.g.Dec() }

// Connections returns the gauge of a listener's open connections by protocol: rpcx, http or tls; any other is counted as
// "other".
func (m *connectionMetrics) Connections(listener, protocol string) Gauge {
	return Gauge{m.connections.WithLabelValues(label(listener), oneOf(protocol, []string{wire.TransportRPCX, wire.TransportHTTP, "tls"}))}
}

// SetNotAfter sets the function that returns the end of the certificate that a listener uses; nil is no certificate. The function
// may be called concurrently.
func (m *connectionMetrics) SetNotAfter(listener string, end func() time.Time) {
	m.notAfter.set(label(listener), end)
}

// DropListener removes the series of a listener that was closed.
func (m *connectionMetrics) DropListener(listener string) {
	of := prometheus.Labels{"listener": label(listener)}
	m.connections.DeletePartialMatch(of)
	m.acceptErrors.DeletePartialMatch(of)
	m.notAfter.set(label(listener), nil)
}

// configMetrics shows the running configuration and the results of reloads.
type configMetrics struct {
	revision, inSync, successful, lastSuccess prometheus.Gauge
	reloads                                   *prometheus.CounterVec
	stateFailures                             prometheus.Counter
}

func newConfigMetrics() *configMetrics {
	m := &configMetrics{
		revision: newGauge("easymicro_config_revision", "Revision of the running configuration.", nil),
		inSync:   newGauge("easymicro_config_in_sync", "Whether the running configuration matches the files.", nil),
		successful: newGauge("easymicro_config_last_reload_successful",
			"Whether the files were valid and accepted when they were read last; commands such as apply do not change it.", nil),
		lastSuccess: newGauge("easymicro_config_last_success_timestamp_seconds", "Unix timestamp of the last successful configuration reload.", nil),
		stateFailures: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "easymicro_state_write_failures_total", Help: "Writes to the state directory that failed, or took longer than an edit waits.",
		}),
		reloads: newCounters("easymicro_config_reloads_total", "Configuration reload attempts, by result.", "result"),
	}
	for _, result := range []string{"applied", "rejected", "rolledBack"} {
		m.reloads.WithLabelValues(result) // an alert on the rate needs the zero before the first one
	}
	return m
}

// StateWriteFailed counts a failed write to the state directory.
func (m *configMetrics) StateWriteFailed() { m.stateFailures.Inc() }

// Reload is the outcome of one attempt to apply a set.
type Reload struct {
	Result   string // applied, rejected, unchanged, held
	Revision int    // the running revision afterwards
	InSync   bool   // whether it matches the files
	At       time.Time
}

// RolledBack counts an edit that was applied and rolled back.
func (m *configMetrics) RolledBack() { m.reloads.WithLabelValues("rolledBack").Inc() }

// Reloaded counts an attempt to apply a set and records its result.
func (m *configMetrics) Reloaded(r Reload) {
	m.reloads.WithLabelValues(r.Result).Inc()
	m.revision.Set(float64(r.Revision))
	m.SetInSync(r.InSync)
	if r.Result == "applied" {
		m.lastSuccess.Set(float64(r.At.UnixMilli()) / 1000)
	}
}

// SetFilesAccepted sets whether the files were accepted when they were read last.
func (m *configMetrics) SetFilesAccepted(accepted bool) { m.successful.Set(boolValue(accepted)) }

// SetInSync sets whether the running configuration matches the files, between two attempts.
func (m *configMetrics) SetInSync(inSync bool) { m.inSync.Set(boolValue(inSync)) }
