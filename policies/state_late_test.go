package policies_test

import (
	"testing"
	"testing/synctest"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
)

// A service that was reached through this host, and is now its own, is in the state of rules once.
func TestAMethodThatWasFoundAndIsThenCompiledIsListedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := []config.Rule{newRuleOn("calls", "Billing", scoped(""))}
		compiled := func(prev *policies.Snapshot, targets ...policies.Target) *policies.Snapshot {
			s, err := compile(rules, targets, prev, policies.Options{})
			if err != nil {
				t.Fatal(err)
			}
			s.Activate()
			return s
		}
		c := &chain{t: t, now: compiled(nil, mul)}
		for range 3 {
			_ = c.resolve(bill, policies.Call{}, errDown)
		}
		if r := c.now.Rules()[0]; r.Targets != 1 || r.Kinds[0].State != "Billing/Get open" {
			t.Errorf("called late: %+v", r)
		}
		c.now = compiled(c.now, mul, bill)
		if r := c.now.Rules()[0]; r.Targets != 1 || r.Kinds[0].State != "closed" {
			t.Errorf("compiled: %+v", r)
		}
	})
}
