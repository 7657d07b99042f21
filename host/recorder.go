package host

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// recorder keeps and logs the calls that rules refused or ended, or would have in shadow.
type recorder struct {
	*core
	refusals refusals
}

// kindOf is the kind of rule behind a reason.
var kindOf = map[string]config.Kind{
	code.ReasonRateLimited: config.KindRateLimit,
	code.ReasonMissingKey:  config.KindRateLimit,
	code.ReasonOverloaded:  config.KindConcurrency,
	code.ReasonBreakerOpen: config.KindCircuitBreaker,
	code.ReasonDenied:      config.KindAccess,
	code.ReasonRuleBroken:  config.KindAccess,
	code.ReasonTimeout:     config.KindTimeout,
	reasonRetryBudget:      config.KindRetry,
}

// otherTimeoutKinds are the other kinds whose refusals can have the reason timeout: a call reaches its deadline while it
// waits, or an attempt its own.
var otherTimeoutKinds = []config.Kind{config.KindRateLimit, config.KindConcurrency, config.KindRetry}

// reasonRetryBudget is the reason of a call that was not retried since the budget was used up. It is never sent: the caller
// gets the reason of the last attempt.
const reasonRetryBudget = "retry_budget"

// kindBehind returns the kind of rule behind an error with a reason; empty if there is none.
func kindBehind(e *code.Error, reason string) config.Kind {
	return cmp.Or(config.Kind(e.Kind()), kindOf[reason])
}

// ruleBehind returns the rule of a refusal by a kind, and the kind of it that refused; nil if there is none.
func ruleBehind(set *config.Set, label string, kind config.Kind) (*config.Rule, config.Kind) {
	if kind == "" {
		return nil, ""
	}
	rule := ruleNamed(set, label)
	if rule == nil {
		return nil, ""
	}
	if kinds := rule.Kinds(); !slices.Contains(kinds, kind) {
		for _, other := range otherTimeoutKinds {
			if slices.Contains(kinds, other) {
				return rule, other
			}
		}
	}
	return rule, kind
}

// ruleNamed returns the rule of a label, name@rN; nil if there is none.
func ruleNamed(set *config.Set, label string) *config.Rule {
	name, _, _ := strings.Cut(label, "@")
	return set.Rule(name)
}

// keyOf returns the key of the rate limit behind a refusal for display; empty if something else refused. It reads the
// metadata of the call, so it must not be used for calls that are answered while they run.
func keyOf(s *policies.Snapshot, rule, reason string, t policies.Target, c *policies.Call) string {
	kind := kindOf[reason]
	if kind != config.KindRateLimit && kind != config.KindTimeout && reason != code.ReasonCancelled { // these end a wait for a token
		return ""
	}
	name, _, _ := strings.Cut(rule, "@")
	return s.KeyText(name, t, c)
}

// recordRefusal records a call, or a call to an upstream, that the host itself refused or ended. subject is the name of the
// method under which such log lines are sampled.
func (c *recorder) recordRefusal(g *generation, key refusalKey, subject, trace string, e *code.Error) {
	c.refusals.add(time.Now(), key, func(r *refusal) {
		if rule, kind := ruleBehind(g.set, key.rule, kindBehind(e, key.reason)); rule != nil {
			r.kind, r.position = string(kind), rule.Position(string(kind)).String()
			r.state = stateOf(g, rule.Name, kind, &key)
		}
		r.trace = trace
	})
	msg := "call refused"
	if key.upstream != "" {
		msg = "call to an upstream refused"
	}
	c.logRefusal(msg, &key, subject, e, trace)
}

// logRefusal logs a refusal. Attributes that differ from call to call are only in the first line of a flood, and so is the
// method unless subject names it, since callers of a gateway may invent names.
func (c *recorder) logRefusal(msg string, key *refusalKey, subject string, e *code.Error, trace string) {
	called := key.target.String()
	kind := telemetry.LogKey{
		Subject: telemetry.LogAttrs{{"upstream", key.upstream}, {"method", subject}, {"rule", key.rule}, {"reason", key.reason}},
		Source:  telemetry.LogAttrs{{"caller", key.caller}, {"key", key.key}},
	}
	if subject == "" {
		kind.Source[2] = [2]string{"method", code.Clip(called, maxNameBytes)}
		called = ""
	}
	c.sampler.Log(slog.LevelWarn, msg, kind, func() []slog.Attr {
		var attrs []slog.Attr
		if called != subject {
			attrs = append(attrs, slog.String("called", code.Clip(called, maxNameBytes)))
		}
		if key.peer.IsValid() {
			attrs = append(attrs, slog.String("peer", key.peer.String()))
		}
		attrs = append(attrs, slog.String("code", e.Code.String()), slog.String("error", e.Message))
		if trace != "" {
			attrs = append(attrs, slog.String("trace_id", trace))
		}
		return attrs
	})
}

// stateOf returns the state of one kind of a rule for calls like those of key.
func stateOf(g *generation, rule string, kind config.Kind, key *refusalKey) string {
	if key.upstream == "" {
		return g.policies.State(rule, kind, key.target, key.caller)
	}
	for _, k := range g.policies.ExplainUpstream(key.upstream, key.target.Service, key.target.Method, key.caller).Kinds {
		for _, r := range k.Applies {
			if k.Kind == kind && r.Rule == rule {
				return r.State
			}
		}
	}
	return ""
}

// recordShadow records what a rule in shadow would have done to a call, whose metadata must be valid.
func (c *recorder) recordShadow(g *generation, key refusalKey, kind config.Kind, trace string, call *policies.Call) {
	c.shadows.count(&key, kind)
	key.shadow, key.key = true, ""
	if kind == config.KindRateLimit {
		key.key = keyOf(g.policies, key.rule, key.reason, key.target, call)
	}
	c.refusals.add(time.Now(), key, func(r *refusal) {
		name := r.shadowedBy(g, kind)
		r.trace, r.state = trace, stateOf(g, name, kind, &key)
	})
}

// logAccess logs a call of a service with accessLog.
func (c *recorder) logAccess(who []slog.Attr, method, transport string, is code.Code, e *code.Error, took time.Duration) {
	attrs := who
	attrs = append(attrs,
		slog.String("method", method), slog.String("transport", transport),
		slog.String("code", is.String()), slog.Duration("took", took),
	)
	if e != nil && e.Reason != "" {
		attrs = append(attrs, slog.String("reason", e.Reason))
	}
	if e != nil && e.Rule != "" {
		attrs = append(attrs, slog.String("rule", e.Rule))
	}
	c.log.LogAttrs(context.Background(), slog.LevelInfo, "call", attrs...)
}
