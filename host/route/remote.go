package route

import (
	"context"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

// Remote holds the services of other hosts to which the gateway of a generation forwards: those that discovery knows and the
// manifest allows. Their methods are not known, so any name may be one. A nil Remote has none.
type Remote struct {
	*OtherHosts
	config   *config.Remote
	rules    *policies.Snapshot
	spelling spelling
	names    atomic.Pointer[remoteNames]
	making   sync.Mutex // of names
}

// remoteNames is the services of one update of the directory.
type remoteNames struct {
	of       *found
	services Names[*remoteService]
}

// NewRemote returns the services to which the gateway of a set forwards.
func NewRemote(set *config.Set, rules *policies.Snapshot, hosts *OtherHosts) *Remote {
	r := &Remote{OtherHosts: hosts, config: set.Manifest.Gateway.Remote, rules: rules, spelling: newSpelling(set.Rules)}
	r.names.Store(&remoteNames{})
	return r
}

// Has reports whether a name on the wire means one of the services.
func (r *Remote) Has(name string) bool {
	_, ok := r.service(name)
	return ok
}

// service returns the service that a name on the wire means.
func (r *Remote) service(name string) (*remoteService, bool) {
	if r == nil {
		return nil, false
	}
	return r.current().Find(name)
}

// All returns the names of the services, sorted.
func (r *Remote) All() []string {
	if r == nil {
		return nil
	}
	return r.current().All()
}

// current returns the services of the last update.
func (r *Remote) current() Names[*remoteService] {
	found := r.found.Load()
	if known := r.names.Load(); known.of == found {
		return known.services
	}
	r.making.Lock()
	defer r.making.Unlock()
	known := r.names.Load()
	if known.of == found {
		return known.services
	}
	next := &remoteNames{of: found, services: NewNames[*remoteService](len(found.names))}
	for _, name := range found.names {
		if !r.config.Allows(name) {
			continue
		}
		s, ok := known.services.exact[name]
		if !ok || !s.counts() {
			s = newRemoteService(r.OtherHosts, r.rules, &r.spelling, name)
		}
		next.services.Add(name, s)
	}
	r.names.Store(next)
	return next.services
}

// Unheard returns the error of a call to an unknown service while the directory is incomplete: if the manifest allows
// the service, it may exist. Otherwise Unheard returns nil.
func (r *Remote) Unheard(host, service string) *code.Error {
	if r == nil || !r.config.AllowsSpelling(service) {
		return nil
	}
	found := r.found.Load()
	if found.heard && len(r.missing()) == 0 {
		return nil
	}
	what := "etcd " + r.Cluster + " has not listed its services yet"
	public := code.Refuse(code.Unavailable, code.ReasonNoEndpoint, what, "", host, 0)
	if found.err != nil {
		what += " (" + found.err.Error() + ")"
	}
	return code.Refuse(code.Unavailable, code.ReasonNoEndpoint, what, "", host, 0).InPublic(public.Message)
}

// maxShown bounds the services that Called returns.
const maxShown = 200

// Called returns the services of other hosts that were called, the first of them.
func (r *Remote) Called() []client.ServiceStatus {
	if r == nil {
		return nil
	}
	list := r.Client.Status()
	return list[:min(len(list), maxShown)]
}

// RemoteServices returns a function that reports whether a service is one of other hosts: any that the manifest
// allows and does not serve itself, in whatever case. It is nil when the gateway forwards to none.
func RemoteServices(m *config.Manifest) func(service string) bool {
	if m.Gateway.Remote == nil {
		return nil
	}
	own := make(map[string]bool)
	for i := range m.Services {
		for _, name := range append([]string{m.Services[i].Name}, m.Services[i].Aliases...) {
			own[strings.ToLower(name)] = true
		}
	}
	if len(own) == 0 {
		return m.Gateway.Remote.Allows
	}
	return func(service string) bool { return !own[strings.ToLower(service)] && m.Gateway.Remote.Allows(service) }
}

// OtherHosts holds the services of other hosts that one directory lists, and the client that calls them.
// Generations share it until their discovery changes. It may be used concurrently.
type OtherHosts struct {
	RefCount        // calls in flight to them
	Cluster  string // the name of the directory in the manifest
	Client   *client.Client
	missing  func() []string
	labels   labels
	found    atomic.Pointer[found]
	first    chan struct{} // closed by the first update
	once     sync.Once
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
		RefCount: NewRefCount(), Cluster: cluster, Client: c, missing: missing,
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
