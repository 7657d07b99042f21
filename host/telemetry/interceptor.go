package telemetry

import (
	"maps"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/easymicro/easymicro/host/traffic"
)

// InterceptorOutcome is what an interceptor did with a call.
type InterceptorOutcome int

// The outcomes.
const (
	InterceptorPassed   InterceptorOutcome = iota // it called next
	InterceptorAnswered                           // it succeeded without calling next
	InterceptorRefused                            // it failed without calling next
	InterceptorPanicked
)

var interceptorOutcomes = [...]string{"passed", "answered", "refused", "panicked"}

// interceptorMetrics counts and times interceptors.
type interceptorMetrics struct {
	desc *prometheus.Desc

	mu    sync.Mutex
	known map[interceptorAt]*InterceptorMetrics
}

// interceptorAt is an interceptor at a place of the manifest.
type interceptorAt struct{ name, place string }

func newInterceptorMetrics() *interceptorMetrics {
	return &interceptorMetrics{
		desc: desc("easymicro_interceptor_duration_seconds", "Time that calls spend in an interceptor, without what it runs around.",
			"interceptor", "place", "outcome"),
		known: make(map[interceptorAt]*InterceptorMetrics),
	}
}

// Interceptor returns the metrics of an interceptor at a place: services, services/Arith, upstreams/billing.
func (m *interceptorMetrics) Interceptor(name, place string) *InterceptorMetrics {
	m.mu.Lock()
	defer m.mu.Unlock()
	at := interceptorAt{name, place}
	i := m.known[at]
	if i == nil {
		i = new(InterceptorMetrics)
		for outcome := range i.byOutcome {
			i.byOutcome[outcome] = newHistogram()
		}
		m.known[at] = i
	}
	return i
}

// RetainInterceptors drops the series of each interceptor for which keep returns false.
func (m *interceptorMetrics) RetainInterceptors(keep func(name, place string) bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	maps.DeleteFunc(m.known, func(at interceptorAt, _ *InterceptorMetrics) bool { return !keep(at.name, at.place) })
}

// Describe implements prometheus.Collector.
func (m *interceptorMetrics) Describe(to chan<- *prometheus.Desc) { to <- m.desc }

// Collect implements prometheus.Collector.
func (m *interceptorMetrics) Collect(to chan<- prometheus.Metric) {
	m.mu.Lock()
	known := maps.Clone(m.known)
	m.mu.Unlock()
	for at, i := range known {
		for outcome := range i.byOutcome {
			to <- i.byOutcome[outcome].metric(m.desc, label(at.name), label(at.place), interceptorOutcomes[outcome])
		}
	}
}

// InterceptorMetrics counts and times one interceptor. It is safe for concurrent use.
type InterceptorMetrics struct {
	byOutcome [len(interceptorOutcomes)]*histogram
}

// Done counts a call; own is the time that it spent in the interceptor itself.
func (m *InterceptorMetrics) Done(outcome InterceptorOutcome, own time.Duration) {
	m.byOutcome[outcome].observe(traffic.Here(), own)
}
