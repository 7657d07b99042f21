package telemetry

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/easymicro/easymicro/host/traffic"
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

// bounds are the upper bounds of the buckets: those that OpenTelemetry recommends, plus two below a millisecond.
var bounds = [...]time.Duration{
	100 * time.Microsecond, 500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond, 50 * time.Millisecond,
	75 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond, 750 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 7500 * time.Millisecond, 10 * time.Second,
}

// histogram counts calls by their duration. Every call pays for it: prometheus.Histogram, which does more, takes twice the time
// on one processor, and many times that on several.
type histogram []histogramShard

type histogramShard struct {
	sum atomic.Uint64                  // nanoseconds
	n   [len(bounds) + 1]atomic.Uint64 // by bucket; the last one has those above all bounds
	_   [-8 * (len(bounds) + 2) & 63]byte
}

func newHistogram() *histogram {
	h := make(histogram, traffic.Shards())
	return &h
}

func (h histogram) observe(at traffic.Shard, d time.Duration) {
	d = max(d, 0)
	bucket := 0
	for bucket < len(bounds) && d > bounds[bucket] {
		bucket++
	}
	shard := &h[at.Of(len(h))]
	shard.n[bucket].Add(1)
	shard.sum.Add(uint64(d))
}

// metric returns the histogram as it is now.
func (h histogram) metric(desc *prometheus.Desc, labels ...string) prometheus.Metric {
	var count, sum uint64
	cumulative := make(map[float64]uint64, len(bounds))
	for bucket := range len(bounds) + 1 {
		for shard := range h {
			count += h[shard].n[bucket].Load()
		}
		if bucket < len(bounds) {
			cumulative[bounds[bucket].Seconds()] = count
		}
	}
	for shard := range h {
		sum += h[shard].sum.Load()
	}
	return prometheus.MustNewConstHistogram(desc, count, time.Duration(sum).Seconds(), cumulative, labels...)
}

// durations are histograms of calls.
type durations struct {
	desc *prometheus.Desc

	mu   sync.Mutex
	many map[seriesKey]*histogram
}

// seriesKey has labels of a histogram; by is the transport, or the upstream.
type seriesKey struct{ method, code, by string }

// newDurations returns histograms of calls; by is the name of their last label.
func newDurations(name, help, by string) *durations {
	return &durations{
		desc: desc(name, help, "rpc_system_name", "rpc_method", "rpc_status_code", by), many: make(map[seriesKey]*histogram),
	}
}

// with returns the histogram with these labels.
func (d *durations) with(key seriesKey) *histogram {
	d.mu.Lock()
	defer d.mu.Unlock()
	h := d.many[key]
	if h == nil {
		h = newHistogram()
		d.many[key] = h
	}
	return h
}

// drop removes the histograms that a function selects.
func (d *durations) drop(selected func(seriesKey) bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	maps.DeleteFunc(d.many, func(key seriesKey, _ *histogram) bool { return selected(key) })
}

// Describe implements prometheus.Collector.
func (d *durations) Describe(to chan<- *prometheus.Desc) { to <- d.desc }

// Collect implements prometheus.Collector.
func (d *durations) Collect(to chan<- prometheus.Metric) {
	d.mu.Lock()
	many := maps.Clone(d.many)
	d.mu.Unlock()
	for key, h := range many {
		to <- h.metric(d.desc, systemName, key.method, key.code, key.by)
	}
}

func newGauge(name, help string, labels prometheus.Labels) prometheus.Gauge {
	return prometheus.NewGauge(prometheus.GaugeOpts{Name: name, Help: help, ConstLabels: labels})
}

func newCounters(name, help string, labels ...string) *prometheus.CounterVec {
	return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
}

// callSeries holds the durations of the calls of one method, with one series per status code.
type callSeries struct {
	durations  *durations
	method, by string // labels
	byCode     [statusCodes]atomic.Pointer[histogram]

	mu      sync.Mutex
	dropped bool
}

func (s *callSeries) observe(at traffic.Shard, c code.Code, d time.Duration) {
	if int(c) >= statusCodes {
		c = code.Unknown
	}
	h := s.byCode[c].Load()
	if h == nil {
		h = s.histogram(c)
	}
	h.observe(at, d)
}

func (s *callSeries) histogram(c code.Code) *histogram {
	s.mu.Lock()
	defer s.mu.Unlock()
	if h := s.byCode[c].Load(); h != nil {
		return h
	}
	h := newHistogram() // that nobody reads
	if !s.dropped {
		h = s.durations.with(seriesKey{label(s.method), c.String(), label(s.by)})
	}
	s.byCode[c].Store(h)
	return h
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
