package telemetry

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/wire/code"
)

// MethodMetrics counts and times the calls of one method over one transport. It is safe for concurrent use, and its methods
// do not allocate after the first call with a status code.
type MethodMetrics struct {
	series   callSeries
	traffic  *traffic.Method
	inflight []inflightShard
}

// inflightShard counts some of the calls in flight.
type inflightShard struct {
	n atomic.Int64
	_ [56]byte // no cache line has counters of two shards
}

// Traffic returns the counters of the last minutes, which all transports of the method share.
func (m *MethodMetrics) Traffic() *traffic.Method { return m.traffic }

// Name returns the name of the method as a label: Service/Method, or _OTHER for methods that are not counted apart.
func (m *MethodMetrics) Name() string { return m.series.method }

// Begin counts a call as in flight, until End.
func (m *MethodMetrics) Begin(at traffic.Shard) { m.inflight[at.Of(len(m.inflight))].n.Add(1) }

// End ends what Begin began: the handler has returned.
func (m *MethodMetrics) End(at traffic.Shard) { m.inflight[at.Of(len(m.inflight))].n.Add(-1) }

// InFlight returns the number of calls between Begin and End.
func (m *MethodMetrics) InFlight() int64 {
	var sum int64
	for i := range m.inflight {
		sum += m.inflight[i].n.Load()
	}
	return sum
}

// Done counts and times a call that was answered with c.
func (m *MethodMetrics) Done(at traffic.Shard, c code.Code, d time.Duration) {
	m.series.observe(at, c, d)
}

type methodKey struct{ method, transport string }

// serverMetrics count and time the calls that this host serves.
type serverMetrics struct {
	durations *durations
	others    map[string]*MethodMetrics // by transport; never changes

	mu      sync.Mutex
	methods map[methodKey]*MethodMetrics
	leaving []*MethodMetrics // dropped with calls still in flight
}

func newServerMetrics() *serverMetrics {
	m := &serverMetrics{
		durations: newDurations("rpc_server_call_duration_seconds", "Duration of calls from arrival to answer.", "transport"),
		others:    make(map[string]*MethodMetrics, len(transports)),
		methods:   make(map[methodKey]*MethodMetrics),
	}
	others := traffic.New()
	for _, t := range transports {
		m.others[t] = m.newMethod(methodKey{otherMethod, t}, others)
	}
	return m
}

func (m *serverMetrics) newMethod(key methodKey, t *traffic.Method) *MethodMetrics {
	return &MethodMetrics{
		series:   callSeries{durations: m.durations, method: key.method, by: key.transport},
		traffic:  t,
		inflight: make([]inflightShard, traffic.Shards()),
	}
}

// trafficOf returns the traffic of a method, over all transports. The caller holds m.mu.
func (m *serverMetrics) trafficOf(method string) *traffic.Method {
	for _, t := range transports {
		if mm, ok := m.methods[methodKey{method, t}]; ok {
			return mm.traffic
		}
	}
	return traffic.New()
}

// Method returns the metrics of a registered method; equal arguments return the same metrics until Retain drops them. Call
// it when a generation is compiled, with names from the manifest only: a name chosen by a peer must not become a label.
func (m *serverMetrics) Method(service, method, transport string) *MethodMetrics {
	key := methodKey{service + "/" + method, transportLabel(transport)}
	m.mu.Lock()
	defer m.mu.Unlock()
	mm, ok := m.methods[key]
	if !ok {
		mm = m.newMethod(key, m.trafficOf(key.method))
		m.methods[key] = mm
	}
	return mm
}

// Other returns the metrics of all methods that are not registered, counted as _OTHER.
func (m *serverMetrics) Other(transport string) *MethodMetrics {
	return m.others[transportLabel(transport)]
}

// Retain drops the series of each method, given as Service/Method, for which keep returns false, such as those of a removed
// service. Call it once the calls of the old generation have ended; later ones are not counted.
func (m *serverMetrics) Retain(keep func(name string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for key, mm := range m.methods {
		if keep(key.method) {
			continue
		}
		delete(m.methods, key)
		mm.series.drop()
		if mm.InFlight() > 0 {
			m.leaving = append(m.leaving, mm)
		}
		method := label(key.method)
		m.durations.drop(func(k seriesKey) bool { return k.method == method && k.by == key.transport })
	}
}

func (m *serverMetrics) inflight() float64 {
	m.mu.Lock()
	defer m.mu.Unlock()
	var sum int64
	for _, mm := range m.others {
		sum += mm.InFlight()
	}
	for _, mm := range m.methods {
		sum += mm.InFlight()
	}
	m.leaving = slices.DeleteFunc(m.leaving, func(mm *MethodMetrics) bool {
		n := mm.InFlight()
		sum += max(n, 0)
		return n <= 0
	})
	return float64(max(sum, 0))
}
