package telemetry

import (
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

const (
	labelBytes  = 256
	otherLabel  = "other"
	systemName  = "rpcx"
	otherMethod = "_OTHER" // OpenTelemetry's name for a method that is not registered
	statusCodes = int(code.Unauthenticated) + 1
)

// buckets are the boundaries that OpenTelemetry recommends, plus two below a millisecond.
var buckets = []float64{.0001, .0005, .005, .01, .025, .05, .075, .1, .25, .5, .75, 1, 2.5, 5, 7.5, 10}

// newDurations returns a histogram of calls; by is the name of its last label.
func newDurations(name, help, by string) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets},
		[]string{"rpc_system_name", "rpc_method", "rpc_status_code", by})
}

func newGauge(name, help string, labels prometheus.Labels) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels})
}

func newCounters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// callSeries holds the durations of the calls of one method, with one series per status code.
type callSeries struct {
	durations  *prometheus.HistogramVec
	method, by string // labels
	byCode     [statusCodes]atomic.Pointer[prometheus.Observer]

	mu      sync.Mutex
	dropped bool
}

func (s *callSeries) observe(c code.Code, d time.Duration) {
	if int(c) >= statusCodes {
		c = code.Unknown
	}
	seconds := math.Max(d.Seconds(), 0)
	if o := s.byCode[c].Load(); o != nil {
		(*o).Observe(seconds)
		return
	}
	s.observer(c).Observe(seconds)
}

func (s *callSeries) observer(c code.Code) prometheus.Observer {
	s.mu.Lock()
	defer s.mu.Unlock()
	if o := s.byCode[c].Load(); o != nil {
		return *o
	}
	var o prometheus.Observer = prometheus.ObserverFunc(func(float64) {})
	if !s.dropped {
		o = s.durations.WithLabelValues(systemName, label(s.method), c.String(), label(s.by))
	}
	s.byCode[c].Store(&o)
	return o
}

// drop keeps late calls from recreating the series of a removed method.
func (s *callSeries) drop() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropped = true
}

// label makes any text a valid label value: one that is not UTF-8 would fail the whole scrape.
func label(s string) string { return code.Clip(s, labelBytes) }

var transports = []string{wire.TransportRPCX, wire.TransportHTTP, "local", otherLabel}

func transportLabel(s string) string { return oneOf(s, transports) }

// oneOf returns s if it is among the known values, and "other" if not.
func oneOf(s string, known []string) string {
	if slices.Contains(known, s) {
		return s
	}
	return otherLabel
}

func boolValue(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
