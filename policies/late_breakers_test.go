package policies_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
)

// callUpstreams calls n upstreams of invented names.
func (b *billing) callUpstreams(n int) {
	b.t.Helper()
	for i := range n {
		if err := b.call(b.t.Context(), func(c *outCall) { c.upstream, c.service = fmt.Sprint("up", i), fmt.Sprint("up", i) }); err != nil {
			b.t.Fatal(err)
		}
	}
}

func TestBreakersOfUpstreamsThatAreMadeUpAreBounded(t *testing.T) {
	for _, scope := range []string{config.ScopeMethod, config.ScopeUpstream} {
		b := newBilling(t, toBilling("calls", to("*"), scoped(scope)))
		b.answer = func(context.Context, string, int) error { return nil }
		b.callUpstreams(policies.MaxFound + policies.MaxFound/2)
		all := b.guard.Snapshot().Breakers()
		if len(all) > policies.MaxFound+1 {
			t.Errorf("scope %s: %d breakers", scope, len(all))
		}
		if !slices.ContainsFunc(all, func(s policies.BreakerStats) bool { return s.Target == policies.Other && s.Upstream == policies.Other }) {
			t.Errorf("scope %s: the rest does not share one", scope)
		}
	}
}

// The upstreams that a rule names are few: methods without end of one do not close another one to calls.
func TestMethodsWithoutEndOfOneUpstreamShareNoBreakerWithAnother(t *testing.T) {
	b := newBilling(t, toBilling("calls", to("billing", "orders"), scoped(config.ScopeMethod)))
	b.answer = always(nil)
	for i := range policies.MaxFound {
		_ = b.call(t.Context(), callOf(fmt.Sprint("M", i)))
	}
	b.answer = always(errDown)
	for i := range 3 {
		_ = b.call(t.Context(), callOf(fmt.Sprint("Other", i)))
	}
	b.answer = always(nil)
	if err := b.call(t.Context(), func(c *outCall) { c.upstream = "orders" }); err != nil {
		t.Error(err)
	}
	if err := b.call(t.Context(), callOf("Another")); err == nil {
		t.Error("methods beyond the bound do not share a breaker")
	}
}
