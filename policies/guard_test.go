package policies_test

import (
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

func TestAccess(t *testing.T) {
	web, batch := config.AccessEntry{Caller: config.Patterns{"web-*"}},
		config.AccessEntry{Caller: config.Patterns{"batch"}, Methods: config.Patterns{"Ex*"}}
	for _, test := range []struct {
		name        string
		allow, deny []config.AccessEntry
		target      policies.Target
		caller      string
		passes      bool
	}{
		{"allowed by a glob", []config.AccessEntry{web, batch}, nil, mul, "web-1", true},
		{"allowed for another method only", []config.AccessEntry{web, batch}, nil, mul, "batch", false},
		{"allowed for the method", []config.AccessEntry{web, batch}, nil, export, "batch", true},
		{"nobody is allowed for the method", []config.AccessEntry{batch}, nil, mul, "web-1", false},
		{"unknown", []config.AccessEntry{web, batch}, nil, mul, "other", false},
		{"anonymous", []config.AccessEntry{web}, nil, mul, "", false},
		{"anonymous by name", []config.AccessEntry{{Caller: config.Patterns{"anonymous"}}}, nil, mul, "", true},
		{"denied", nil, []config.AccessEntry{web}, mul, "web-1", false},
		{"not denied", nil, []config.AccessEntry{web}, mul, "batch", true},
		{"deny comes before allow", []config.AccessEntry{web}, []config.AccessEntry{{Caller: config.Patterns{"web-1"}}}, mul, "web-1", false},
		{"denied for another method", nil, []config.AccessEntry{batch}, mul, "batch", true},
	} {
		c := newChain(t, newRuleOn("who", "*", access(test.allow, test.deny)))
		err := c.call(test.target, from(test.caller), nil)
		if (err == nil) != test.passes {
			t.Errorf("%s: %v", test.name, err)
		}
		var e *code.Error
		if errors.As(err, &e) && (e.Code != code.PermissionDenied || e.Reason != code.ReasonDenied || e.Rule != "who@r1") {
			t.Errorf("%s: %+v", test.name, e)
		}
	}
}

func TestEveryAccessRuleMustAgree(t *testing.T) {
	allow := func(who ...string) func(*config.Rule) {
		return access([]config.AccessEntry{{Caller: who}}, nil)
	}
	c := newChain(t, newRuleOn("host", "*", allow("web", "batch")), newRuleOn("arith", "Arith", allow("batch", "other")))
	for who, want := range map[string]string{"batch": "", "web": "arith@r1", "other": "host@r1"} {
		got := ""
		if err := c.call(mul, from(who), nil); err != nil {
			got = refusal(t, err).Rule
		}
		if got != want {
			t.Errorf("%s refused by %q, want %q", who, got, want)
		}
	}
}

func TestKindsAreAskedInOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		all := []config.Rule{ // the broadest kind of match is asked first, so that only the kinds make the order
			newRuleOn("access", "*", access(nil, []config.AccessEntry{{Caller: config.Patterns{"*"}}})),
			newRuleOn("limit", "*", method("Mul"), rate(0.001, 1)),
			newRuleOn("breaker", "Arith", method("M*"), circuit(tripsAt(1))),
			newRuleOn("places", "Arith", method("Mul"), concurrency(1, 0, 0)),
			newRuleOn("patience", "Arith", method("Mul"), caller("anonymous"), timeout(time.Second)),
		}
		// only has the named rules on; the others keep their state.
		only := func(on ...string) []config.Rule {
			rules := slices.Clone(all)
			for i := range rules {
				if !slices.Contains(on, rules[i].Name) {
					rules[i].Mode = config.Off
				}
			}
			slices.Reverse(rules)
			return rules
		}
		c := newChain(t, only("limit")...)
		c.calls(1, nil)
		c.edit(only("breaker")...)
		c.calls(1, errDown)
		c.edit(only("places")...)
		if _, err := c.enter(mul, policies.Call{}); err != nil {
			t.Fatal(err)
		}
		for i, reason := range []string{
			code.ReasonDenied, code.ReasonRateLimited, code.ReasonBreakerOpen, code.ReasonOverloaded, "",
		} {
			var on []string
			for _, r := range all[i:] {
				on = append(on, r.Name)
			}
			c.edit(only(on...)...)
			if got := reasonOf(c.call(mul, policies.Call{}, nil)); got != reason {
				t.Errorf("with %v on: refused as %q, want %q", on, got, reason)
			}
		}
	})
}

