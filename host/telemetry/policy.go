package telemetry

import (
	"slices"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

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
		revision: gauge("easymicro_policy_revision", "The revision of the policies in force."),
		inSync:   gauge("easymicro_policy_in_sync", "1 when the policies in force are those of the files, 0 when the files say something else."),
		successful: gauge("easymicro_policy_last_reload_successful",
			"1 when the last attempt to apply a set succeeded, 0 when it was rejected or rolled back."),
		lastSuccess: gauge("easymicro_policy_last_success_timestamp_seconds", "When a set was last applied, in Unix time."),
		reloads: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "easymicro_policy_reloads_total",
			Help: "Attempts to apply a set, by result.",
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
