package host

import (
	"strings"
	"sync"

	"github.com/easymicro/easymicro/host/telemetry"
)

// mostRemoteLabels is how many methods of other hosts have metrics of their own.
const mostRemoteLabels = 1000

// remoteLabels are the methods of other hosts that have metrics of their own.
type remoteLabels struct {
	metrics *telemetry.Metrics

	mu  sync.Mutex
	has map[string]bool // by Service/Method
}

// metricsOf are those of a method over rpcx and HTTP; those of no method in particular when there is no room for more.
func (l *remoteLabels) metricsOf(service, method string) (rpcx, http *telemetry.MethodMetrics, own bool) {
	if !l.add(service + "/" + method) {
		return l.metrics.Other(transportRPCX), l.metrics.Other(transportHTTP), false
	}
	// Not under the lock: the metrics ask under theirs which methods to keep.
	return l.metrics.Method(service, method, transportRPCX), l.metrics.Method(service, method, transportHTTP), true
}

func (l *remoteLabels) add(full string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.has[full] && len(l.has) >= mostRemoteLabels {
		return false
	}
	l.has[full] = true
	return true
}

// labelled tells whether a method, as Service/Method, has metrics of its own.
func (l *remoteLabels) labelled(full string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.has[full]
}

// keep drops the methods of other services than these once room becomes scarce, and tells whether there were any. Until
// then a service that is away for a while goes on counting where it was.
func (l *remoteLabels) keep(services []string) (dropped bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.has)+len(services) <= mostRemoteLabels/2 {
		return false
	}
	stay := make(map[string]bool, len(services))
	for _, name := range services {
		stay[name] = true
	}
	for full := range l.has {
		if !stay[full[:strings.LastIndexByte(full, '/')]] {
			delete(l.has, full)
			dropped = true
		}
	}
	return dropped
}
