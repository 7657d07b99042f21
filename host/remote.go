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

// remote is what a generation's gateway leads to on other hosts: the services that discovery knows and the manifest
// allows. Nothing else about them is known here, so that a method is whatever a caller asks for.
type remote struct {
	config   *config.Remote
	client   *remoteClient
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

func newRemote(g *generation, l *remoteClient) *remote {
	r := &remote{config: g.set.Manifest.Gateway.Remote, client: l, rules: g.policies, spelling: newSpelling(g.set.Rules)}
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

// unheard is the answer to a call of what is not known while discovery has not told all there is: a service that the manifest
// allows may well be there.
func (r *remote) unheard(host, service string) *code.Error {
	if r == nil || !r.config.AllowsSpelling(service) {
		return nil
	}
	found := r.client.found.Load()
	if found.heard && len(r.client.directory.Missing()) == 0 {
		return nil
	}
	what := "etcd " + r.client.cluster + " has not told its services yet"
	public := code.Refuse(code.Unavailable, code.ReasonNoEndpoint, what, "", host, 0)
	if found.err != nil {
		what += " (" + found.err.Error() + ")"
	}
	return code.Refuse(code.Unavailable, code.ReasonNoEndpoint, what, "", host, 0).InPublic(public.Message)
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

// otherMethods stands for the methods of a service that are not known to be some, as OpenTelemetry has it.
const otherMethods = "_OTHER"

// remoteService is a service of other hosts, with those of its methods that have answered.
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

// counts tells whether the metrics of the service are still the ones to count in: it may have been away for so long that
// they were dropped, or there may be room for them now.
func (s *remoteService) counts() bool {
	rpcx, _, _ := s.remote.client.labels.metricsOf(s.name, otherMethods)
	return rpcx == s.rpcx
}

// method is the one of a name. It is made for the call, unless it has answered: then its metrics are its own, and so
// are the spellings of its name that a host takes for the same.
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

// learn keeps a method that has answered without an error, as long as there is room for its metrics: a caller must not
// make up names without end.
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

// maxRemoteLabels is how many methods of other hosts have metrics of their own.
const maxRemoteLabels = 1000

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
	if !l.has[full] && len(l.has) >= maxRemoteLabels {
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

// spelling gives a method of another host the name that the rules have for it. That host takes any spelling of the name
// that differs in case alone, so that a caller must not get around a rule by one.
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

// of is the name that rules are asked about.
func (s *spelling) of(method string) string {
	if name, ok := s.exact[strings.ToLower(method)]; ok {
		return name
	}
	for _, glob := range s.globs {
		method = respell(method, glob)
	}
	return method
}

// respell writes the parts of a name that a pattern spells out as the pattern does, when the two match but for case.
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

// forwardedMetadata is the caller's without what it says about its own connection.
func forwardedMetadata(m wire.Metadata) wire.Metadata {
	var passed wire.Metadata
	for _, pair := range m {
		if pair[0] != wire.MetaAcceptCompression {
			passed = append(passed, pair)
		}
	}
	return passed
}
