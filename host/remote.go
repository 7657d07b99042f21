package host

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// remote is what a generation's gateway leads to on other hosts: the services that discovery knows and the manifest
// allows. Nothing else about them is known here, so that a method is whatever a caller asks for.
type remote struct {
	config   *config.Remote
	link     *link
	rules    *policies.Snapshot
	spelling spelling
	names    atomic.Pointer[remoteNames]
	making   sync.Mutex // of names
}

// remoteNames are the services of one list that discovery gave.
type remoteNames struct {
	of       *foundServices
	services names[*remoteService]
}

func newRemote(g *generation, l *link) *remote {
	r := &remote{config: g.set.Manifest.Gateway.Remote, link: l, rules: g.policies, spelling: newSpelling(g.set.Rules)}
	r.names.Store(&remoteNames{})
	return r
}

// service is the one that a name on the wire means. A nil remote has none.
func (r *remote) service(name string) (*remoteService, bool) {
	if r == nil {
		return nil, false
	}
	return r.current().find(name)
}

// all are the names that may be told.
func (r *remote) all() []string {
	if r == nil {
		return nil
	}
	return r.current().all()
}

// current are the services as discovery told them last.
func (r *remote) current() names[*remoteService] {
	found := r.link.found.Load()
	if known := r.names.Load(); known.of == found {
		return known.services
	}
	r.making.Lock()
	defer r.making.Unlock()
	known := r.names.Load()
	if known.of == found {
		return known.services
	}
	next := &remoteNames{of: found, services: newNames[*remoteService](len(found.names))}
	for _, name := range found.names {
		if !r.config.Allows(name) {
			continue
		}
		s, ok := known.services.exact[name]
		if !ok || !s.counts() {
			s = newRemoteService(r, name)
		}
		next.services.add(name, s)
	}
	r.names.Store(next)
	return next.services
}

// unheard is the answer to a call of what is not known while discovery has not told all there is: a service that the manifest
// allows may well be there.
func (r *remote) unheard(host, service string) *code.Error {
	if r == nil || !r.config.AllowsSpelling(service) {
		return nil
	}
	found := r.link.found.Load()
	if found.heard && len(r.link.directory.Missing()) == 0 {
		return nil
	}
	what := "etcd " + r.link.cluster + " has not told its services yet"
	public := code.Refuse(code.Unavailable, code.ReasonNoEndpoint, what, "", host, 0)
	if found.err != nil {
		what += " (" + found.err.Error() + ")"
	}
	return code.Refuse(code.Unavailable, code.ReasonNoEndpoint, what, "", host, 0).InPublic(public.Message)
}

// lookup is find, and what this host does not serve itself is looked for on others.
func (g *generation) lookup(serviceName, methodName string) (*method, bool) {
	if s, ok := g.byName.find(serviceName); ok {
		return s.byName.find(methodName)
	}
	s, ok := g.remote.service(serviceName)
	if !ok || methodName == "" {
		return nil, false
	}
	return s.method(methodName), true
}

// remoteServices tells which services are those of other hosts, be they there at the moment or not: all that the
// manifest lets callers reach and does not serve itself, in whatever case. It is nil when the gateway leads to none.
func remoteServices(m *config.Manifest) func(service string) bool {
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
