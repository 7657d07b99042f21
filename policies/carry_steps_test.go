package policies_test

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// What is left of a bucket that was emptied, and of a breaker that was opened, after some edits.
func TestStateGoesWithNameAndKind(t *testing.T) {
	limit, breaks := rate(1, 3), circuit(tripsAt(2))
	both := newRuleOn("r", "Arith", limit, breaks)
	for _, test := range []struct {
		name    string
		edits   [][]config.Rule
		tokens  int // that are left
		tripped bool
	}{
		{name: "nothing", edits: [][]config.Rule{{both}}, tokens: 1, tripped: true},
		{name: "off and on again", edits: [][]config.Rule{{newRuleOn("r", "Arith", limit, breaks, mode(config.Off))}, {both}}, tokens: 1, tripped: true},
		{name: "shadow and enforced again", edits: [][]config.Rule{{newRuleOn("r", "Arith", limit, breaks, mode(config.Shadow))}, {both}}, tokens: 1, tripped: true},
		{name: "another match", edits: [][]config.Rule{{newRuleOn("r", "*", limit, breaks, caller("*"))}}, tokens: 1, tripped: true},
		{name: "removed and back again", edits: [][]config.Rule{{}, {both}}, tokens: 3},
		{name: "another name", edits: [][]config.Rule{{newRuleOn("new", "Arith", limit, breaks)}}, tokens: 3},
		{name: "was", edits: [][]config.Rule{{newRuleOn("new", "Arith", limit, breaks, was("r"))}}, tokens: 1, tripped: true},
		{name: "was stays in the file", edits: [][]config.Rule{
			{newRuleOn("new", "Arith", limit, breaks, was("r"))}, {newRuleOn("new", "Arith", rate(1, 2), breaks, was("r"))},
		}, tokens: 1, tripped: true},
		{name: "was of a name that is still there", edits: [][]config.Rule{
			{newRuleOn("new", "Arith", limit, breaks, was("r")), newRuleOn("r", "Orders", limit, breaks)},
		}, tokens: 3},
		{name: "another key", edits: [][]config.Rule{{newRuleOn("r", "Arith", keyedRate("caller", 0, 1, 3), breaks)}}, tokens: 3, tripped: true},
		{name: "another kind and back again", edits: [][]config.Rule{{newRuleOn("r", "Arith", timeout(time.Hour))}, {both}}, tokens: 3},
		{name: "one kind alone", edits: [][]config.Rule{{newRuleOn("r", "Arith", limit)}}, tokens: 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newChain(t, both)
				c.calls(2, errDown)
				if got := reasonOf(c.call(mul, policies.Call{}, nil)); got != code.ReasonBreakerOpen { // and so takes no token
					t.Fatal(got)
				}
				for _, rules := range test.edits {
					c.edit(rules...)
				}
				x := c.now.Explain(mul, "", policies.Call{}.Peer)
				for _, k := range x.Kinds {
					for _, r := range k.Applies {
						switch {
						case k.Kind == config.KindRateLimit && tokensLeft(c.now, r.Rule) != test.tokens:
							t.Errorf("%s, want %d tokens", r.State, test.tokens)
						case k.Kind == config.KindCircuitBreaker && strings.HasPrefix(r.State, "open since") != test.tripped:
							t.Errorf("%s, want it open: %v", r.State, test.tripped)
						}
					}
				}
				if len(x.Kinds) == 0 {
					t.Error("no rule applies")
				}
			})
		})
	}
}
