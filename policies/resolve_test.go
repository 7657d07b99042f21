package policies_test

import (
	"fmt"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

var bill = policies.Target{Service: "Billing", Method: "Get"}

// resolve is one call of a method through the guard that Resolve has for it.
func (c *chain) resolve(t policies.Target, call policies.Call, err error) error {
	ticket := new(policies.Ticket)
	if refusal := c.now.Resolve(t).Enter(c.t.Context(), &call, ticket); refusal != nil {
		return refusal
	}
	ticket.Done(err)
	return nil
}

func TestResolveHasTheGuardsOfKnownMethodsAndMakesTheOthers(t *testing.T) {
	c := newChain(t, newRuleOn("arith", "Arith", timeout(time.Second)), newRuleOn("rest", "*", rate(0.001, 1)))
	if c.now.Resolve(mul) != c.now.Guard(mul) {
		t.Error("a known method has two guards")
	}
	if first := c.now.Resolve(bill); first != c.now.Resolve(bill) || first == c.now.Guard(bill) {
		t.Error("a guard is not kept")
	}
	if err := c.resolve(bill, policies.Call{}, nil); err != nil {
		t.Error(err)
	}
	if e := refusal(t, c.resolve(bill, policies.Call{}, nil)); e.Rule != "rest@r1" {
		t.Errorf("%v", e)
	}
	if (*policies.Snapshot)(nil).Resolve(bill) != nil {
		t.Error("a nil Snapshot has a guard")
	}
}

func TestStateOfLateTargetsGoesOnFromEditToEdit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rules := func(minRequests int) []config.Rule {
			return []config.Rule{
				newRuleOn("breaks", "Billing", circuit(config.CircuitBreaker{ConsecutiveFailures: 3, MinRequests: minRequests, OpenTimeout: config.Duration(time.Minute)})),
				newRuleOn("limit", "Billing", rate(0.001, 5)),
			}
		}
		c := newChain(t, rules(1)...)
		for range 3 {
			_ = c.resolve(bill, policies.Call{}, errDown)
		}
		for i := range 3 {
			c.edit(rules(i + 2)...)
			if e := refusal(t, c.resolve(bill, policies.Call{}, nil)); e.Rule != fmt.Sprintf("breaks@r%d", i+2) {
				t.Errorf("after edit %d: %v", i, e)
			}
		}
		if told := c.transitions(); len(told) != 1 || told[0].Target != "Billing/Get" || told[0].Upstream != "" {
			t.Errorf("%+v", told)
		}
		if d := c.decisions("breaks", config.KindCircuitBreaker); d != (policies.Decisions{Allow: 3, Reject: 3}) {
			t.Errorf("%+v", d)
		}
		if l := c.limiter(); l.Tokens != 2 {
			t.Errorf("%v tokens are left, want 2: three calls were let through", l.Tokens)
		}
	})
}

// Calls under the previous snapshot may be the first to reach a method.
func TestTheSnapshotBeforeMayStillMeetNewMethods(t *testing.T) {
	c := newChain(t, newRuleOn("r", "*", circuit(config.CircuitBreaker{ConsecutiveFailures: 3})))
	before := c.now
	c.edit(newRuleOn("r", "*", timeout(time.Second)))
	var ticket policies.Ticket
	if err := before.Resolve(bill).Enter(t.Context(), &policies.Call{}, &ticket); err != nil {
		t.Fatal(err)
	}
	ticket.Done(nil)
}

// An attacker who calls 10,000 methods that do not exist must not get around the rule about the one that does.
func TestBeyondTheBoundRulesStillHoldAndMethodsShareOneTarget(t *testing.T) {
	deny := access(nil, []config.AccessEntry{{Caller: config.Patterns{"mallory"}, Methods: config.Patterns{"Get"}}})
	c := newChain(t, newRuleOn("deny", "Billing", deny), newRuleOn("limit", "*", rate(1e6, 1e6)))
	for i := range policies.MaxFound + 50 {
		if err := c.resolve(policies.Target{Service: "Billing", Method: fmt.Sprint("Junk", i)}, policies.Call{}, nil); err != nil {
			t.Fatal(err)
		}
	}
	if e := refusal(t, c.resolve(bill, from("mallory"), nil)); e.Reason != code.ReasonDenied {
		t.Errorf("%v", e)
	}
	if err := c.resolve(bill, from("web"), nil); err != nil {
		t.Error(err)
	}
	labels, others := map[string]bool{}, uint64(0)
	c.now.Decisions(func(rule string, _ config.Kind, method, decision string, n uint64) {
		if rule == "limit" {
			labels[method] = true
			if method == policies.Other && decision == "allow" {
				others = n
			}
		}
	})
	if len(labels) != policies.MaxFound+1+len(targets) || others != 51 {
		t.Errorf("%d methods, %d calls of %s", len(labels), others, policies.Other)
	}
}

