package telemetry

import (
	"math"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/easymicro/easymicro/wire/code"
)

const (
	systemName  = "rpcx"
	otherMethod = "_OTHER" // OpenTelemetry's name for a method that is not registered
	statusCodes = int(code.Unauthenticated) + 1
)

type methodKey struct{ method, transport string }

// MethodMetrics counts and times the calls of one method over one transport. It is safe for concurrent use, and its
// methods allocate nothing once a status code was seen.
type MethodMetrics struct {
	metrics  *Metrics
	key      methodKey
	inflight atomic.Int64
	byCode   [statusCodes]atomic.Pointer[prometheus.Observer]
	dropped  bool // under metrics.mu
}

// Method is the handle of a registered method; equal arguments give the same handle until Retain drops it. It is meant
// to be asked when a generation is compiled, with names of the manifest only: a name that came from a peer must not
// become a label.
func (m *Metrics) Method(service, method, transport string) *MethodMetrics {
	return m.resolve(methodKey{service + "/" + method, transportLabel(transport)})
}

// Other is the handle that counts calls of methods that are not registered, as _OTHER.
func (m *Metrics) Other(transport string) *MethodMetrics {
	return m.others[transportLabel(transport)]
}

func (m *Metrics) resolve(key methodKey) *MethodMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	mm, ok := m.methods[key]
	if !ok {
		mm = &MethodMetrics{metrics: m, key: key}
		m.methods[key] = mm
	}
	return mm
}

// Retain drops the series of each method that keep does not want, given as Service/Method, so that a service that was
// taken off a host does not stay in its metrics for ever. Counters of the others go on. It is meant for the time when
// the calls of the old generation are over; a call that ends later is no longer counted.
func (m *Metrics) Retain(keep func(name string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, mm := range m.methods {
		if keep(key.method) {
			continue
		}
		delete(m.methods, key)
		mm.dropped = true
		if mm.inflight.Load() > 0 {
			m.leaving = append(m.leaving, mm)
		}
		m.seconds.DeletePartialMatch(prometheus.Labels{"rpc_method": label(key.method), "transport": key.transport})
	}
}

func (m *Metrics) inflight() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var sum int64
	for _, mm := range m.others {
		sum += mm.inflight.Load()
	}
	for _, mm := range m.methods {
		sum += mm.inflight.Load()
	}
	still := m.leaving[:0]
	for _, mm := range m.leaving {
		if n := mm.inflight.Load(); n > 0 {
			sum += n
			still = append(still, mm)
		}
	}
	clear(m.leaving[len(still):])
	m.leaving = still
	return float64(max(sum, 0))
}

// Begin counts a call as in flight, until End.
func (mm *MethodMetrics) Begin() { mm.inflight.Add(1) }

// End is the counterpart of Begin: the handler has returned.
func (mm *MethodMetrics) End() { mm.inflight.Add(-1) }

// InFlight is the number of calls between Begin and End.
func (mm *MethodMetrics) InFlight() int64 { return mm.inflight.Load() }

// Done counts and times a call that was answered with c.
func (mm *MethodMetrics) Done(c code.Code, d time.Duration) {
	if int(c) >= statusCodes {
		c = code.Unknown
	}
	seconds := math.Max(d.Seconds(), 0)
	if o := mm.byCode[c].Load(); o != nil {
		(*o).Observe(seconds)
		return
	}
	mm.observer(c).Observe(seconds)
}

func (mm *MethodMetrics) observer(c code.Code) prometheus.Observer {
	m := mm.metrics
	m.mu.Lock()
	defer m.mu.Unlock()
	if o := mm.byCode[c].Load(); o != nil {
		return *o
	}
	var o prometheus.Observer = prometheus.ObserverFunc(func(float64) {})
	if !mm.dropped { // a late call must not bring the series of a dropped method back
		o = m.seconds.WithLabelValues(systemName, label(mm.key.method), c.String(), mm.key.transport)
	}
	mm.byCode[c].Store(&o)
	return o
}
