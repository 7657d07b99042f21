package route

import (
	"context"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
)

// OtherHosts holds the services of other hosts that one directory lists, and the client that calls them.
// Generations share it until their discovery changes. It may be used concurrently.
type OtherHosts struct {
	Successor
	Cluster string // the name of the directory in the manifest
	missing func() []string
	labels  labels
	found   atomic.Pointer[found]
	first   chan struct{} // closed by the first update
	once    sync.Once
}

// found is the last update of the directory.
type found struct {
	names []string
	heard bool  // some update has had names
	err   error // of the last update: the names may be outdated
}

// NewOtherHosts returns OtherHosts without services. missing returns the parts of the directory that have not been read.
func NewOtherHosts(cluster string, c *client.Client, missing func() []string, m *telemetry.Metrics) *OtherHosts {
	o := &OtherHosts{
		Successor: Successor{RefCount: NewRefCount(), Client: c}, Cluster: cluster, missing: missing,
		labels: labels{metrics: m, has: make(map[string]bool)}, first: make(chan struct{}),
	}
	o.found.Store(new(found))
	return o
}

// Err returns the error of the last update; the services may be outdated then.
func (o *OtherHosts) Err() error { return o.found.Load().err }

// Update sets the services that the directory has, or why it cannot be read. It reports whether methods have lost
// their metrics to make room for those of new services. Calls must not overlap.
func (o *OtherHosts) Update(names []string, err error) (dropped bool) {
	next := *o.found.Load()
	if next.err = err; err == nil {
		next.names, next.heard = names, true
		dropped = o.labels.keep(names) // before any of the new ones asks for room
	}
	o.found.Store(&next)
	o.once.Do(func() { close(o.first) })
	return dropped
}

// firstUpdate bounds how long a starting host waits for the list of services.
const firstUpdate = time.Second

// Await waits for the first update, but not for long.
func (o *OtherHosts) Await(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, firstUpdate)
	defer cancel()
	select {
	case <-o.first:
	case <-ctx.Done():
	}
}

// maxLabels bounds the methods of other hosts that have their own metrics.
const maxLabels = 1000

// labels are the methods of other hosts that have their own metrics.
type labels struct {
	metrics *telemetry.Metrics

	mu  sync.Mutex
	has map[string]bool // by Service/Method
}

// metricsOf returns the metrics of a method over rpcx and HTTP; once there is no room, those of no method in
// particular.
func (l *labels) metricsOf(service, method string) (rpcx, http *telemetry.MethodMetrics, own bool) {
	if !l.add(service + "/" + method) {
		return l.metrics.Other(wire.TransportRPCX), l.metrics.Other(wire.TransportHTTP), false
	}
	// Not under the lock: the metrics call labelled under theirs.
	return l.metrics.Method(service, method, wire.TransportRPCX), l.metrics.Method(service, method, wire.TransportHTTP), true
}

func (l *labels) add(full string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.has[full] && len(l.has) >= maxLabels {
		return false
	}
	l.has[full] = true
	return true
}

// labelled reports whether Service/Method has its own metrics.
func (l *labels) labelled(full string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.has[full]
}

// keep drops the methods of services that are not listed once room becomes scarce, and reports whether there were
// any. Until then, a service that is down for a while keeps its metrics.
func (l *labels) keep(services []string) (dropped bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.has)+len(services) <= maxLabels/2 {
		return false
	}
	stay := make(map[string]bool, len(services))
	for _, name := range services {
		stay[name] = true
	}
	before := len(l.has)
	maps.DeleteFunc(l.has, func(full string, _ bool) bool { return !stay[full[:strings.LastIndexByte(full, '/')]] })
	return len(l.has) < before
}
