package telemetry

import (
	"fmt"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/easymicro/easymicro/wire"
)

// Metrics that exist during a scrape only.
var (
	ruleDesc      = desc("easymicro_rule_info", "Mode and status of a rule. Always 1.", "rule", "mode", "status")
	decisionsDesc = desc("easymicro_rule_decisions_total",
		"Rule decisions (allow, reject, wait, shadow_reject), by rule, kind and method.", "rule", "kind", "method", "decision")
	tokensDesc     = desc("easymicro_limiter_tokens", "Tokens left in the bucket of a rule without a key. Negative while calls are queued.", "rule", "mode")
	keysDesc       = desc("easymicro_limiter_keys", "Keys with a bucket of their own, by rule.", "rule", "mode")
	overflowDesc   = desc("easymicro_limiter_overflow_total", "Calls that shared a bucket because maxKeys was reached, by rule.", "rule")
	missingKeyDesc = desc("easymicro_limiter_missing_key_total", "Calls without the metadata that the rule's key is taken from, by rule.", "rule")

	adaptiveDesc = desc("easymicro_concurrency_limit", "Adaptive concurrency limit of a rule, as it is now.", "rule", "mode")
	cpuDesc      = desc("easymicro_cpu_utilization_ratio", "CPU utilization that rules with shed decide by; only while there is such a rule.")

	keysFetchedDesc = desc("easymicro_jwks_last_success_timestamp_seconds",
		"Unix timestamp of the last fetch of auth.jwt.jwksURL that brought keys; 0: none has.")

	breakerDesc = desc("easymicro_breaker_state",
		"Circuit breaker state: 1 for the current state (closed, half_open, open), 0 for the others.", "rule", "mode", "target", "state")
	transitionsDesc = desc("easymicro_breaker_transitions_total", "Circuit breaker state transitions, by resulting state.", "rule", "mode", "target", "to")

	budgetBytesDesc   = desc("easymicro_budget_bytes", "Bytes of host.limits.maxBufferedBytes, by state (used, free).", "state")
	budgetCallsDesc   = desc("easymicro_budget_in_flight", "Calls in flight that count towards host.limits.maxInFlight.")
	budgetLimitDesc   = desc("easymicro_budget_in_flight_limit", "Value of host.limits.maxInFlight.")
	budgetRefusedDesc = desc("easymicro_budget_refused_total", "Calls refused because a limit of host.limits was reached.")

	endpointsDesc = desc("easymicro_discovery_endpoints",
		"Endpoints of called services, by service and state (ready, idle, connecting, backoff, draining, stale, ejected).", "service", "state")
	registeredDesc = desc("easymicro_registration_up", "Whether every published service of this host is registered with every discovery.")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Emitter collects the values of a source during one scrape; it must not be kept. Labels are names from the manifest, the
// policy files and the registry; mode is enforce or shadow. Of two values with equal labels the first counts.
type Emitter struct {
	out  chan<- prometheus.Metric
	seen map[string]bool
}

// RuleInfo emits the mode (enforce, shadow, off) and the status (enforced, partly, shadow, off, matches nothing, expired, broken)
// of a rule.
func (e *Emitter) RuleInfo(rule, mode, status string) { e.gauge(ruleDesc, 1, rule, mode, status) }

// Decisions emits the number of times a rule made a decision for a method.
func (e *Emitter) Decisions(rule, kind, method, decision string, n uint64) {
	e.counter(decisionsDesc, n, rule, kind, method, decision)
}

// LimiterTokens emits the tokens of a rule that has a single bucket.
func (e *Emitter) LimiterTokens(rule, mode string, tokens float64) {
	e.gauge(tokensDesc, tokens, rule, mode)
}

// LimiterKeys emits the number of keys of a rule.
func (e *Emitter) LimiterKeys(rule, mode string, n int) { e.gauge(keysDesc, float64(n), rule, mode) }

// LimiterOverflow emits the number of calls that shared a bucket because all keys of a rule were in use.
func (e *Emitter) LimiterOverflow(rule string, n uint64) { e.counter(overflowDesc, n, rule) }

// LimiterMissingKey emits the number of calls without the metadata that a rule's key is taken from.
func (e *Emitter) LimiterMissingKey(rule string, n uint64) { e.counter(missingKeyDesc, n, rule) }

// ConcurrencyLimit emits the limit of a rule whose limit adapts.
func (e *Emitter) ConcurrencyLimit(rule, mode string, limit int) {
	e.gauge(adaptiveDesc, float64(limit), rule, mode)
}

// CPUUtilization emits the CPU utilization, from 0 to 1.
func (e *Emitter) CPUUtilization(share float64) { e.gauge(cpuDesc, share) }

// KeysFetched emits when the keys of signed tokens were fetched; the zero time: they were not.
func (e *Emitter) KeysFetched(at time.Time) {
	seconds := 0.0
	if !at.IsZero() {
		seconds = float64(at.UnixMilli()) / 1000
	}
	e.gauge(keysFetchedDesc, seconds)
}

// BreakerState emits the state of a breaker: closed, open or half_open, for which half-open and halfOpen are accepted.
func (e *Emitter) BreakerState(rule, mode, target, state string) {
	state = breakerState(state)
	for _, s := range []string{"closed", "half_open", "open"} {
		e.gauge(breakerDesc, boolValue(s == state), rule, mode, target, s)
	}
}

// BreakerTransitions emits the number of a breaker's transitions to a state.
func (e *Emitter) BreakerTransitions(rule, mode, target, to string, n uint64) {
	e.counter(transitionsDesc, n, rule, mode, target, breakerState(to))
}

func breakerState(s string) string {
	switch s {
	case "closed", "open":
		return s
	}
	return "half_open"
}

// Budget emits the usage of the host's limits.
func (e *Emitter) Budget(b wire.BudgetUsage) {
	e.gauge(budgetBytesDesc, float64(b.BufferedBytes), "used")
	e.gauge(budgetBytesDesc, float64(max(b.MaxBufferedBytes-b.BufferedBytes, 0)), "free")
	e.gauge(budgetCallsDesc, float64(b.InFlight))
	e.gauge(budgetLimitDesc, float64(b.MaxInFlight))
	e.counter(budgetRefusedDesc, b.Refused)
}

// DiscoveryEndpoints emits the number of a service's endpoints in a state.
func (e *Emitter) DiscoveryEndpoints(service, state string, n int) {
	e.gauge(endpointsDesc, float64(n), service, state)
}

// RegistrationUp emits whether every service to publish is registered.
func (e *Emitter) RegistrationUp(up bool) { e.gauge(registeredDesc, boolValue(up)) }

func (e *Emitter) gauge(d *prometheus.Desc, v float64, labels ...string) {
	e.emit(d, prometheus.GaugeValue, v, labels)
}

func (e *Emitter) counter(d *prometheus.Desc, n uint64, labels ...string) {
	e.emit(d, prometheus.CounterValue, float64(n), labels)
}

func (e *Emitter) emit(d *prometheus.Desc, t prometheus.ValueType, v float64, labels []string) {
	for i, l := range labels {
		labels[i] = label(l)
	}
	// A duplicate would fail the whole scrape.
	key := d.String() + strings.Join(labels, "\xff")
	if e.seen[key] {
		return
	}
	e.seen[key] = true
	e.out <- prometheus.MustNewConstMetric(d, t, v, labels...)
}

// sourceCollector collects the metrics that a source emits.
type sourceCollector func(*Emitter)

func (sourceCollector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		ruleDesc, decisionsDesc, tokensDesc, keysDesc, overflowDesc, missingKeyDesc, adaptiveDesc, cpuDesc, breakerDesc, transitionsDesc,
		endpointsDesc, registeredDesc, budgetBytesDesc, budgetCallsDesc, budgetLimitDesc, budgetRefusedDesc,
	} {
		out <- d
	}
}

func (source sourceCollector) Collect(out chan<- prometheus.Metric) {
	if source == nil {
		return
	}
	// Collectors run on goroutines of the registry, where a panic would end the process.
	defer func() {
		if r := recover(); r != nil {
			out <- prometheus.NewInvalidMetric(decisionsDesc, fmt.Errorf("the source of rule metrics panicked: %v", r))
		}
	}()
	source(&Emitter{out: out, seen: make(map[string]bool)})
}
