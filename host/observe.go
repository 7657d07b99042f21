package host

import (
	"cmp"
	"context"
	"log/slog"
	"strings"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/telemetry"
	"github.com/easymicro/easymicro/policies"
)

// emit gives the numbers of the rules to a scrape.
func (h *Host) emit(e *telemetry.Emitter) {
	g := h.current.Load()
	if g == nil {
		return
	}
	now := time.Now()
	for i := range g.set.Rules {
		r := &g.set.Rules[i]
		status := "active"
		if r.Expired(now) {
			status = "expired"
		}
		e.RuleInfo(r.Name, string(cmp.Or(r.Mode, config.Enforce)), status)
	}
	g.policies.Decisions(func(rule string, kind config.Kind, method, decision string, n uint64) {
		e.Decisions(rule, string(kind), method, decision, n)
	})
	for l := range g.policies.Limiters() {
		if l.Keyed {
			e.LimiterKeys(l.Rule, string(l.Mode), l.Keys)
			e.LimiterOverflow(l.Rule, l.Overflow)
			e.LimiterMissingKey(l.Rule, l.MissingKey)
		} else {
			e.LimiterTokens(l.Rule, string(l.Mode), l.Tokens)
		}
	}
	for b := range g.policies.Breakers() {
		e.BreakerState(b.Rule, string(b.Mode), b.Target, b.State)
		for to, n := range b.Transitions {
			e.BreakerTransitions(b.Rule, string(b.Mode), b.Target, to, n)
		}
	}
	h.emitBudget(e)
	h.emitDiscovery(g, e)
}

// ruleChanged logs a transition of a breaker, of an endpoint, or of a rate limit that runs out of keys. It is called on
// the goroutine of a call.
func (h *Host) ruleChanged(t policies.Transition) {
	if t.Kind == config.KindRateLimit {
		h.ranOutOfKeys(t)
		return
	}
	level, what, is := slog.LevelInfo, "breaker", " "
	if t.Kind == config.KindOutlierDetection {
		what = "endpoint"
	}
	switch {
	case t.Mode == config.Shadow:
		is = " would be " // who looks for "breaker open" must not find it
	case t.To == "open" || t.To == "ejected":
		level = slog.LevelWarn
	}
	what += is + strings.ReplaceAll(t.To, "_", "-")
	attrs := []any{"rule", t.Rule}
	if t.Mode == config.Shadow {
		attrs = append(attrs, "mode", string(t.Mode))
	}
	if t.Upstream == "" {
		attrs = append(attrs, "method", t.Target)
	} else {
		attrs = append(attrs, "upstream", t.Upstream, "target", t.Target)
	}
	attrs = append(attrs, "from", t.From)
	if t.Cause != "" {
		attrs = append(attrs, "cause", t.Cause)
	}
	h.log.Log(context.Background(), level, what, attrs...)
}

// ranOutOfKeys logs that calls with different keys share a bucket. In shadow that is nobody's trouble.
func (h *Host) ranOutOfKeys(t policies.Transition) {
	level, attrs := slog.LevelWarn, []any{"rule", t.Rule}
	if t.Mode == config.Shadow {
		level, attrs = slog.LevelInfo, append(attrs, "mode", string(t.Mode))
	}
	h.log.Log(context.Background(), level, "rate limit out of keys", append(attrs, "cause", t.Cause)...)
}
