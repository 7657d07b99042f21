package route

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"unicode"
	"unicode/utf8"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/host/traffic"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
)

// Method holds what calls of one method need, resolved when the generation was made. It is an exposed method of this
// host, or one of another host to which calls are forwarded.
type Method struct {
	Service   *Service // nil for one of another host
	Name      string
	Calls     *RefCount        // of what serves it
	Invoke    *registry.Method // nil for one of another host
	Around    *Around          // nil: no interceptors
	Target    policies.Target
	Guard     *policies.Guard
	Operation *telemetry.Operation

	pace       *pace          // of Invoke
	remote     *remoteService // nil for one of this host
	full       string         // Service/Method
	rpcx, http *telemetry.MethodMetrics
}

// FullName returns Service/Method.
func (m *Method) FullName() string { return m.full }

// Subject returns the name under which log lines about the method are sampled. Callers may make up names of methods
// of other hosts.
func (m *Method) Subject() string {
	if m.IsRemote() && !m.Known() {
		return m.Target.Service + "/" + otherMethods
	}
	return m.full
}

// Metrics returns the metrics of calls over a transport.
func (m *Method) Metrics(transport string) *telemetry.MethodMetrics {
	if transport == wire.TransportHTTP {
		return m.http
	}
	return m.rpcx
}

// Traffic returns the counters of the last minutes, over all transports.
func (m *Method) Traffic() *traffic.Method { return m.rpcx.Traffic() }

// InFlight returns the number of calls.
func (m *Method) InFlight() int { return int(m.rpcx.InFlight() + m.http.InFlight()) }

// Call runs the handler, which may fill reply unless that is nil; see registry.Method.Call. A handler that is known to take long
// first lets other goroutines run.
func (m *Method) Call(ctx context.Context, args, reply any) (any, error) {
	begin := m.pace.begin()
	reply, err := m.Invoke.Call(ctx, args, reply)
	m.pace.end(begin)
	return reply, err
}

// IsRemote reports whether calls are forwarded to another host.
func (m *Method) IsRemote() bool { return m.remote != nil }

// Remote returns the hosts to which calls are forwarded. The method must be one of another host.
func (m *Method) Remote() *OtherHosts { return m.remote.hosts }

// Known reports whether a method of another host is known to exist.
func (m *Method) Known() bool { return m.rpcx != m.remote.rpcx }

// Spelled returns the name to call a method of another host by. Servers of other kinds take the known spelling alone.
// They have no names that Go does not export, so such a name was learned from an easymicro host, which takes any
// spelling.
func (m *Method) Spelled(asked string) string {
	if !m.Known() || !exported(m.Name) && exported(asked) {
		return asked // not known, or better known to the caller
	}
	return m.Name
}

func exported(name string) bool {
	first, _ := utf8.DecodeRuneInString(name)
	return unicode.IsUpper(first)
}

// Learn reports that a method of another host has answered without an error.
func (m *Method) Learn() {
	if !m.Known() {
		m.remote.learn(m)
	}
}

// Service is a service of the manifest, bound to an open handler.
type Service struct {
	Config  *config.Service
	Handler *registry.Service
	Methods []*Method // in the order of the handler
	byName  Names[*Method]
}

// NewService binds an open handler, and the interceptors around it, to the methods that the manifest exposes. calls counts the calls
// of all of them.
func NewService(cfg *config.Service, handler *registry.Service, around *Around, calls *RefCount) *Service {
	s := &Service{Config: cfg, Handler: handler, byName: NewNames[*Method](len(handler.Methods()))}
	for _, m := range handler.Methods() {
		if !Exposed(cfg, m.Name) {
			continue
		}
		t := policies.Target{Service: cfg.Name, Method: m.Name}
		bound := &Method{
			Service: s, Name: m.Name, Calls: calls, Invoke: m, Around: around, Target: t, pace: new(pace), full: t.String(),
		}
		bound.Operation = telemetry.NewOperation(cfg.Name, bound.full)
		s.Methods = append(s.Methods, bound)
		s.byName.Add(m.Name, bound)
	}
	return s
}

