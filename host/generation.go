package host

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/bearer"
	"github.com/easymicro/easymicro/host/gateway"
	"github.com/easymicro/easymicro/host/outgoing"
	"github.com/easymicro/easymicro/host/route"
	"github.com/easymicro/easymicro/host/view"
	"github.com/easymicro/easymicro/policies"
)

// A generation is everything that decides about calls: services, rules, identities, HTTP routes. It is immutable, except for
// its window; a change makes a new one.
type generation struct {
	revision     int
	set          *config.Set
	policies     *policies.Snapshot
	services     []*service // in the order of the manifest
	interceptors interceptors
	routes       route.Table

	out outgoing.Connections

	identity identity
	gateways map[string]*gateway.Gateway // by listener
	admin    http.Handler
	health   http.Handler
	warnings config.Problems

	overrides overlay                // in the set
	changes   config.Changes         // from the generation before
	forecast  *admin.Forecast        // of these changes; nil: none
	restores  *policies.Baseline     // whose state the rules take over; nil: that of the generation before
	pending   config.Changes         // that take effect at the next start
	window    atomic.Pointer[window] // nil: the edit is not observed any more
}

// service is a service of the manifest with its open instance.
type service struct {
	*route.Service
	instance *instance
}

func (s *service) status(unready error) admin.ServiceStatus {
	v := admin.ServiceStatus{
		Name: s.Config.Name, Handler: s.Config.Handler, Aliases: s.Config.Aliases, Methods: view.Methods(s.Service),
		Ready: true, InFlight: s.instance.InFlight(),
	}
	if unready != nil {
		v.Ready, v.Detail = false, unready.Error()
	}
	return v
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

func (g *generation) view() *view.Generation {
	return &view.Generation{Revision: g.revision, Set: g.set, Rules: g.policies, Routes: &g.routes, Out: &g.out}
}

// connections returns the outgoing connections; nil for a nil generation.
func (g *generation) connections() *outgoing.Connections {
	if g == nil {
		return nil
	}
	return &g.out
}

// verifier returns the verifier of signed tokens; nil if they are not used, or for a nil generation.
func (g *generation) verifier() *bearer.Verifier {
	if g == nil {
		return nil
	}
	return g.identity.signed
}

// keySources returns the sources of keys that an edit may use again: that in force, and that to which a rollback would return.
func (g *generation) keySources() []*bearer.Source {
	if g == nil {
		return nil
	}
	sources := []*bearer.Source{g.verifier().Source()}
	if w := g.window.Load(); w != nil {
		sources = append(sources, w.baseline.verifier().Source())
	}
	return sources
}

// keySource describes the source of the keys, and adds a warning if the last fetch has failed.
func (g *generation) keySource(warnings *config.Problems) *admin.KeySource {
	source := g.identity.signed.Source()
	if source == nil {
		return nil
	}
	f := source.State()
	s := &admin.KeySource{URL: f.URL, Keys: f.Keys, FetchedAt: f.At}
	if f.Err == nil {
		return s
	}
	s.Error = f.Err.Error()
	state := "calls with a signed token get UNAVAILABLE"
	if f.Keys > 0 {
		state = fmt.Sprintf("the %d keys of %s stay in use", f.Keys, f.At.UTC().Format(time.RFC3339))
	}
	w := g.set.ProblemAt(keyURLField, fmt.Sprintf("%s cannot be fetched: %s; %s", f.URL, f.Err, state))[0].Coded(lint.StandIn)
	*warnings = append(slices.Clip(*warnings), w)
	return s
}

// A part is a piece of a host that changes with the set. It opens and checks what next needs and puts it into next; prev
// is nil at the start. With an error, the step that it returns is abandoned.
type part func(ctx context.Context, prev, next *generation) (step, error)

// A step is the work of one part for one change. Until Commit, calls are served as before. Work of the step ends with
// life.
type step interface {
	Commit(life context.Context)
	Abandon()
	// Retire ends what the change has replaced or, once abandoned, what was opened for it, and returns when that has ended.
	// usersRetired is closed when the part that uses this one has retired.
	Retire(life context.Context, usersRetired <-chan struct{})
}

// preparer is a step that can still fail before the first commit.
type preparer interface {
	prepare(ctx context.Context) error
}

// commitOnly is a step that has nothing else to do.
type commitOnly func(life context.Context)

func (c commitOnly) Commit(life context.Context)           { c(life) }
func (commitOnly) Abandon()                                {}
func (commitOnly) Retire(context.Context, <-chan struct{}) {}
