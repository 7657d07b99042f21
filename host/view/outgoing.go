package view

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/host/outgoing"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
)

// Bounds of the lists in status.
const (
	shownServices  = 200
	shownEndpoints = 100
)

// ejected is the state of an endpoint that a rule ejected.
const ejected = "ejected"

// Upstreams returns the upstreams in the order of the manifest, then the called services of other hosts.
func Upstreams(g *Generation, metrics *telemetry.Metrics) []admin.Upstream {
	list := []admin.Upstream{}
	out := ejections(g)
	for i := range g.Set.Manifest.Upstreams {
		cfg := &g.Set.Manifest.Upstreams[i]
		v := admin.Upstream{Name: cfg.Name, Service: cfg.Service, Resolve: outgoing.Where(&cfg.Resolve), Endpoints: []admin.Endpoint{}}
		u := g.Out.Upstream(cfg.Name)
		for _, s := range u.Client.Status() {
			v = upstreamView(cfg.Name, v.Resolve, &s, u.Lost(s.Service), out)
		}
		addMethods(&v, metrics.Upstream(cfg.Name).Methods())
		list = append(list, v)
	}
	return append(list, remoteViews(g, out)...)
}

// upstreamView returns what a client knows of one service.
func upstreamView(name, found string, s *client.ServiceStatus, lost map[string]bool, out map[place]string) admin.Upstream {
	v := admin.Upstream{
		Name: name, Service: s.Service, Resolve: found, Called: true, Error: s.Err, Endpoints: []admin.Endpoint{},
		More: max(0, len(s.Endpoints)-shownEndpoints),
	}
	for _, e := range s.Endpoints[:len(s.Endpoints)-v.More] {
		v.Endpoints = append(v.Endpoints, endpointView(e, lost, out[place{name, e.Address}]))
	}
	return v
}

// place is an endpoint of an upstream.
type place struct{ upstream, address string }

// ejections returns the endpoints that rules ejected, and why.
func ejections(g *Generation) map[place]string {
	out := make(map[place]string)
	for _, o := range g.Rules.Outliers() {
		if o.Ejected && o.Enforced {
			out[place{o.Upstream, o.Address}] = fmt.Sprintf("ejected by %s for another %s: %s", o.Rule, o.EjectedFor.Round(time.Millisecond), o.Cause)
		}
	}
	return out
}

func endpointView(e client.EndpointStatus, lost map[string]bool, out string) admin.Endpoint {
	v := admin.Endpoint{Address: e.Address, State: e.State, InFlight: e.InFlight, LatencySeconds: e.Latency.Seconds(), Error: e.Err}
	if lost[e.Address] {
		v.State = etcd.StateStale
	}
	if out != "" {
		v.State, v.Error = ejected, out
	}
	return v
}

// Clusters returns the clusters in the order of the manifest.
func Clusters(g *Generation) []admin.Discovery {
	list := []admin.Discovery{}
	for _, e := range g.Set.Manifest.Clusters() {
		list = append(list, clusterView(g.Out.Cluster(e.Name)))
	}
	return list
}

func clusterView(c *outgoing.Cluster) admin.Discovery {
	s := c.Status()
	v := admin.Discovery{
		Name: s.Name, Connected: s.Connected, Since: s.Since, Error: s.Err, Lease: s.Lease,
		Registers: s.Registers, Registered: s.Registered, RegisteredSince: s.RegisteredSince, Duplicate: s.Duplicate,
		Instances: []admin.Instance{}, Services: []admin.Discovered{},
	}
	for _, i := range s.Instances {
		v.Instances = append(v.Instances, admin.Instance{Service: i.Service, Address: i.Address, Metadata: i.Metadata})
	}
	v.LeftOut, v.LeftOutMore = []admin.LeftOut{}, max(0, len(s.LeftOut)-shownEndpoints)
	for _, l := range s.LeftOut[:len(s.LeftOut)-v.LeftOutMore] {
		v.LeftOut = append(v.LeftOut, admin.LeftOut(l))
	}
	names := slices.Sorted(maps.Keys(s.Services))
	v.More = max(0, len(names)-shownServices)
	for _, name := range names[:len(names)-v.More] {
		v.Services = append(v.Services, discoveredView(name, s.Services[name]))
	}
	return v
}

