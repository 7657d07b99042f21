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

// held puts holds of the rule arith in force.
func (c *chain) held(rules []config.Rule, holds ...policies.BreakerHold) {
	for i := range holds {
		holds[i].Rule, holds[i].Cause = "arith", "by command of ops"
	}
	c.holds = holds
	c.edit(rules...)
}

func TestABreakerThatIsHeldOpenRefusesCallsUntilTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := []config.Rule{newRuleOn("arith", "Arith", circuit(tripsAt(3)))}
		c := newChain(t, rules...)
		c.held(rules, policies.BreakerHold{Target: "Arith/Mul", Open: true, Until: time.Now().Add(time.Hour)})
		e := refusal(t, c.call(mul, policies.Call{}, nil))
		if e.Reason != code.ReasonBreakerOpen || e.RetryAfter != openTime ||
			!strings.HasPrefix(e.Message, "UNAVAILABLE: circuit breaker open (by an operator) by arith@r2 on orders-7") {
			t.Errorf("%+v", e)
		}
		if err := c.call(policies.Target{Service: "Arith", Method: "Div"}, policies.Call{}, nil); err != nil {
			t.Errorf("another method: %v", err)
		}
		if b := c.breaker("open"); b.Cause != "by command of ops" || b.HeldBy != b.Cause || b.HeldUntil.IsZero() {
			t.Errorf("%+v", b)
		}
		if len(c.told) != 1 || c.told[0].To != "open" || c.told[0].Cause != "by command of ops" {
			t.Errorf("%+v", c.told)
		}
		edit := tripsAt(3)
		edit.OpenTimeout = config.Duration(time.Second)
		c.edit(newRuleOn("arith", "Arith", circuit(edit))) // the hold stays
		time.Sleep(59 * time.Minute)
		_ = refusal(t, c.call(mul, policies.Call{}, nil))
		time.Sleep(time.Minute)
		c.calls(1, nil)
		c.breaker("half_open")
		c.calls(1, nil)
		c.breaker("closed")
	})
}

func TestABreakerThatIsHeldClosedStaysClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := []config.Rule{newRuleOn("arith", "Arith", circuit(tripsAt(3)))}
		c := newChain(t, rules...)
		c.calls(3, errDown)
		c.breaker("open")
		c.held(rules, policies.BreakerHold{Until: time.Now().Add(time.Hour)})
		c.calls(10, errDown)
		if b := c.breaker("closed"); len(b.Outcomes) != 13 || b.Outcomes[12] != "failed" || !strings.Contains(b.LastFailure, "UNAVAILABLE") {
			t.Errorf("%+v", b)
		}
		time.Sleep(time.Hour)
		c.calls(1, errDown) // the hold has ended
		c.breaker("open")
	})
}

// The end of a hold before its time has a breaker that was open probe, and one that was closed go on.
func TestTheEndOfAHold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := []config.Rule{newRuleOn("arith", "Arith", circuit(tripsAt(3)))}
		c := newChain(t, rules...)
		until := time.Now().Add(time.Hour)
		c.held(rules, policies.BreakerHold{Open: true, Until: until})
		_ = refusal(t, c.call(mul, policies.Call{}, nil))
		c.held(rules, policies.BreakerHold{Open: true, Until: until}, policies.BreakerHold{Target: "Arith/Mul", Until: until})
		c.calls(9, errDown)
		c.held(rules, policies.BreakerHold{Open: true, Until: until})
		_ = refusal(t, c.call(mul, policies.Call{}, nil))
		c.held(rules)
		time.Sleep(time.Millisecond)
		c.calls(1, errDown)
		c.breaker("open")
		_ = refusal(t, c.call(mul, policies.Call{}, nil))
	})
}

func TestResetForgetsWhatABreakerHasCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := []config.Rule{newRuleOn("arith", "Arith", circuit(tripsAt(3)))}
		c := newChain(t, rules...)
		all := func(string) bool { return true }
		c.calls(2, errDown)
		c.now.ResetBreakers("arith", "by command of ops", all)
		c.calls(2, errDown)
		c.breaker("closed")
		c.calls(1, errDown)
		c.breaker("open")
		c.now.ResetBreakers("arith", "by command of ops", func(target string) bool { return target == "Arith/Div" })
		c.breaker("open")
		c.now.ResetBreakers("arith", "by command of ops", all)
		c.breaker("closed")
		if last := c.told[len(c.told)-1]; last.To != "closed" || last.Cause != "by command of ops" {
			t.Errorf("%+v", last)
		}
		c.held(rules, policies.BreakerHold{Open: true, Until: time.Now().Add(time.Hour)})
		c.now.ResetBreakers("arith", "by command of ops", all)
		c.breaker("open")
	})
}
