package host

import (
	"cmp"
	"context"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/client"
)

// shadowed remembers what rules would have done to a call that they let pass. It is asked once the rules have let go of
// it, while its metadata is there.
func (h *Host) shadowed(s *serving, would []policies.ShadowRefusal) {
	for _, w := range would {
		key := refusalKey{
			shadow: true, rule: w.Rule, reason: w.Reason, code: w.Code, caller: s.Caller, target: s.method.target, peer: s.wire.Peer().Unmap(),
		}
		if w.Kind == config.KindRateLimit {
			key.key = keyOf(s.generation.policies, w.Rule, w.Reason, s.method.target, &s.policy)
		}
		trace := s.trace.ID()
		h.refusals.add(time.Now(), key, func(r *refusal) {
			name := r.shadowedBy(s.generation, w.Kind)
			r.trace, r.state = trace, s.generation.policies.State(name, w.Kind, s.method.target, s.Caller)
		})
	}
}

// shadowedOut is shadowed for a call to an upstream.
func (h *Host) shadowedOut(ctx context.Context, g *generation, call client.OutgoingCall, w policies.ShadowRefusal) {
	caller, trace := cmp.Or(call.Caller(), anonymous), telemetry.TraceID(ctx)
	target := policies.Target{Service: call.Service(), Method: call.Method()}
	key := refusalKey{shadow: true, rule: w.Rule, reason: w.Reason, code: w.Code, caller: caller, upstream: call.Upstream(), target: target}
	if w.Kind == config.KindRateLimit {
		key.key = keyOf(g.policies, w.Rule, w.Reason, target, &policies.Call{Caller: caller, Metadata: call})
	}
	h.refusals.add(time.Now(), key, func(r *refusal) {
		name := r.shadowedBy(g, w.Kind)
		r.trace, r.state = trace, g.stateOut(name, w.Kind, &key)
	})
}

// shadowedBy fills in where the rule stands, and returns its name.
func (r *refusal) shadowedBy(g *generation, kind config.Kind) string {
	name, _, _ := strings.Cut(r.rule, "@")
	r.kind = string(kind)
	if rule := findRule(g.set, name); rule != nil {
		r.position = rule.Position(string(kind)).String()
	}
	return name
}
