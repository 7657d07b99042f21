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

// kindFixture is a rule of one kind, and calls after which it refuses the next one, or ends it within two seconds.
type kindFixture struct {
	rule     func(*config.Rule)
	incoming func(*chain) (end func()) // nil for a kind of outgoing calls only
	outgoing func(*billing)            // makes the refused call, too; nil for a kind of incoming calls only
	noState  bool                      // to show
	orders   bool                      // it refuses none, and the next call passes
}

// atOnce is for rules that refuse the first call.
func atOnce(*chain) (end func()) { return func() {} }

var kindFixtures = map[config.Kind]kindFixture{
	config.KindAccess: {rule: access(nil, []config.AccessEntry{{Caller: config.Patterns{"*"}}}), incoming: atOnce, noState: true},
	config.KindPriority: {
		rule: priority(config.PriorityLow), incoming: atOnce, noState: true, orders: true,
		outgoing: func(b *billing) { _ = b.call(b.t.Context()) },
	},
	config.KindShed: {rule: shed(0.5), incoming: atOnce},
	config.KindRateLimit: {
		rule:     rate(0.001, 1),
		incoming: func(c *chain) func() { c.calls(1, nil); return func() {} },
		outgoing: func(b *billing) { b.fail(2) },
	},
	config.KindCircuitBreaker: {
		rule:     circuit(tripsAt(1)),
		incoming: func(c *chain) func() { c.calls(1, errDown); return func() {} },
		outgoing: func(b *billing) { b.serve("a:1"); b.answer = always(errDown); b.fail(2) },
	},
	config.KindConcurrency: {
		rule: concurrency(1, 0, 0),
		incoming: func(c *chain) func() {
			held, _ := c.enter(mul, policies.Call{})
			return func() { held.Done(nil) }
		},
		outgoing: func(b *billing) {
			free, ended := b.holding(2)
			free()
			_, _ = <-ended, <-ended
		},
	},
	config.KindTimeout: {
		rule: timeout(time.Second), incoming: atOnce, noState: true,
		outgoing: func(b *billing) {
			b.answer = func(ctx context.Context, _ string, _ int) error { return limit.Sleep(ctx, 2*time.Second) }
			b.fail(1)
		},
	},
	config.KindRetry: {rule: retry(quick(100)), outgoing: func(b *billing) { b.answer = always(errBusy); b.fail(1) }},
	config.KindHedge: {
		rule: func(r *config.Rule) { hedge(hedgeDelay, "Get")(r); r.Mode = config.Shadow }, // it refuses nothing otherwise
		outgoing: func(b *billing) {
			b.answer = func(ctx context.Context, _ string, _ int) error { return limit.Sleep(ctx, 2*hedgeDelay) }
			_ = b.call(b.t.Context(), idempotent)
		},
		noState: true,
	},
	config.KindOutlierDetection: {
		rule:     outlying(config.OutlierDetection{ConsecutiveFailures: 1}),
		outgoing: func(b *billing) { b.answer = down(errDown, "a:1"); b.fail(2) },
	},
}

// A new kind is not complete before it has a fixture, a place in an order, a setting, and counts.
func TestEveryKindIsExplainedAndCounted(t *testing.T) {
	for _, kind := range config.Kinds() {
		if f := fixtureOf(t, kind); f.outgoing != nil {
			synctest.Test(t, func(t *testing.T) {
				b := newBilling(t, toBilling("r", f.rule))
				f.outgoing(b)
				checkKind(t, kind, config.ClientKinds(), b.guard.Snapshot().ExplainUpstream("billing", "Billing", "Get", ""), f.noState)
				checkCount(t, kind, b.decisions("r", kind), f.orders)
			})
		}
	}
	kind := config.KindPriority
	c := newChain(t, newRuleOn("r", "Arith", kindFixtures[kind].rule))
	c.calls(1, nil)
	checkKind(t, kind, config.ServerKinds(), c.now.Explain(mul, "", netip.Addr{}), true)
	checkCount(t, kind, c.decisions("r", kind), true)
	eachIncoming(t, config.Enforce, func(c *chain, kind config.Kind, f *kindFixture) {
		defer f.incoming(c)()
		_, err := lasting(c, c.now.Guard(mul))
		if e := refusal(c.t, err); e.Rule != "r@r1" || e.Reason == "" || e.Host != "orders-7" {
			c.t.Errorf("refused by %+v", e)
		}
		checkKind(c.t, kind, config.ServerKinds(), c.now.Explain(mul, "", netip.Addr{}), f.noState)
		checkCount(c.t, kind, c.decisions("r", kind), false)
	})
}

func fixtureOf(t *testing.T, kind config.Kind) *kindFixture {
	t.Helper()
	f := kindFixtures[kind]
	if f.rule == nil || (f.incoming == nil) != kind.ClientOnly() || (f.outgoing == nil) != kind.ServerOnly() || settingsOfKinds[kind] == nil {
		t.Fatalf("%s: kindFixtures has none for its side, or settingsOfKinds none", kind)
	}
	return &f
}

// eachIncoming runs a test for each kind of incoming calls that refuses any, under a rule of it.
func eachIncoming(t *testing.T, m config.Mode, test func(c *chain, kind config.Kind, f *kindFixture)) {
	for _, kind := range config.ServerKinds() {
		f := fixtureOf(t, kind)
		if f.orders {
			continue
		}
		t.Run(string(kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { test(newChain(t, newRuleOn("r", "Arith", f.rule, mode(m))), kind, f) })
		})
	}
}

