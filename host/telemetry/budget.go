package telemetry

import "github.com/prometheus/client_golang/prometheus"

var (
	budgetBytesDesc = desc("easymicro_budget_bytes",
		"Bytes of host.limits.maxBufferedBytes that calls and answers hold (used), and that are left (free).", "state")
	budgetCallsDesc   = desc("easymicro_budget_in_flight", "Calls that count against host.limits.maxInFlight.")
	budgetLimitDesc   = desc("easymicro_budget_in_flight_limit", "The value of host.limits.maxInFlight.")
	budgetRefusedDesc = desc("easymicro_budget_refused_total", "Calls that were refused because host.limits was used up.")
)

// Budget is what is in use of the limits of a host.
type Budget struct {
	InFlight, MaxInFlight int64 // calls
	Bytes, MaxBytes       int64
	Refused               uint64 // calls
}

// Budget emits what is in use of the limits of the host.
func (e *Emitter) Budget(b Budget) {
	e.emit(budgetBytesDesc, prometheus.GaugeValue, float64(b.Bytes), "used")
	e.emit(budgetBytesDesc, prometheus.GaugeValue, float64(max(b.MaxBytes-b.Bytes, 0)), "free")
	e.emit(budgetCallsDesc, prometheus.GaugeValue, float64(b.InFlight))
	e.emit(budgetLimitDesc, prometheus.GaugeValue, float64(b.MaxInFlight))
	e.emit(budgetRefusedDesc, prometheus.CounterValue, float64(b.Refused))
}