func discoveredView(name string, found []etcd.EndpointState) admin.Discovered {
	v := admin.Discovered{Service: name, Endpoints: []admin.Endpoint{}, More: max(0, len(found)-shownEndpoints)}
	for _, e := range found[:len(found)-v.More] {
		v.Endpoints = append(v.Endpoints, admin.Endpoint{Address: e.Address, State: e.State, Host: e.Host})
	}
	return v
}

// remoteViews returns the services of other hosts as upstreams, as rules see them.
func remoteViews(g *Generation, out map[place]string) []admin.Upstream {
	var list []admin.Upstream
	for _, s := range g.Routes.Remote.Called() {
		lost := g.Out.Cluster(g.Routes.Remote.Cluster).Lost(s.Service)
		v := upstreamView(s.Service, "etcd "+g.Routes.Remote.Cluster, &s, lost, out)
		addMethods(&v, g.Routes.Remote.Methods(s.Service))
		list = append(list, v)
	}
	return list
}

// Emit adds the numbers of rules, budget and discovery to a scrape.
func Emit(g *Generation, budget *wire.Budget, e *telemetry.Emitter) {
	g.Rules.Statuses(func(rule string, mode config.Mode, status string) {
		e.RuleInfo(rule, string(cmp.Or(mode, config.Enforce)), status)
	})
	g.Rules.Decisions(func(rule string, kind config.Kind, method, decision string, n uint64) {
		e.Decisions(rule, string(kind), method, decision, n)
	})
	for _, l := range g.Rules.Limiters() {
		if l.Keyed {
			e.LimiterKeys(l.Rule, string(l.Mode), l.Keys)
			e.LimiterOverflow(l.Rule, l.Overflow)
			e.LimiterMissingKey(l.Rule, l.MissingKey)
		} else {
			e.LimiterTokens(l.Rule, string(l.Mode), l.Tokens)
		}
	}
	for _, l := range g.Rules.AdaptiveLimits() {
		e.ConcurrencyLimit(l.Rule, string(l.Mode), l.Limit)
	}
	if load, ok := g.Rules.Load(); ok {
		e.CPUUtilization(load.Utilization)
	}
	for _, b := range g.Rules.Breakers() {
		e.BreakerState(b.Rule, string(b.Mode), b.Target, b.State)
		for to, n := range b.Transitions {
			e.BreakerTransitions(b.Rule, string(b.Mode), b.Target, to, n)
		}
	}
	e.Budget(budget.Usage())
	emitDiscovery(g, e)
}

// emitDiscovery adds the endpoints and the registration to a scrape. Labels are services of the manifest, and those
// of other hosts that status shows.
func emitDiscovery(g *Generation, e *telemetry.Emitter) {
	counts := make(map[string]map[string]int)
	out := ejections(g)
	count := func(name string, s *client.ServiceStatus, lost map[string]bool) {
		if counts[s.Service] == nil {
			counts[s.Service] = map[string]int{"ready": 0} // an alert needs the zero
		}
		for _, endpoint := range s.Endpoints {
			counts[s.Service][endpointView(endpoint, lost, out[place{name, endpoint.Address}]).State]++
		}
	}
	for name, u := range g.Out.Upstreams() {
		for _, s := range u.Client.Status() {
			count(name, &s, u.Lost(s.Service))
		}
	}
	for _, s := range g.Routes.Remote.Called() {
		count(s.Service, &s, g.Out.Cluster(g.Routes.Remote.Cluster).Lost(s.Service))
	}
	for service, states := range counts {
		for state, n := range states {
			e.DiscoveryEndpoints(service, state, n)
		}
	}
	if g.Set.Manifest.Registers() {
		e.RegistrationUp(g.Out.RegistrationUp())
	}
}
