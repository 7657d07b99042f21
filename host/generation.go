package host

import (
	"context"
	"net/http"
	"sync"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/gateway"
	"github.com/easymicro/easymicro/host/outgoing"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/policies"
)

// A generation is everything that decides about calls: services, rules, identities, HTTP routes. It is immutable; a
// change makes a new one.
type generation struct {
	revision int
	set      *config.Set
	policies *policies.Snapshot
	services []*service // in the order of the manifest
	routes   route.Table

	out outgoing.Connections

	identity identity
	gateways map[string]*gateway.Gateway // by listener
	admin    http.Handler
	health   http.Handler
	warnings config.Problems
	pending  config.Changes // wait for the next start
}

// service is a service of the manifest with its open instance.
type service struct {
	*route.Service
	instance *instance
}

// bindingsOf returns the upstreams of a service by the names that its handler has for them.
func (g *generation) bindingsOf(s *config.Service) map[string]*outgoing.Upstream {
	to := make(map[string]*outgoing.Upstream, len(s.Uses))
	for name, u := range s.Uses {
		to[name] = g.out.Upstream(u)
	}
	return to
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

// connections returns what the generation calls out by; nil for a nil generation.
func (g *generation) connections() *outgoing.Connections {
	if g == nil {
		return nil
	}
	return &g.out
}

// A part is a piece of a host that changes with the set. It opens and checks what next needs and puts it into next; prev
// is nil at the start. With an error, the step that it returns is abandoned.
type part func(ctx context.Context, prev, next *generation) (step, error)

// A step is what one part does for one change, where there is something to do. Until commit, nothing that calls meet
// changes.
type step struct {
	prepare func(ctx context.Context) error // does what can still fail, before the first commit
	commit  func(life context.Context)
	abandon func()
	// retire ends what the change has replaced or, once abandoned, what was opened for it, and returns when that has ended.
	// before is closed when the part that uses this one has retired.
	retire func(life context.Context, before <-chan struct{})
}
