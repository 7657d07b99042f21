package telemetry

import "github.com/prometheus/client_golang/prometheus"

var (
	endpointsDesc = desc("easymicro_discovery_endpoints",
		"Endpoints of the services that this host calls, by state: ready, idle, connecting, backoff, draining; "+
			"stale when discovery has lost them, ejected while a rule leaves them out.",
		"service", "state")
	registeredDesc = desc("easymicro_registration_up", "1 while all that this host publishes is in every discovery that it registers with.")
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
