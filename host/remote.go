package host

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// remote is the services of other hosts that the gateway of a generation leads to: those that discovery knows and the
// manifest allows. Their methods are not known, so any name may be one.
type remote struct {
	config   *config.Remote
	client   *remoteClient
	rules    *policies.Snapshot
	spelling spelling
	names    atomic.Pointer[remoteNames]
	making   sync.Mutex // of names
}

// remoteNames is the services of one update of the directory.
type remoteNames struct {
	of       *foundServices
	services names[*remoteService]
}

func newRemote(g *generation, l *remoteClient) *remote {
	r := &remote{config: g.set.Manifest.Gateway.Remote, client: l, rules: g.policies, spelling: newSpelling(g.set.Rules)}
	r.names.Store(&remoteNames{})
	return r
}

// service returns the service that a name on the wire means. A nil remote has none.
func (r *remote) service(name string) (*remoteService, bool) {
	if r == nil {
		return nil, false
	}
	return r.current().find(name)
}

// all returns the names of the services.
func (r *remote) all() []string {
	if r == nil {
		return nil
	}
	return r.current().all()
}

// current returns the services of the last update.
func (r *remote) current() names[*remoteService] {
	found := r.client.found.Load()
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

// unheard returns the error of a call to an unknown service while the directory is incomplete: if the manifest allows
// the service, it may exist.
func (r *remote) unheard(host, service string) *code.Error {
	if r == nil || !r.config.AllowsSpelling(service) {
		return nil
	}
	found := r.client.found.Load()
	if found.heard && len(r.client.directory.Missing()) == 0 {
		return nil
	}
	what := "etcd " + r.client.cluster + " has not listed its services yet"
	public := code.Refuse(code.Unavailable, code.ReasonNoEndpoint, what, "", host, 0)
	if found.err != nil {
		what += " (" + found.err.Error() + ")"
	}
	return code.Refuse(code.Unavailable, code.ReasonNoEndpoint, what, "", host, 0).InPublic(public.Message)
}

// remoteServices returns a function that reports whether a service is one of other hosts: any that the manifest
// allows and does not serve itself, in whatever case. It is nil when the gateway leads to none.
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

// otherMethods is the method label for methods that are not known to exist, as in OpenTelemetry.
const otherMethods = "_OTHER"

// remoteService is a service of other hosts, with the methods that have answered.
type remoteService struct {
	remote     *remote
	name       string
	rpcx, http *telemetry.MethodMetrics // of methods that have not answered

	answered atomic.Pointer[names[*method]]
	learning sync.Mutex // of answered
}

func newRemoteService(r *remote, name string) *remoteService {
	s := &remoteService{remote: r, name: name}
	s.rpcx, s.http, _ = r.client.labels.metricsOf(name, otherMethods)
	none := newNames[*method](0)
	s.answered.Store(&none)
	return s
}

// counts reports whether the metrics of the service are still current: they may have been dropped, or there may be
// room for them now.
func (s *remoteService) counts() bool {
	rpcx, _, _ := s.remote.client.labels.metricsOf(s.name, otherMethods)
	return rpcx == s.rpcx
}

// method returns the method of a name. One that has answered has its own metrics and takes all spellings of its name;
// any other is made for the call.
func (s *remoteService) method(name string) *method {
	if m, ok := s.answered.Load().find(name); ok {
		return m
	}
	t := policies.Target{Service: s.name, Method: s.remote.spelling.of(name)}
	return &method{
		name: name, calls: &s.remote.client.refCount, run: (*serving).forward, target: t, full: t.String(),
		guard: s.remote.rules.Resolve(t), rpcx: s.rpcx, http: s.http, remote: s, operation: telemetry.RemoteOperation(t.String()),
	}
}

// learn keeps a method that has answered without an error, as long as there is room for its metrics: callers must not
// fill memory with invented names.
func (s *remoteService) learn(m *method) {
	s.learning.Lock()
	defer s.learning.Unlock()
	known := s.answered.Load()
	if _, ok := known.find(m.name); ok {
		return
	}
	learned := *m
	learned.name = strings.Clone(m.name) // what a peer sent must not be kept alive by its name
	learned.target.Method = strings.Clone(m.target.Method)
	var ok bool
	if learned.rpcx, learned.http, ok = s.remote.client.labels.metricsOf(s.name, learned.target.Method); !ok {
		return
	}
	next := newNames[*method](len(known.exact) + 1)
	for name, other := range known.exact {
		next.add(name, other)
	}
	next.add(learned.name, &learned)
	s.answered.Store(&next)
}

// maxRemoteLabels bounds the methods of other hosts that have their own metrics.
const maxRemoteLabels = 1000

// remoteLabels are the methods of other hosts that have their own metrics.
type remoteLabels struct {
	metrics *telemetry.Metrics

	mu  sync.Mutex
	has map[string]bool // by Service/Method
}

// metricsOf returns the metrics of a method over rpcx and HTTP; once there is no room, those of no method in
// particular.
func (l *remoteLabels) metricsOf(service, method string) (rpcx, http *telemetry.MethodMetrics, own bool) {
	if !l.add(service + "/" + method) {
		return l.metrics.Other(transportRPCX), l.metrics.Other(transportHTTP), false
	}
	// Not under the lock: the metrics call labelled under theirs.
	return l.metrics.Method(service, method, transportRPCX), l.metrics.Method(service, method, transportHTTP), true
}

func (l *remoteLabels) add(full string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !l.has[full] && len(l.has) >= maxRemoteLabels {
		return false
	}
	l.has[full] = true
	return true
}

// labelled reports whether Service/Method has its own metrics.
func (l *remoteLabels) labelled(full string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.has[full]
}

// keep drops the methods of services that are not listed once room becomes scarce, and reports whether there were
// any. Until then, a service that is down for a while keeps its metrics.
func (l *remoteLabels) keep(services []string) (dropped bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.has)+len(services) <= maxRemoteLabels/2 {
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

// spelling finds the spelling of a remote method that the rules use. The other host ignores case, and another
// spelling must not bypass a rule.
type spelling struct {
	exact map[string]string // by name in lower case
	globs []string
}

func newSpelling(rules []config.Rule) spelling {
	s := spelling{exact: make(map[string]string)}
	for i := range rules {
		s.add(rules[i].Match.Method)
		for _, x := range rules[i].Match.Except {
			s.add(x.Method)
		}
		if a := rules[i].Access; a != nil {
			for _, e := range a.Allow {
				s.add(e.Methods)
			}
			for _, e := range a.Deny {
				s.add(e.Methods)
			}
		}
	}
	return s
}

func (s *spelling) add(patterns []string) {
	for _, p := range patterns {
		lower := strings.ToLower(p)
		switch _, taken := s.exact[lower]; {
		case strings.Contains(p, "*"):
			if strings.Trim(p, "*") != "" {
				s.globs = append(s.globs, p)
			}
		case !taken:
			s.exact[lower] = p
		}
	}
}

// of returns the name that rules are asked about.
func (s *spelling) of(method string) string {
	if name, ok := s.exact[strings.ToLower(method)]; ok {
		return name
	}
	for _, glob := range s.globs {
		method = respell(method, glob)
	}
	return method
}

// respell returns a name with its parts spelled as in a pattern, if the two match but for case.
func respell(name, glob string) string {
	parts := strings.Split(glob, "*")
	lower, first, last := strings.ToLower(name), parts[0], parts[len(parts)-1]
	if len(lower) != len(name) || len(name) < len(first)+len(last) ||
		!strings.HasPrefix(lower, strings.ToLower(first)) || !strings.HasSuffix(lower, strings.ToLower(last)) {
		return name
	}
	var b strings.Builder
	b.WriteString(first)
	end, at := len(name)-len(last), len(first)
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(lower[at:end], strings.ToLower(part))
		if i < 0 {
			return name
		}
		b.WriteString(name[at : at+i])
		b.WriteString(part)
		at += i + len(part)
	}
	b.WriteString(name[at:end])
	b.WriteString(last)
	return b.String()
}

// forwardedMetadata returns metadata without what describes the connection of the caller.
func forwardedMetadata(m wire.Metadata) wire.Metadata {
	var passed wire.Metadata
	for _, pair := range m {
		if pair[0] != wire.MetaAcceptCompression {
			passed = append(passed, pair)
		}
	}
	return passed
}