func TestTimeoutCountsFromArrivalAndIsNeverLongerThanTheCallers(t *testing.T) {
	now := time.Now()
	for _, test := range []struct {
		name           string
		rule           time.Duration
		callers, wants time.Time
	}{
		{"rule", time.Second, time.Time{}, now.Add(time.Second)},
		{"caller", 0, now.Add(time.Hour), now.Add(time.Hour)},
		{"rule first", time.Second, now.Add(time.Hour), now.Add(time.Second)},
		{"caller first", time.Hour, now.Add(time.Second), now.Add(time.Second)},
		{"neither", 0, time.Time{}, time.Time{}},
	} {
		var rules []config.Rule
		if test.rule > 0 {
			rules = append(rules, newRuleOn("r", "Arith", timeout(test.rule)))
		}
		c := newChain(t, rules...)
		ticket, err := c.enter(mul, policies.Call{Arrived: now, Deadline: test.callers})
		if err != nil {
			t.Fatal(err)
		}
		if d, ok := ticket.Deadline(); !d.Equal(test.wants) || ok == test.wants.IsZero() {
			t.Errorf("%s: %v, want %v", test.name, d, test.wants)
		}
		ticket.Done(nil)
	}
}

func TestAnswerAtTheDeadlineSaysWhoseItWas(t *testing.T) {
	c := newChain(t, newRuleOn("r", "Arith", timeout(800*time.Millisecond)))
	ticket, _ := c.enter(mul, policies.Call{})
	if e := ticket.Late(); e.Message != "DEADLINE_EXCEEDED: timed out after 800ms by r@r1 on orders-7" || e.Reason != code.ReasonTimeout {
		t.Error(e)
	}
	ticket, _ = c.enter(mul, policies.Call{Deadline: time.Now().Add(500 * time.Millisecond)})
	if e := ticket.Late(); e.Message != "DEADLINE_EXCEEDED: deadline of the caller passed on orders-7" || e.Rule != "" {
		t.Error(e)
	}
	if d := c.decisions("r", config.KindTimeout); d.Reject != 1 {
		t.Errorf("%+v: the caller's own deadline is no decision of the rule", d)
	}
}

func TestCallThatComesTooLateIsNotRun(t *testing.T) {
	c := newChain(t, newRuleOn("r", "Arith", timeout(time.Second), concurrency(1, 0, 0)))
	for _, late := range []policies.Call{{Arrived: time.Now().Add(-2 * time.Second)}, {Deadline: time.Now().Add(-time.Second)}} {
		if got := reasonOf(c.call(mul, late, nil)); got != code.ReasonTimeout {
			t.Errorf("%+v: %q", late, got)
		}
	}
	if d := c.decisions("r", config.KindConcurrency); d != (policies.Decisions{}) {
		t.Errorf("%+v", d)
	}
}

func TestLateCallKeepsItsPlaceUntilTheHandlerReturns(t *testing.T) {
	c := newChain(t, newRuleOn("r", "Arith", timeout(time.Hour), concurrency(1, 0, 0)))
	ticket, _ := c.enter(mul, policies.Call{})
	_ = ticket.Late()
	if c.call(mul, policies.Call{}, nil) == nil {
		t.Error("the place is free while the handler still runs")
	}
	ticket.Done(nil)
	if err := c.call(mul, policies.Call{}, nil); err != nil {
		t.Error(err)
	}
}

// Meant for the race detector; the counters must add up as well.
func TestGuardsMayBeShared(t *testing.T) {
	c := newChain(t,
		newRuleOn("r", "Arith", rate(1e6, 1000), concurrency(3, 8, time.Millisecond), timeout(time.Hour), circuit(tripsAt(1e6))), // what a breaker or a full queue refuses takes no token
		newRuleOn("keyed", "Arith", keyedRate("caller", 5, 1e5, 100)),
		newRuleOn("shadow", "Arith", concurrency(1, 0, 0), circuit(tripsAt(2)), timeout(time.Nanosecond), mode(config.Shadow)),
	)
	const callers, each = 8, 300
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for j := range each {
				ticket, err := c.enter(mul, from(string(rune('a'+i))))
				if err != nil {
					continue
				}
				if j%5 == 0 {
					go func() { _ = ticket.Late() }()
				}
				ticket.Done([]error{nil, nil, errDown}[j%3])
				_ = c.now.Explain(mul, "", policies.Call{}.Peer)
			}
		})
	}
	all.Wait()
	for _, name := range []string{"r", "shadow"} {
		if n, queued := inFlight(c.now, name); n != 0 || queued != 0 {
			t.Errorf("%s: %d in flight, %d queued", name, n, queued)
		}
	}
	if d := c.decisions("r", config.KindRateLimit); d.Allow+d.Reject != callers*each {
		t.Errorf("%+v", d)
	}
}
