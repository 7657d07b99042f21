package telemetry

import (
	"maps"
	"math"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/easymicro/easymicro/wire/code"
)

// maxClientMethods is how many methods of an upstream have series of their own; what comes later is _OTHER.
const maxClientMethods = 1000

func newClientSeconds(buckets []float64) *prometheus.HistogramVec {
	return prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "rpc_client_call_duration_seconds",
		Help:    "Duration of calls to upstreams, all attempts included.",
		Buckets: buckets,
	}, []string{"rpc_system_name", "rpc_method", "rpc_status_code", "upstream"})
}

// UpstreamMetrics counts and times the calls to one upstream, or to many services that a gateway passes calls on to. It
// is safe for concurrent use.
type UpstreamMetrics struct {
	metrics  *Metrics
	upstream string // empty: that of a call is its service, and names come from peers

	exact atomic.Pointer[map[written]*clientMethod] // as names are written; not changed once stored

	mu      sync.Mutex
	folded  map[string]*clientMethod // under one spelling
	dropped bool
}

type written struct{ service, method string }

// clientMethod is one method, or the rest.
type clientMethod struct {
	of             *UpstreamMetrics
	name, upstream string
	byCode         [statusCodes]atomic.Pointer[prometheus.Observer]
}

// Upstream is the metrics of the calls to an upstream of the manifest; equal names give the same until RetainUpstreams
// drops it. An empty name is for calls that a gateway passes on: each counts for the service that it names, and a method
// gets series of its own only when a peer has shown that it exists.
func (m *Metrics) Upstream(name string) *UpstreamMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	u, ok := m.upstreams[name]
	if !ok {
		u = &UpstreamMetrics{metrics: m, upstream: name, folded: make(map[string]*clientMethod)}
		u.exact.Store(new(map[written]*clientMethod))
		m.upstreams[name] = u
	}
	return u
}

// RetainUpstreams drops the series of each upstream that keep does not want. A call that ends later is no longer counted.
func (m *Metrics) RetainUpstreams(keep func(name string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, u := range m.upstreams {
		if keep(name) {
			continue
		}
		delete(m.upstreams, name)
		for upstream := range u.drop() {
			m.calls.DeletePartialMatch(prometheus.Labels{"upstream": label(upstream)})
		}
	}
}

// drop says under which names u has counted.
func (u *UpstreamMetrics) drop() map[string]bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.dropped = true
	names := make(map[string]bool, 1)
	for _, m := range u.folded {
		names[m.upstream] = true
	}
	return names
}

// done counts a call that has ended; e is nil for a success.
func (u *UpstreamMetrics) done(service, method string, e *code.Error, d time.Duration) {
	c := code.OK
	if e != nil {
		c = e.Code
	}
	known := (*u.exact.Load())[written{service, method}]
	if known == nil {
		known = u.learn(written{service, method}, e)
	}
	known.done(c, d)
}

// learn is the handle of a method that was not called before, under this spelling at least.
func (u *UpstreamMetrics) learn(w written, e *code.Error) *clientMethod {
	u.mu.Lock()
	defer u.mu.Unlock()
	upstream := u.upstream
	if upstream == "" {
		upstream = w.service
		if !exists(e) {
			return u.rest()
		}
	}
	name := w.service + "/" + w.method
	key := foldedName(upstream, name)
	if _, ok := u.folded[key]; !ok && len(u.folded) >= maxClientMethods {
		return u.rest()
	}
	known := u.fold(key, name, upstream)
	if old := *u.exact.Load(); len(old) < 2*maxClientMethods {
		next := make(map[written]*clientMethod, len(old)+1)
		maps.Copy(next, old)
		next[w] = known
		u.exact.Store(&next)
	}
	return known
}

// rest needs u.mu.
func (u *UpstreamMetrics) rest() *clientMethod {
	upstream := u.upstream
	if upstream == "" {
		upstream = otherMethod
	}
	return u.fold("", otherMethod, upstream)
}

// foldedName is the same for all spellings by which a peer is reached, so that they do not make a series each.
func foldedName(upstream, name string) string { return upstream + " " + strings.ToLower(name) }

// fold needs u.mu.
func (u *UpstreamMetrics) fold(key, name, upstream string) *clientMethod {
	known, ok := u.folded[key]
	if !ok {
		known = &clientMethod{of: u, name: name, upstream: upstream}
		u.folded[key] = known
	}
	return known
}

// exists tells that the outcome of a call proves that there is such a method.
func exists(e *code.Error) bool {
	if e == nil {
		return true
	}
	switch e.Reason {
	case code.ReasonTimeout, code.ReasonCancelled, code.ReasonConnectionLost:
		return false
	}
	return !code.NotRun(e.Reason)
}

func (m *clientMethod) done(c code.Code, d time.Duration) {
	if int(c) >= statusCodes {
		c = code.Unknown
	}
	seconds := math.Max(d.Seconds(), 0)
	if o := m.byCode[c].Load(); o != nil {
		(*o).Observe(seconds)
		return
	}
	m.observer(c).Observe(seconds)
}

func (m *clientMethod) observer(c code.Code) prometheus.Observer {
	m.of.mu.Lock()
	defer m.of.mu.Unlock()
	if o := m.byCode[c].Load(); o != nil {
		return *o
	}
	var o prometheus.Observer = prometheus.ObserverFunc(func(float64) {})
	if !m.of.dropped { // a late call must not bring the series back
		o = m.of.metrics.calls.WithLabelValues(systemName, label(m.name), c.String(), label(m.upstream))
	}
	m.byCode[c].Store(&o)
	return o
}
