package host

import (
	"context"

	"github.com/easymicro/easymicro/wire/client"
)

// clientRules are the client-side rules in force, for one client: clients live longer than generations, and generations
// than clients.
type clientRules struct {
	host    *Host
	serves  string                         // the one service that the client calls; empty: any
	inForce func(*generation) *clientRules // those of the client that has its place in a generation; nil: nobody has

	told map[listed][]string // who serves what, under Host.telling
}

type listed struct{ upstream, service string }

var _ client.Guard = (*clientRules)(nil)

// Do carries out a call under the rules in force when it begins.
func (r *clientRules) Do(ctx context.Context, call client.Guarded) (slot int, err error) {
	g := r.host.current.Load()
	if g == nil {
		return 0, call.Attempt(ctx, 0, nil) // a handler that is being opened calls: no rule is in force yet
	}
	slot, err = g.policies.Upstreams().Do(ctx, call)
	if err != nil {
		r.host.refusedOut(ctx, g, call, err)
	}
	return slot, err
}

// Endpoints tells the rules in force which endpoints there are. A client whose place another one has taken does not: the
// rules would forget what they know of endpoints that the other one goes on to use.
func (r *clientRules) Endpoints(upstream, service string, addresses []string) {
	r.host.telling.Lock()
	defer r.host.telling.Unlock()
	key := listed{upstream, service}
	if len(addresses) == 0 {
		delete(r.told, key)
	} else {
		if r.told == nil {
			r.told = make(map[listed][]string)
		}
		r.told[key] = addresses
	}
	g := r.host.current.Load()
	if g == nil {
		return // they are told when there is one
	}
	switch now := r.inForce(g); {
	case now == r || now == nil && len(addresses) == 0:
		g.policies.Upstreams().Endpoints(upstream, service, addresses)
	case now != nil && now.serves != "" && now.serves != service:
		g.policies.Upstreams().Endpoints(upstream, service, nil) // nobody will ever tell of it again
	}
}

// tell tells the rules of a generation what a client has said before that came into force.
func (r *clientRules) tell(g *generation) {
	r.host.telling.Lock()
	defer r.host.telling.Unlock()
	for key, addresses := range r.told {
		g.policies.Upstreams().Endpoints(key.upstream, key.service, addresses)
	}
}

// tellRules has the clients that a plan has opened say what they know.
func (p *plan) tellRules(g *generation) {
	for _, u := range p.openedUpstreams {
		u.rules.tell(g)
	}
	if p.link != nil {
		p.link.rules.tell(g)
	}
}