// lasting makes a call that takes two seconds, and returns the rules in shadow that would have refused or ended it, and the error of
// the rule that does.
func lasting(c *chain, g *policies.Guard) (would []policies.ShadowRefusal, err error) {
	var call policies.Call
	ticket := new(policies.Ticket)
	if err := g.Enter(c.t.Context(), &call, ticket); err != nil {
		return call.Shadowed(), err
	}
	time.Sleep(2 * time.Second)
	if at, ok := ticket.Deadline(); ok && !time.Now().Before(at) {
		err = ticket.Late()
	}
	ticket.Done(nil)
	return append(call.Shadowed(), ticket.Shadowed()...), err
}

func TestEveryKindOnlyCountsInShadow(t *testing.T) {
	eachIncoming(t, config.Shadow, func(c *chain, kind config.Kind, f *kindFixture) {
		defer f.incoming(c)()
		would, err := lasting(c, c.now.Guard(mul))
		if err != nil || len(would) != 1 || would[0].Kind != kind || would[0].Rule != "r@r1" {
			c.t.Errorf("%v, would be refused by %+v", err, would)
		}
		if d := c.decisions("r", kind); d.Reject != 0 || d.ShadowReject != 1 {
			c.t.Errorf("%+v", d)
		}
	})
	for _, kind := range config.ClientKinds() {
		f := fixtureOf(t, kind)
		if f.orders {
			continue
		}
		synctest.Test(t, func(t *testing.T) {
			b := newBilling(t, toBilling("r", f.rule, mode(config.Shadow)))
			f.outgoing(b)
			if d := b.decisions("r", kind); d.Reject != 0 || d.ShadowReject == 0 {
				t.Errorf("%s: %+v", kind, d)
			}
		})
	}
}

func TestEveryKindKeepsItsStateAcrossEdits(t *testing.T) {
	eachIncoming(t, config.Enforce, func(c *chain, _ config.Kind, f *kindFixture) {
		defer f.incoming(c)()
		c.edit(newRuleOn("other", "Orders", timeout(time.Hour)), newRuleOn("r", "*", f.rule))
		if _, err := lasting(c, c.now.Guard(mul)); err == nil || refusal(c.t, err).Rule != "r@r2" {
			c.t.Errorf("refused by %v", err)
		}
	})
}

// What a rule refused before an edit, the baseline refuses, or the edit would be blamed for it.
func TestTheBaselineHasTheStateOfEveryKind(t *testing.T) {
	eachIncoming(t, config.Enforce, func(c *chain, _ config.Kind, f *kindFixture) {
		defer f.incoming(c)()
		next, err := compile([]config.Rule{newRuleOn("r", "Arith", f.rule)}, targets, c.now, policies.Options{Revision: 2, CPU: c.load})
		succeeds(c.t, err)
		b, err := policies.NewBaseline(c.now, next, nil, nil, true, false)
		succeeds(c.t, err)
		next.Activate()
		if _, err := lasting(c, b.Guard(mul)); err == nil || refusal(c.t, err).Rule != "r@r1" {
			c.t.Errorf("refused by %v", err)
		}
	})
}

// A kind that refuses calls for their number is tried on one too many by Taste.
func TestARuleIsTriedBeyondItsLimit(t *testing.T) {
	secondIsRefused := func(c *chain) bool {
		first, err := c.enter(mul, policies.Call{})
		second, refused := c.enter(mul, policies.Call{})
		first.Done(nil)
		second.Done(nil)
		return err == nil && refused != nil
	}
	eachIncoming(t, config.Enforce, func(c *chain, kind config.Kind, _ *kindFixture) {
		byNumber := secondIsRefused(c)
		wide := newRuleOn("wide", "Arith", settingsOfKinds[kind])
		if c.edit(wide); secondIsRefused(c) {
			c.t.Fatal("settingsOfKinds has a rule that is too tight for this test")
		}
		if c.edit(*config.Tight(&wide)); secondIsRefused(c) != byNumber {
			c.t.Errorf("refused under config.Tight: %t, want %t", !byNumber, byNumber)
		}
	})
}

func checkKind(t *testing.T, kind config.Kind, order []config.Kind, x policies.Explanation, noState bool) {
	t.Helper()
	switch {
	case !slices.Contains(order, kind):
		t.Errorf("%s is not in the order of evaluation", kind)
	case len(x.Kinds) != 1 || x.Kinds[0].Kind != kind || len(x.Kinds[0].Applies) != 1:
		t.Errorf("%s is not explained: %+v", kind, x)
	case x.Kinds[0].Applies[0].Setting == "":
		t.Errorf("%s has no setting", kind)
	case (x.Kinds[0].Applies[0].State == "") != noState:
		t.Errorf("%s has the state %q", kind, x.Kinds[0].Applies[0].State)
	}
}

func checkCount(t *testing.T, kind config.Kind, d policies.Decisions, orders bool) {
	t.Helper()
	if d.Reject+d.ShadowReject == 0 && (!orders || d.Allow == 0) {
		t.Errorf("%s: a refusal is not counted: %+v", kind, d)
	}
}
