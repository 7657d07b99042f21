package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// validity shows when the certificates of listeners expire. It asks at each scrape: the next certificate may be in use since.
type validity struct {
	desc *prometheus.Desc

	mu   sync.Mutex
	ends map[string]func() time.Time // by listener
}

func newValidity() *validity {
	return &validity{
		desc: prometheus.NewDesc("easymicro_tls_not_after_timestamp_seconds", "Unix timestamp of the end of the certificate that a listener uses.",
			[]string{"listener"}, nil),
		ends: make(map[string]func() time.Time),
	}
}

// set has a listener shown, or not if end is nil.
func (v *validity) set(listener string, end func() time.Time) {
	v.mu.Lock()
	defer v.mu.Unlock()
	delete(v.ends, listener)
	if end != nil {
		v.ends[listener] = end
	}
}

// Describe implements prometheus.Collector.
func (v *validity) Describe(to chan<- *prometheus.Desc) { to <- v.desc }

// Collect implements prometheus.Collector.
func (v *validity) Collect(to chan<- prometheus.Metric) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for listener, end := range v.ends {
		to <- prometheus.MustNewConstMetric(v.desc, prometheus.GaugeValue, float64(end().Unix()), listener)
	}
}