func TestBreakersBeyondTheBoundAreOne(t *testing.T) {
	b := newBilling(t, toBilling("calls", to("*"), scoped(config.ScopeMethod)), toBilling("all", to("*"), mode(config.Shadow), scoped("")))
	b.answer = always(nil)
	for i := range policies.MaxFound + 200 {
		_ = b.call(t.Context(), func(c *outCall) { c.upstream, c.service = fmt.Sprint("up", i), fmt.Sprint("up", i) })
	}
	labels := map[string]bool{}
	for _, s := range b.guard.Snapshot().Breakers() {
		if key := s.Rule + " " + s.Target; labels[key] {
			t.Fatalf("%s stands twice", key)
		} else {
			labels[key] = true
		}
	}
	if n := len(labels); n > 4*policies.MaxFound+10 {
		t.Errorf("%d breakers", n)
	}
}

func TestManyCallsMeetNewTargetsAtOnce(t *testing.T) {
	b := newBilling(t, toBilling("calls", to("*"), scoped(""), retry(quick(2)), outlying(thirty), timeout(time.Minute)))
	var all sync.WaitGroup
	for g := range 8 {
		all.Go(func() {
			for i := range 200 {
				err := b.call(t.Context(), callOf(fmt.Sprint("M", i%50)), func(c *outCall) { c.upstream = fmt.Sprint("up", (g+i)%7) })
				if err != nil {
					t.Error(err)
					return
				}
				switch {
				case i%50 == 10:
					b.announce(fmt.Sprint("up", g%7), "Billing", []string{"a:1", "b:1"})
				case i%50 == 20 && g == 0:
					if err := b.guard.Replace([]config.Rule{toBilling("calls", to("*"), scoped(""), outlying(thirty), timeout(time.Duration(i+1)*time.Minute))}); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Wait()
	if d := b.decisions("calls", config.KindTimeout); d.Allow != 1600 {
		t.Errorf("%+v", d)
	}
}

func TestRulesForRemoteServicesAreNotIdle(t *testing.T) {
	rules := []config.Rule{
		newRuleOn("exact", "Billing", timeout(time.Second)), newRuleOn("glob", "Bill*", timeout(time.Second)),
		newRuleOn("denied", "Secret", timeout(time.Second)), newRuleOn("alias", "Sums", timeout(time.Second)),
	}
	for name, test := range map[string]struct {
		remote func(string) bool
		want   string
	}{
		"no gateway": {nil, "[exact glob denied alias]"},
		"a gateway":  {func(service string) bool { return service == "Billing" }, "[denied alias]"},
	} {
		s, err := compile(rules, targets, nil, policies.Options{Remote: test.remote, Aliases: map[string]string{"Sums": "Arith"}})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range s.Unmatched() {
			for _, r := range rules {
				if strings.Contains(p.Message, "rule "+r.Name+" ") || r.Name == "alias" && strings.Contains(p.Message, "is an alias") {
					got = append(got, r.Name)
				}
			}
		}
		if fmt.Sprint(got) != test.want {
			t.Errorf("%s: warnings about %v, want %s", name, got, test.want)
		}
	}
}

func TestExplainKnowsRemoteServices(t *testing.T) {
	rules := []config.Rule{newRuleOn("calls", "Bill*", timeout(time.Second), rate(5, 5))}
	s, err := compile(rules, targets, nil, policies.Options{Remote: func(service string) bool { return service == "Billing" }})
	if err != nil {
		t.Fatal(err)
	}
	if x := s.Explain(bill, "web", netip.Addr{}); len(x.Kinds) != 2 || names(x.Kinds[1].Applies) != "[calls]" {
		t.Errorf("%+v", x)
	}
	if x := s.Explain(policies.Target{Service: "Bills", Method: "Get"}, "web", netip.Addr{}); len(x.Kinds) != 0 {
		t.Errorf("of a service that cannot be called: %+v", x)
	}
}
