package telemetry

import "github.com/prometheus/client_golang/prometheus"

// WireError counts a connection or a frame that was refused before it became a call. Reasons are the program's own
// words, such as bad_magic; anything else, and any beyond the first 64, is counted as "other".
func (m *Metrics) WireError(reason string) { m.wireError(reason).Inc() }

func (m *Metrics) wireError(reason string) prometheus.Counter {
	m.mu.Lock()
	defer m.mu.Unlock()
	if c, ok := m.reasons[reason]; ok {
		return c
	}
	if !isReason(reason) || len(m.reasons) >= maxReasons {
		return m.wireErrs.WithLabelValues(otherLabel)
	}
	c := m.wireErrs.WithLabelValues(reason)
	m.reasons[reason] = c
	return c
}

// AcceptError counts a connection that a listener did not accept. Listeners are named by the manifest, or admin and health;
// reasons are the program's own words.
func (m *Metrics) AcceptError(listener, reason string) {
	m.acceptErrs.WithLabelValues(label(listener), label(reason)).Inc()
}

// Gauge is a number that goes up and down.
type Gauge struct{ g prometheus.Gauge }

// Inc adds one.
func (g Gauge) Inc() { g.g.Inc() }

// Dec takes one away.
func (g Gauge) Dec() { g.g.Dec() }

// Connections is the gauge of the open connections of a listener that speak a protocol (rpcx, http; any other word is
// "other"). Listeners are named by the manifest.
func (m *Metrics) Connections(listener, protocol string) Gauge {
	return Gauge{m.conns.WithLabelValues(label(listener), protocolLabel(protocol))}
}

// DropListener ends the series of a listener that was closed.
func (m *Metrics) DropListener(listener string) {
	of := prometheus.Labels{"listener": label(listener)}
	m.conns.DeletePartialMatch(of)
	m.acceptErrs.DeletePartialMatch(of)
}
