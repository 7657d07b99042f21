package host

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/gateway"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
)

// A generation is everything that decides about calls: services, rules, identities, HTTP routes. It is immutable; a
// change makes a new one.
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

// method is what calls of one method need, resolved when the generation was made. It is an exposed method of this
// host, or one of another host to which calls are forwarded.
type method struct {
	service   *service       // nil for one of another host
	remote    *remoteService // nil for one of this host
	name      string
	calls     *refCount
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

// subject returns the name under which log lines about the method are sampled. Callers may make up names of methods
// of other hosts.
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
		bound.calls, bound.run = &inst.refCount, (*serving).invoke
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

// find returns the method of this host that a name on the wire means.
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

// bindingsOf returns the upstreams of a service by the names that its handler has for them.
func (g *generation) bindingsOf(s *config.Service) map[string]*upstream {
	to := make(map[string]*upstream, len(s.Uses))
	for name, u := range s.Uses {
		to[name] = g.upstreams[u]
	}
	return to
}

func (g *generation) serviceNames() []string {
	names := make([]string, 0, len(g.services))
	for _, s := range g.services {
		names = append(names, s.config.Name)
	}
	others := g.remote.all()
	slices.Sort(others)
	return append(names, others...)
}

// cluster returns the cluster of a name; a nil generation has none.
func (g *generation) cluster(name string) *cluster {
	if g == nil {
		return nil
	}
	return g.clusters[name]
}

// inNameOrder returns the clusters by name.
func (g *generation) inNameOrder() []*cluster {
	list := make([]*cluster, 0, len(g.clusters))
	for _, name := range slices.Sorted(maps.Keys(g.clusters)) {
		list = append(list, g.clusters[name])
	}
	return list
}

// ready asks all services at once whether they are ready, and returns an error for each that is not.
func (g *generation) ready(ctx context.Context) []error {
	answers := make([]error, len(g.services))
	var all sync.WaitGroup
	for i, s := range g.services {
		all.Go(func() { answers[i] = s.instance.ready.ask(ctx, s.instance.service) })
	}
	all.Wait()
	return answers
}

// lookup returns the method that a name on the wire means, of this host or else of another one.
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

// spelled returns the name to call the method by. Servers of other kinds take the known spelling alone. They have no
// names that Go does not export, so such a name was learned from an easymicro host, which takes any spelling.
func (m *method) spelled(asked string) string {
	if m.rpcx == m.remote.rpcx || !exported(m.name) && exported(asked) {
		return asked // not known, or better known to the caller
	}
	return m.name
}

func exported(name string) bool {
	first, _ := utf8.DecodeRuneInString(name)
	return unicode.IsUpper(first)
}

// remoteClient returns the client for other hosts; nil when there is none.
func (g *generation) remoteClient() *remoteClient {
	if g == nil || g.remote == nil {
		return nil
	}
	return g.remote.client
}

// passedTo returns the services of other hosts that were called, up to the number that status shows.
func (g *generation) passedTo() []client.ServiceStatus {
	if g.remote == nil {
		return nil
	}
	list := g.remote.client.client.Status()
	return list[:min(len(list), shownServices)]
}

// warnReused turns an error into warnings that the old content of the files stays in use.
func (g *generation) warnReused(err error) {
	var problems config.Problems
	if !errors.As(err, &problems) {
		problems = config.Problems{{Message: err.Error()}}
	}
	for _, p := range problems {
		p.Warning = true
		p.Message += ": what was in the files before stays in use"
		g.warnings = append(g.warnings, p)
	}
}

// without returns the methods that next does not have.
func (g *generation) without(next *generation) []*method {
	if g == nil {
		return nil
	}
	var gone []*method
	for _, s := range g.services {
		for _, m := range s.methods {
			if !next.serves(m.full) {
				gone = append(gone, m)
			}
		}
	}
	return gone
}

// serves reports whether Service/Method is a method of the generation, in that very spelling.
func (g *generation) serves(fullName string) bool {
	if l := g.remoteClient(); l != nil && l.labels.labelled(fullName) {
		return true
	}
	i := strings.LastIndexByte(fullName, '/')
	s, ok := g.byName.exact[fullName[:i]]
	if !ok || s.config.Name != fullName[:i] {
		return false
	}
	_, ok = s.byName.exact[fullName[i+1:]]
	return ok
}

// callable returns the services that may be called, by all of their names.
func (g *generation) callable() []string { return append(g.byName.all(), g.remote.all()...) }

// upstream returns the upstream of a name; a nil generation has none.
func (g *generation) upstream(name string) *upstream {
	if g == nil {
		return nil
	}
	return g.upstreams[name]
}

// upstreamsWithout returns the upstreams that next does not have.
func (g *generation) upstreamsWithout(next *generation) []*upstream {
	if g == nil {
		return nil
	}
	var gone []*upstream
	for name, u := range g.upstreams {
		if next.upstreams[name] != u {
			gone = append(gone, u)
		}
	}
	return gone
}

// names is a map by name that, failing an exact match, finds the only name that differs in case alone: clients of the
// 2019 framework send names in lower case.
type names[T any] struct {
	exact  map[string]T
	folded map[string][]T
}

func newNames[T any](capacity int) names[T] {
	return names[T]{exact: make(map[string]T, capacity), folded: make(map[string][]T, capacity)}
}

func (n names[T]) add(name string, v T) {
	n.exact[name] = v
	lower := strings.ToLower(name)
	n.folded[lower] = append(n.folded[lower], v)
}

func (n names[T]) find(name string) (T, bool) {
	if v, ok := n.exact[name]; ok {
		return v, true
	}
	var none T
	if len(n.exact) == 0 {
		return none, false // without the cost of folding the name
	}
	if alike := n.folded[strings.ToLower(name)]; len(alike) == 1 {
		return alike[0], true
	}
	return none, false
}

// all returns the names, sorted.
func (n names[T]) all() []string { return slices.Sorted(maps.Keys(n.exact)) }
