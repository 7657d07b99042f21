package policies_test

import (
	"context"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/policies/limit"
)

// kindFixture is a rule of one kind, and calls of which it refuses one, or would in shadow.
type kindFixture struct {
	rule     func(*config.Rule)
	incoming func(*chain)   // nil for a kind of outgoing calls only
	outgoing func(*billing) // nil for a kind of incoming calls only
}

var kindFixtures = map[config.Kind]kindFixture{
	config.KindAccess: {
		access(nil, []config.AccessEntry{{Caller: config.Patterns{"*"}}}),
		func(c *chain) { _ = c.call(mul, policies.Call{}, nil) }, nil,
	},
	config.KindRateLimit: {
		rate(0.001, 1),
		func(c *chain) { _, _ = c.call(mul, policies.Call{}, nil), c.call(mul, policies.Call{}, nil) },
		func(b *billing) { b.fail(2) },
	},
	config.KindCircuitBreaker: {
		circuit(tripsAt(1)),
		func(c *chain) { _, _ = c.call(mul, policies.Call{}, errDown), c.call(mul, policies.Call{}, nil) },
		func(b *billing) { b.serve("a:1"); b.answer = always(errDown); b.fail(2) },
	},
	config.KindConcurrency: {
		concurrency(1, 0, 0),
		func(c *chain) {
			held, _ := c.enter(mul, policies.Call{})
			_ = c.call(mul, policies.Call{}, nil)
			held.Done(nil)
		},
		func(b *billing) {
			free, ended := b.holding(1)
			b.fail(1)
			free()
			<-ended
		},
	},
	config.KindTimeout: {
		timeout(time.Second),
		func(c *chain) {
			ticket, _ := c.enter(mul, policies.Call{})
			_ = ticket.Late()
			ticket.Done(nil)
		},
		func(b *billing) {
			b.answer = func(ctx context.Context, _ string, _ int) error { return until(ctx) }
			b.fail(1)
		},
	},
	config.KindRetry: {retry(quick(100)), nil, func(b *billing) { b.answer = always(errBusy); b.fail(1) }},
	config.KindHedge: {
		func(r *config.Rule) { hedge(hedgeDelay, "Get")(r); r.Mode = config.Shadow }, // it refuses nothing otherwise
		nil, func(b *billing) {
			b.answer = func(ctx context.Context, _ string, _ int) error { return limit.Sleep(ctx, 2*hedgeDelay) }
			_ = b.call(b.t.Context(), idempotent)
		},
	},
	config.KindOutlierDetection: {
		outlying(config.OutlierDetection{ConsecutiveFailures: 1}),
		nil, func(b *billing) { b.answer = down(errDown, "a:1"); b.fail(2) },
	},
}

// A new kind is not complete before it has a fixture, a place in an order, a setting, and counts.
func TestEveryKindIsExplainedAndCounted(t *testing.T) {
	for _, kind := range config.Kinds() {
		f, ok := kindFixtures[kind]
		if !ok || (f.incoming == nil) != kind.ClientOnly() || (f.outgoing == nil) != kind.ServerOnly() {
			t.Errorf("%s: no fixture for its side", kind)
			continue
		}
		if f.incoming != nil {
			synctest.Test(t, func(t *testing.T) {
				c := newChain(t, newRuleOn("r", "Arith", f.rule))
				checkKind(t, kind, config.ServerKinds(), c.now.Explain(mul, "", netip.Addr{}))
				f.incoming(c)
				checkCount(t, kind, c.decisions("r", kind))
			})
		}
		if f.outgoing != nil {
			synctest.Test(t, func(t *testing.T) {
				b := newBilling(t, toBilling("r", f.rule))
				checkKind(t, kind, config.ClientKinds(), b.guard.Snapshot().ExplainUpstream("billing", "Billing", "Get", ""))
				f.outgoing(b)
				checkCount(t, kind, b.decisions("r", kind))
			})
		}
	}
}

func checkKind(t *testing.T, kind config.Kind, order []config.Kind, x policies.Explanation) {
	t.Helper()
	switch {
	case !slices.Contains(order, kind):
		t.Errorf("%s is not in the order of evaluation", kind)
	case len(x.Kinds) != 1 || x.Kinds[0].Kind != kind || len(x.Kinds[0].Applies) != 1:
		t.Errorf("%s is not explained: %+v", kind, x)
	case x.Kinds[0].Applies[0].Setting == "":
		t.Errorf("%s has no setting", kind)
	}
}

func checkCount(t *testing.T, kind config.Kind, d policies.Decisions) {
	t.Helper()
	if d.Reject+d.ShadowReject == 0 {
		t.Errorf("%s: a refusal is not counted: %+v", kind, d)
	}
}
