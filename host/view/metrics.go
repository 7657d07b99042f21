package view

import (
	"cmp"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/client"
)

// Emit adds the numbers of rules, budget and discovery to a scrape.
func Emit(g *Generation, budget *wire.Budget, e *telemetry.Emitter) {
	now := time.Now()
	for i := range g.Set.Rules {
		r := &g.Set.Rules[i]
		status := "active"
		if r.Expired(now) {
			status = "expired"
		}
		e.RuleInfo(r.Name, string(cmp.Or(r.Mode, config.Enforce)), status)
	}
	g.Rules.Decisions(func(rule string, kind config.Kind, method, decision string, n uint64) {
		e.Decisions(rule, string(kind), method, decision, n)
	})
	for l := range g.Rules.Limiters() {
		if l.Keyed {
			e.LimiterKeys(l.Rule, string(l.Mode), l.Keys)
			e.LimiterOverflow(l.Rule, l.Overflow)
			e.LimiterMissingKey(l.Rule, l.MissingKey)
		} else {
			e.LimiterTokens(l.Rule, string(l.Mode), l.Tokens)
		}
	}
	for b := range g.Rules.Breakers() {
		e.BreakerState(b.Rule, string(b.Mode), b.Target, b.State)
		for to, n := range b.Transitions {
			e.BreakerTransitions(b.Rule, string(b.Mode), b.Target, to, n)
		}
	}
	emitBudget(budget, e)
	emitDiscovery(g, e)
}

func emitBudget(b *wire.Budget, e *telemetry.Emitter) {
	u := b.Usage()
	e.Budget(telemetry.Budget{
		InFlight: u.InFlight, MaxInFlight: u.MaxInFlight, Bytes: u.BufferedBytes, MaxBytes: u.MaxBufferedBytes, Refused: u.Refused,
	})
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
		for _, s := range u.Client().Status() {
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
