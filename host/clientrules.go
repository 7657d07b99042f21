package host

import (
	"context"
	"time"

	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/client"
)

// clientRules are the client-side rules in force: clients live longer than generations, and generations than clients.
type clientRules struct{ host *Host }

var _ client.Guard = clientRules{}

// Pool is part of client.Guard.
func (r clientRules) Pool() *client.Pool { return r.host.endpoints }

// Do carries out a call under the rules in force when it begins.
func (r clientRules) Do(ctx context.Context, call client.OutgoingCall) (slot int, err error) {
	g := r.host.current.Load()
	if g == nil {
		return 0, call.Attempt(ctx, 0, nil) // a handler that is being opened calls: no rule is in force yet
	}
	var within time.Time
	if outer := registry.CallFrom(ctx); outer != nil {
		within = outer.RuleDeadline
	}
	slot, would, err := g.policies.ClientRules().DoWithin(ctx, call, within)
	for _, w := range would {
		r.host.shadowedOut(ctx, g, call, w)
	}
	if err != nil {
		r.host.refusedOut(ctx, g, call, err)
	}
	return slot, err
}

// succeed has the clients that a plan has opened look up what those before them do, before these are closed.
func (p *plan) succeed() {
	for _, u := range p.openedUpstreams {
		if old := p.prev.upstream(u.made.config.Name); old != nil && old.made.config.Service == u.made.config.Service {
			u.client.TakeOver(old.client)
		}
	}
	if old := p.prev.way(); p.link != nil && old != nil {
		p.link.client.TakeOver(old.client)
	}
}
