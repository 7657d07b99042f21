package host

import (
	"net/http"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/gateway"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
)

// A generation is all that decides about calls: services, rules, identities, HTTP routes. It is immutable; a change
// makes a new one.
type generation struct {
	revision int
	set      *config.Set
	policies *policies.Snapshot
	services []*service // in the order of the manifest
	byName   names[*service]

	upstreams map[string]*upstream // by name
	clusters  map[string]*cluster
	remote    *remote // nil when the gateway leads to services of this host alone
	identity  identity
	gateways  map[string]*gateway.Gateway // by listener
	admin     http.Handler
	health    http.Handler
	warnings  config.Problems
	pending   config.Changes // wait for the next start
}

// service is a service of the manifest, bound to an open instance.
type service struct {
	config   *config.Service
	instance *instance
	methods  []*method // in the order of the handler
	byName   names[*method]
}

// method is an exposed method with all that its calls need, resolved when the generation was made; or one of another
// host, whose calls are passed on.
type method struct {
	service   *service       // nil for one of another host
	remote    *remoteService // nil for one of this host
	name      string
	users     *users
	run       func(s *serving, req, res *wire.Frame) error
	invoke    *registry.Method // nil for one of another host
	target    policies.Target
	full      string // Service/Method
	guard     *policies.Guard
	operation *telemetry.Operation
	rpcx      *telemetry.MethodMetrics
	http      *telemetry.MethodMetrics
}

func (m *method) fullName() string { return m.full }

// subject is the name under which its lines in the log are summarised: callers may make up names of methods of other hosts.
func (m *method) subject() string {
	if m.remote != nil && m.rpcx == m.remote.rpcx { // it has not answered
		return m.target.Service + "/" + otherMethods
	}
	return m.full
}

func (m *method) metrics(transport string) *telemetry.MethodMetrics {
	if transport == transportHTTP {
		return m.http
	}
	return m.rpcx
}

// The transports, as metrics name them.
const (
	transportRPCX = "rpcx"
	transportHTTP = "http"
)

// newService binds an instance to the methods that the manifest exposes.
func newService(cfg *config.Service, inst *instance) *service {
	s := &service{config: cfg, instance: inst, byName: newNames[*method](len(inst.service.Methods()))}
	exposed := exposes(cfg)
	for _, m := range inst.service.Methods() {
		if !exposed(m.Name) {
			continue
		}
		bound := &method{service: s, name: m.Name, invoke: m, target: policies.Target{Service: cfg.Name, Method: m.Name}}
		bound.users, bound.run = &inst.users, (*serving).invoke
		bound.full = bound.target.String()
		bound.operation = telemetry.NewOperation(cfg.Name, bound.full)
		s.methods = append(s.methods, bound)
		s.byName.add(m.Name, bound)
	}
	return s
}

func exposes(cfg *config.Service) func(method string) bool {
	if len(cfg.Methods.Expose) == 0 {
		return func(string) bool { return true }
	}
	set := make(map[string]bool, len(cfg.Methods.Expose))
	for _, m := range cfg.Methods.Expose {
		set[m] = true
	}
	return func(method string) bool { return set[method] }
}

// find is the method that serves a name on the wire.
func (g *generation) find(serviceName, methodName string) (*method, bool) {
	s, ok := g.byName.find(serviceName)
	if !ok {
		return nil, false
	}
	return s.byName.find(methodName)
}

func (g *generation) targets() []policies.Target {
	var all []policies.Target
	for _, s := range g.services {
		for _, m := range s.methods {
			all = append(all, m.target)
		}
	}
	return all
}

// bind gives every method its guard and its metrics.
func (g *generation) bind(metrics *telemetry.Metrics) {
	g.byName = newNames[*service](len(g.services))
	for _, s := range g.services {
		g.byName.add(s.config.Name, s)
		for _, alias := range s.config.Aliases {
			g.byName.add(alias, s)
		}
		for _, m := range s.methods {
			m.guard = g.policies.Guard(m.target)
			m.rpcx = metrics.Method(m.target.Service, m.target.Method, transportRPCX)
			m.http = metrics.Method(m.target.Service, m.target.Method, transportHTTP)
		}
	}
}

// bindingsOf are what the manifest gives a service.
func (g *generation) bindingsOf(s *config.Service) map[string]*upstream {
	to := make(map[string]*upstream, len(s.Uses))
	for name, u := range s.Uses {
		to[name] = g.upstreams[u]
	}
	return to
}
