package host

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
)

// kindOf is the kind of rule behind a refusal.
var kindOf = map[string]config.Kind{
	code.ReasonRateLimited: config.KindRateLimit,
	code.ReasonOverloaded:  config.KindConcurrency,
	code.ReasonBreakerOpen: config.KindCircuitBreaker,
	code.ReasonDenied:      config.KindAccess,
	code.ReasonTimeout:     config.KindTimeout,
	reasonRetryBudget:      config.KindRetry,
}

// endsCalls are the kinds beside timeout that may end a call for its time: while it waits, or a single attempt.
var endsCalls = []config.Kind{config.KindRateLimit, config.KindConcurrency, config.KindRetry}

// reasonRetryBudget is why a call failed that was worth another attempt. It is never sent: the caller is told why the
// last attempt failed.
const reasonRetryBudget = "retry_budget"

// ruleBehind is the rule of a refusal, and which kind of it has refused; nil when there is none.
func ruleBehind(set *config.Set, label, reason string) (*config.Rule, config.Kind) {
	kind, ok := kindOf[reason]
	if !ok {
		return nil, ""
	}
	name, _, _ := strings.Cut(label, "@")
	rule := findRule(set, name)
	if rule == nil {
		return nil, ""
	}
	if kinds := rule.Kinds(); !slices.Contains(kinds, kind) {
		for _, other := range endsCalls {
			if slices.Contains(kinds, other) {
				return rule, other
			}
		}
	}
	return rule, kind
}

// refused remembers a call that the host itself turned away or ended.
func (h *Host) refused(s *serving, e *code.Error) {
	if !e.Own() {
		return
	}
	name := s.method.fullName()
	key := refusalKey{rule: e.Rule, reason: e.Reason, caller: s.Caller, target: s.method.target}
	h.refusals.add(time.Now(), key, func(r *refusal) {
		r.code = e.Code.String()
		if s.wire.Peer().IsValid() {
			r.peer = s.wire.Peer().String()
		}
		if rule, kind := ruleBehind(s.generation.set, e.Rule, e.Reason); rule != nil {
			r.kind = string(kind)
			r.position = rule.Position(string(kind)).String()
			r.state = s.generation.policies.State(rule.Name, kind, s.method.target, s.Caller)
		}
		r.trace = s.trace.ID()
	})
	h.floods.Log(slog.LevelWarn, telemetry.Kind{Event: e.Reason, Subject: strings.TrimSpace(name + " " + e.Rule)}, "call refused", func() []slog.Attr {
		attrs := []slog.Attr{slog.String("method", name), slog.String("caller", s.Caller), slog.Any("error", e)}
		if id := s.trace.ID(); id != "" {
			attrs = append(attrs, slog.String("trace_id", id))
		}
		return attrs
	})
}

// refusedOut remembers a call to an upstream that a client-side rule turned away or ended, or did not have sent again.
func (h *Host) refusedOut(ctx context.Context, g *generation, call client.Guarded, err error) {
	e := code.From(err)
	rule, reason := e.Rule, e.Reason
	var spent *policies.SpentError
	switch {
	case e.Own() && e.Rule != "":
	case errors.As(err, &spent):
		rule, reason = spent.Rule, reasonRetryBudget
	default:
		return
	}
	caller := cmp.Or(call.Caller(), anonymous)
	target := policies.Target{Service: call.Service(), Method: call.Method()}
	key := refusalKey{rule: rule, reason: reason, caller: caller, upstream: call.Upstream(), target: target}
	h.refusals.add(time.Now(), key, func(r *refusal) {
		r.code, r.trace = e.Code.String(), telemetry.TraceID(ctx)
		if found, kind := ruleBehind(g.set, rule, reason); found != nil {
			r.kind, r.position = string(kind), found.Position(string(kind)).String()
			r.state = g.stateOut(found.Name, kind, &key)
		}
	})
	subject := strings.Join([]string{key.upstream, target.String(), rule}, " ")
	h.floods.Log(slog.LevelWarn, telemetry.Kind{Event: reason, Subject: subject}, "call to an upstream refused", func() []slog.Attr {
		attrs := []slog.Attr{
			slog.String("upstream", key.upstream), slog.String("method", target.String()), slog.String("caller", caller),
			slog.String("rule", rule), slog.String("reason", reason), slog.Any("error", e),
		}
		if id := telemetry.TraceID(ctx); id != "" {
			attrs = append(attrs, slog.String("trace_id", id))
		}
		return attrs
	})
}

// stateOut is the state of a kind of a client-side rule, as calls like those of key meet it.
func (g *generation) stateOut(rule string, kind config.Kind, key *refusalKey) string {
	for _, k := range g.policies.ExplainUpstream(key.upstream, key.target.Service, key.target.Method, key.caller).Kinds {
		for _, r := range k.Applies {
			if k.Kind == kind && r.Rule == rule {
				return r.State
			}
		}
	}
	return ""
}
