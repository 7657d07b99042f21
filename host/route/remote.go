package route

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/policies"
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

// Methods returns the counters of a service: of each method that has answered, and of all others.
func (r *Remote) Methods(service string) []traffic.Named {
	s, ok := r.service(service)
	if !ok {
		return nil
	}
	return s.methods()
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
