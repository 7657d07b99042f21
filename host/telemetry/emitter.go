package telemetry

import (
	"fmt"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	ruleDesc = desc("easymicro_rule_info", "Mode and status of a rule. Always 1.", "rule", "mode", "status")

	decisionsDesc = desc("easymicro_rule_decisions_total",
		"Rule decisions (allow, reject, wait, shadow_reject), by rule, kind and method.", "rule", "kind", "method", "decision")
	tokensDesc = desc("easymicro_limiter_tokens",
		"Tokens left in the bucket of a rule without a key. Negative while calls are queued.", "rule", "mode")
	keysDesc       = desc("easymicro_limiter_keys", "Keys with a bucket of their own, by rule.", "rule", "mode")
	overflowDesc   = desc("easymicro_limiter_overflow_total", "Calls that shared a bucket because maxKeys was reached, by rule.", "rule")
	missingKeyDesc = desc("easymicro_limiter_missing_key_total", "Calls without the metadata that the rule's key is taken from, by rule.", "rule")
	breakerDesc    = desc("easymicro_breaker_state",
		"Circuit breaker state: 1 for the current state (closed, half_open, open), 0 for the others.", "rule", "mode", "target", "state")
	transitionsDesc = desc("easymicro_breaker_transitions_total", "Circuit breaker state transitions, by resulting state.",
		"rule", "mode", "target", "to")

	breakerStates = []string{"closed", "half_open", "open"}
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// SetSource sets who is asked, at each scrape and only then, for the numbers of rules, limiters and breakers. A second
// call replaces the first; nil asks nobody. The source is called from several goroutines when scrapes overlap.
func (m *Metrics) SetSource(source func(*Emitter)) {
	if source == nil {
		m.source.Store(nil)
		return
	}
	m.source.Store(&source)
}

// Emitter takes the numbers of a source during one scrape; it must not be kept. Labels are names of the manifest, the
// policy files and the registry. The first of two numbers with equal labels counts.
type Emitter struct {
	out  chan<- prometheus.Metric
	seen map[string]bool
}

// RuleInfo emits that a rule is there: its mode (enforce, shadow, off) and its status (active, expired).
func (e *Emitter) RuleInfo(rule, mode, status string) {
	e.emit(ruleDesc, prometheus.GaugeValue, 1, rule, mode, status)
}

// Decisions emits how often a rule decided so for a method.
func (e *Emitter) Decisions(rule, kind, method, decision string, n uint64) {
	e.emit(decisionsDesc, prometheus.CounterValue, float64(n), rule, kind, method, decision)
}

// LimiterTokens emits the tokens of a rule's only bucket. The mode of a rule is enforce or shadow.
func (e *Emitter) LimiterTokens(rule, mode string, tokens float64) {
	e.emit(tokensDesc, prometheus.GaugeValue, tokens, rule, mode)
}

// LimiterKeys emits the number of keys of a rule.
func (e *Emitter) LimiterKeys(rule, mode string, n int) {
	e.emit(keysDesc, prometheus.GaugeValue, float64(n), rule, mode)
}

// LimiterOverflow emits how many calls shared a bucket because all keys of a rule were in use.
func (e *Emitter) LimiterOverflow(rule string, n uint64) {
	e.emit(overflowDesc, prometheus.CounterValue, float64(n), rule)
}

// LimiterMissingKey emits how many calls had not the metadata that the key of a rule needs.
func (e *Emitter) LimiterMissingKey(rule string, n uint64) {
	e.emit(missingKeyDesc, prometheus.CounterValue, float64(n), rule)
}

// BreakerState emits the state of a breaker: closed, half_open (half-open and halfOpen are understood) or open.
func (e *Emitter) BreakerState(rule, mode, target, state string) {
	state = breakerState(state)
	for _, s := range breakerStates {
		v := 0.0
		if s == state {
			v = 1
		}
		e.emit(breakerDesc, prometheus.GaugeValue, v, rule, mode, target, s)
	}
}

// BreakerTransitions emits how often a breaker came to a state.
func (e *Emitter) BreakerTransitions(rule, mode, target, to string, n uint64) {
	e.emit(transitionsDesc, prometheus.CounterValue, float64(n), rule, mode, target, breakerState(to))
}

func breakerState(s string) string {
	switch s {
	case "closed", "open":
		return s
	}
	return "half_open"
}

func (e *Emitter) emit(d *prometheus.Desc, t prometheus.ValueType, v float64, labels ...string) {
	for i, l := range labels {
		labels[i] = label(l)
	}
	// A duplicate would fail the scrape as a whole.
	key := d.String() + strings.Join(labels, "\xff")
	if e.seen[key] {
		return
	}
	e.seen[key] = true
	e.out <- prometheus.MustNewConstMetric(d, t, v, labels...)
}

type sourceCollector struct{ m *Metrics }

func (c sourceCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		ruleDesc, decisionsDesc, tokensDesc, keysDesc, overflowDesc, missingKeyDesc, breakerDesc, transitionsDesc, endpointsDesc, registeredDesc,
		budgetBytesDesc, budgetCallsDesc, budgetLimitDesc, budgetRefusedDesc,
	} {
		out <- d
	}
}

func (c sourceCollector) Collect(out chan<- prometheus.Metric) {
	source := c.m.source.Load()
	if source == nil {
		return
	}
	// Collectors run on goroutines of the registry, where a panic would end the process.
	defer func() {
		if r := recover(); r != nil {
			out <- prometheus.NewInvalidMetric(decisionsDesc, fmt.Errorf("the source of rule metrics panicked: %v", r))
		}
	}()
	(*source)(&Emitter{out: out, seen: make(map[string]bool)})
}

var (
	budgetBytesDesc = desc("easymicro_budget_bytes",
		"Bytes of host.limits.maxBufferedBytes, by state (used, free).", "state")
	budgetCallsDesc   = desc("easymicro_budget_in_flight", "Calls in flight that count towards host.limits.maxInFlight.")
	budgetLimitDesc   = desc("easymicro_budget_in_flight_limit", "Value of host.limits.maxInFlight.")
	budgetRefusedDesc = desc("easymicro_budget_refused_total", "Calls refused because a limit of host.limits was reached.")
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

var (
	endpointsDesc = desc("easymicro_discovery_endpoints",
		"Endpoints of called services, by service and state (ready, idle, connecting, backoff, draining, stale, ejected).",
		"service", "state")
	registeredDesc = desc("easymicro_registration_up", "Whether every published service of this host is registered with every discovery.")
)

// DiscoveryEndpoints emits how many endpoints of a service are in a state.
func (e *Emitter) DiscoveryEndpoints(service, state string, n int) {
	e.emit(endpointsDesc, prometheus.GaugeValue, float64(n), service, state)
}

// RegistrationUp emits whether all is published that is to be.
func (e *Emitter) RegistrationUp(up bool) {
	v := 0.0
	if up {
		v = 1
	}
	e.emit(registeredDesc, prometheus.GaugeValue, v)
}
