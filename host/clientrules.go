package host

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

// clientRules applies the client-side rules in force. It outlives generations.
type clientRules struct {
	*core
	pool     *client.Pool // of upstreams, for the clients and the rules of all generations
	recorder *recorder
}

var _ client.Guard = clientRules{}

// Pool implements client.Guard.
func (r clientRules) Pool() *client.Pool { return r.pool }

// Do runs a call under the rules in force when it begins.
func (r clientRules) Do(ctx context.Context, call client.OutgoingCall) (slot int, err error) {
	g := r.current.Load()
	if g == nil {
		return 0, call.Attempt(ctx, 0, nil) // a handler that is being opened calls: no rule is in force yet
	}
	var within time.Time
	if outer := registry.CallFrom(ctx); outer != nil {
		within = outer.RuleDeadline
	}
	compared := g.window.Load().compareOut(ctx, call)
	slot, would, err := g.policies.ClientRules().DoWithin(ctx, call, within)
	compared.decidedOut(err)
	for _, w := range would {
		key := outgoingKey(call, w.Rule, w.Reason, w.Code)
		r.recorder.recordShadow(g, key, w.Kind, telemetry.TraceID(ctx), &policies.Call{Caller: key.caller, Metadata: call})
	}
	if err != nil {
		r.recordRefusal(ctx, g, call, err)
	}
	return slot, err
}

// recordRefusal records a call that a client-side rule refused, ended or declined to retry.
func (r clientRules) recordRefusal(ctx context.Context, g *generation, call client.OutgoingCall, err error) {
	e := code.From(err)
	key := outgoingKey(call, e.Rule, e.Reason, e.Code)
	var spent *policies.SpentError
	switch {
	case e.Own() && e.Rule != "":
		g.window.Load().stopped(key.upstream, key.target, e)
	case errors.As(err, &spent):
		key.rule, key.reason = spent.Rule, reasonRetryBudget
	default:
		return
	}
	key.key = keyOf(g.policies, key.rule, key.reason, key.target, &policies.Call{Caller: key.caller, Metadata: call})
	r.recorder.recordRefusal(g, key, "", telemetry.TraceID(ctx), e)
}

// outgoingKey returns the key of a refusal of a call to an upstream.
func outgoingKey(call client.OutgoingCall, rule, reason string, c code.Code) refusalKey {
	return refusalKey{
		rule: rule, reason: reason, code: c, caller: cmp.Or(call.Caller(), policies.Anonymous), upstream: call.Upstream(),
		target: policies.Target{Service: call.Service(), Method: call.Method()},
	}
}