// Exposed reports whether the manifest exposes a method of a service.
func Exposed(cfg *config.Service, method string) bool {
	return len(cfg.Methods.Expose) == 0 || slices.Contains(cfg.Methods.Expose, method)
}

// MethodNames returns the names of the methods, sorted.
func (s *Service) MethodNames() []string { return s.byName.All() }

// bind gives every method its guard and its metrics.
func (s *Service) bind(rules *policies.Snapshot, metrics *telemetry.Metrics) {
	for _, m := range s.Methods {
		m.Guard = rules.Guard(m.Target)
		m.rpcx = metrics.Method(m.Target.Service, m.Target.Method, wire.TransportRPCX)
		m.http = metrics.Method(m.Target.Service, m.Target.Method, wire.TransportHTTP)
	}
}

// otherMethods is the method label for methods that are not known to exist, as in OpenTelemetry.
const otherMethods = "_OTHER"

// remoteService is a service of other hosts, with the methods that have answered.
type remoteService struct {
	hosts      *OtherHosts
	rules      *policies.Snapshot
	spelling   *spelling
	name       string
	rpcx, http *telemetry.MethodMetrics // of methods that have not answered
	own        bool                     // no other service shares them

	known    atomic.Pointer[Names[*Method]] // methods that have answered
	learning sync.Mutex                     // of known
}

func newRemoteService(hosts *OtherHosts, rules *policies.Snapshot, sp *spelling, name string) *remoteService {
	s := &remoteService{hosts: hosts, rules: rules, spelling: sp, name: name}
	s.rpcx, s.http, s.own = s.hosts.labels.metricsOf(name, otherMethods)
	none := NewNames[*Method](0)
	s.known.Store(&none)
	return s
}

// counts reports whether the metrics of the service are still current: they may have been dropped, or there may be
// room for them now.
func (s *remoteService) counts() bool {
	rpcx, _, _ := s.hosts.labels.metricsOf(s.name, otherMethods)
	return rpcx == s.rpcx
}

// methods returns the methods that have answered, sorted, and one for all others if they have their own metrics.
func (s *remoteService) methods() []traffic.Named {
	var list []traffic.Named
	known := s.known.Load()
	for _, name := range known.All() {
		m := known.exact[name]
		list = append(list, traffic.Named{Method: m.Traffic(), Name: m.full})
	}
	if s.own {
		list = append(list, traffic.Named{Method: s.rpcx.Traffic(), Name: s.name + "/" + otherMethods})
	}
	return list
}

// method returns the method of a name. One that has answered has its own metrics and takes all spellings of its name;
// any other is made for the call.
func (s *remoteService) method(name string) *Method {
	if m, ok := s.known.Load().Find(name); ok {
		return m
	}
	t := policies.Target{Service: s.name, Method: s.spelling.of(name)}
	return &Method{
		Name: name, Calls: &s.hosts.RefCount, Target: t, full: t.String(),
		Guard: s.rules.Resolve(t), rpcx: s.rpcx, http: s.http, remote: s, Operation: telemetry.RemoteOperation(t.String()),
	}
}

// learn keeps a method that has answered without an error, as long as there is room for its metrics: callers must not
// fill memory with invented names.
func (s *remoteService) learn(m *Method) {
	s.learning.Lock()
	defer s.learning.Unlock()
	known := s.known.Load()
	if _, ok := known.Find(m.Name); ok {
		return
	}
	learned := *m
	learned.Name = strings.Clone(m.Name) // the name must not keep the message of a peer alive
	learned.Target.Method = strings.Clone(m.Target.Method)
	var ok bool
	if learned.rpcx, learned.http, ok = s.hosts.labels.metricsOf(s.name, learned.Target.Method); !ok {
		return
	}
	next := NewNames[*Method](len(known.exact) + 1)
	for name, other := range known.exact {
		next.Add(name, other)
	}
	next.Add(learned.Name, &learned)
	s.known.Store(&next)
}

// WhySkipped returns why a method of the handler is not served; empty for others.
func WhySkipped(skipped []registry.Skipped, method string) string {
	if i := slices.IndexFunc(skipped, func(s registry.Skipped) bool { return s.Name == method }); i >= 0 {
		return " that can be served (" + skipped[i].Why + ")"
	}
	return ""
}
