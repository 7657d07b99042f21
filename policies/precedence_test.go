package policies_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
)

// Each row has rules in falling precedence for one call; every one of them must win over all that stand behind it.
var precedence = []struct {
	name  string
	call  policies.Call
	rules []config.Rule
}{
	{"in each field exact, then the longer glob, then the shorter, then none", from("partner-a"), []config.Rule{
		newRuleOn("exact", "Arith", caller("partner-a")),
		newRuleOn("long", "Arith", caller("partner-*")),
		newRuleOn("short", "Arith", caller("p*")),
		newRuleOn("any", "Arith", caller("*")),
		newRuleOn("none", "Arith"),
	}},
	{"method before service before caller before peer", policies.Call{Caller: "a", Peer: at("10.0.0.1").Peer}, []config.Rule{
		newRuleOn("method", "*", method("Mul")),
		newRuleOn("method-glob", "Arith", method("M*"), caller("a"), peer("10.0.0.1")),
		newRuleOn("service", "Arith"),
		newRuleOn("service-glob", "A*", caller("a"), peer("10.0.0.1")),
		newRuleOn("caller", "*", caller("a")),
		newRuleOn("caller-glob", "*", caller("*"), peer("10.0.0.1")),
		newRuleOn("peer", "*", peer("10.0.0.1")),
		newRuleOn("peer-24", "*", peer("10.0.0.0/24")),
		newRuleOn("peer-8", "*", peer("10.0.0.0/8")),
		newRuleOn("host", "*"),
	}},
	{"claims between caller and peer, more of them before fewer", policies.Call{Caller: "a", Peer: at("10.0.0.1").Peer, Claims: who("tenant=acme plan=gold")}, []config.Rule{
		newRuleOn("caller", "*", caller("a")),
		newRuleOn("two", "*", identity("tenant=acme plan=gold")),
		newRuleOn("one-and-glob", "*", identity("tenant=acme plan=*")),
		newRuleOn("one", "*", identity("tenant=acme"), peer("10.0.0.1")),
		newRuleOn("list", "*", identity("tenant=x,acm*")),
		newRuleOn("glob", "*", identity("tenant=a*,b*")),
		newRuleOn("peer", "*", peer("10.0.0.1")),
	}},
	{"a list counts by the element that matched", from("partner-a"), []config.Rule{
		newRuleOn("exact", "Arith", caller("zzz-zzz-zzz*", "partner-a")),
		newRuleOn("glob", "Arith", caller("web", "p*", "partner-*")),
		newRuleOn("shorter", "Arith", caller("batch", "partner*")),
	}},
	{"a list of methods", policies.Call{}, []config.Rule{
		newRuleOn("exact", "*", method("Div", "Mul")),
		newRuleOn("glob", "*", method("Sub", "M*")),
	}},
	{"a list of peers", at("10.1.2.3"), []config.Rule{
		newRuleOn("long", "Arith", peer("192.168.0.0/16", "10.1.0.0/16")),
		newRuleOn("short", "Arith", peer("192.168.0.1", "10.0.0.0/8")),
	}},
}

func TestMostSpecificRuleWins(t *testing.T) {
	for _, row := range precedence {
		for i := range row.rules {
			rules := slices.Clone(row.rules[i:])
			for j := range rules {
				timeout(time.Duration(i+j+1) * time.Second)(&rules[j])
			}
			for range 2 {
				slices.Reverse(rules) // where they stand does not matter
				c := newChain(t, rules...)
				call := row.call
				call.Arrived = time.Now()
				ticket, err := c.enter(mul, call)
				if err != nil {
					t.Fatal(err)
				}
				deadline, _ := ticket.Deadline()
				if got := int(deadline.Sub(call.Arrived)/time.Second) - 1; got != i {
					t.Errorf("%s: %s won over %s", row.name, row.rules[got].Name, row.rules[i].Name)
				}
				x := c.now.ExplainCall(mul, &row.call)
				if got := x.Kinds[0].Applies[0].Rule; got != row.rules[i].Name {
					t.Errorf("%s: explain says %s, not %s", row.name, got, row.rules[i].Name)
				}
			}
			if ties := policies.ValidateTies(rules); len(ties) > 0 {
				t.Errorf("%s: %v", row.name, ties)
			}
		}
	}
}

func TestNarrowestIsAskedFirst(t *testing.T) {
	for _, row := range precedence {
		var want []string
		rules := slices.Clone(row.rules)
		for i := range rules {
			want = append(want, rules[i].Name)
			rate(0.001, int64(i+1))(&rules[i]) // the first to run dry is the first that is asked
		}
		slices.Reverse(rules)
		c := newChain(t, rules...)
		if got := names(c.now.ExplainCall(mul, &row.call).Kinds[0].Applies); got != "["+strings.Join(want, " ")+"]" {
			t.Errorf("%s: asked %s, want %v", row.name, got, want)
		}
		if err := c.call(mul, row.call, nil); err != nil {
			t.Fatal(err)
		}
		for _, name := range want {
			if d := c.decisions(name, config.KindRateLimit); d.Allow != 1 {
				t.Errorf("%s: %s was asked %d times", row.name, name, d.Allow)
			}
		}
		if e := refusal(t, c.call(mul, row.call, nil)); e.Rule != want[0]+"@r1" {
			t.Errorf("%s: refused by %s, want %s", row.name, e.Rule, want[0])
		}
		// Tokens that were taken before a refusal are not given back; here none was, since the first refused.
		if d := c.decisions(want[1], config.KindRateLimit); d.Allow != 1 {
			t.Errorf("%s: %+v", row.name, d)
		}
	}
}

func TestRulesThatAreOffExpiredOrInShadowDoNotWin(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		soon := time.Now().Add(time.Minute)
		c := newChain(t,
			newRuleOn("broad", "*", timeout(time.Hour)),
			newRuleOn("off", "Arith", method("Mul"), timeout(time.Second), mode(config.Off)),
			newRuleOn("shadow", "Arith", method("Mul"), timeout(time.Second), mode(config.Shadow)),
			newRuleOn("expired", "Arith", method("Mul"), timeout(time.Second), expires(time.Now())),
			newRuleOn("expiring", "Arith", method("Mul"), timeout(2*time.Second), expires(soon)),
			newRuleOn("expiring-limit", "Arith", rate(0.001, 1), expires(soon)),
		)
		patience := func() time.Duration {
			ticket, err := c.enter(mul, policies.Call{Arrived: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			d, _ := ticket.Deadline()
			ticket.Done(nil)
			return time.Until(d)
		}
		if d := patience(); d != 2*time.Second {
			t.Error(d)
		}
		if c.call(mul, policies.Call{}, nil) == nil {
			t.Error("the limit has not expired yet")
		}
		time.Sleep(time.Minute)
		if d := patience(); d != time.Hour {
			t.Error("an expired rule took part, without an edit that would have taken it out:", d)
		}
	})
}

func TestRulesThatCannotMatchAreNotAsked(t *testing.T) {
	c := newChain(t,
		newRuleOn("other-service", "Orders", rate(0.001, 1)),
		newRuleOn("other-method", "Arith", method("Div"), rate(0.001, 1)),
		newRuleOn("off", "Arith", rate(0.001, 1), mode(config.Off)),
		config.Rule{Name: "upstream", Match: config.Match{Upstream: config.Patterns{"*"}}},
	)
	if !c.now.Guard(mul).IsEmpty() {
		t.Error("a rule applies")
	}
	if n := testing.AllocsPerRun(100, func() {
		var ticket policies.Ticket
		if err := c.now.Guard(mul).Enter(t.Context(), &policies.Call{}, &ticket); err != nil {
			t.Error(err)
		}
		ticket.Done(nil)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	for _, g := range []*policies.Guard{nil, (*policies.Snapshot)(nil).Guard(mul), c.now.Guard(policies.Target{Service: "No", Method: "Such"})} {
		var ticket policies.Ticket
		deadline := time.Now()
		if err := g.Enter(t.Context(), &policies.Call{Deadline: deadline}, &ticket); err != nil {
			t.Error(err)
		}
		if d, ok := ticket.Deadline(); !ok || !d.Equal(deadline) {
			t.Error("the caller's own deadline was forgotten")
		}
		_ = ticket.Late()
		ticket.Done(nil)
	}
}

func TestTies(t *testing.T) {
	patience, breaks := timeout(time.Second), circuit(tripsAt(1))
	for _, test := range []struct {
		name string
		a, b config.Rule
		tie  bool
	}{
		{"the same", newRuleOn("a", "Arith", patience), newRuleOn("b", "Arith", patience), true},
		{"breakers", newRuleOn("a", "Arith", breaks), newRuleOn("b", "Arith", breaks), true},
		{"other kinds", newRuleOn("a", "Arith", patience), newRuleOn("b", "Arith", breaks), false},
		{"kinds that all must agree", newRuleOn("a", "Arith", rate(1, 1)), newRuleOn("b", "Arith", rate(1, 1)), false},
		{"other services", newRuleOn("a", "Arith", patience), newRuleOn("b", "Orders", patience), false},
		{"narrower", newRuleOn("a", "Arith", patience), newRuleOn("b", "Arith", method("Mul"), patience), false},
		{"shadow", newRuleOn("a", "Arith", patience), newRuleOn("b", "Arith", patience, mode(config.Shadow)), false},
		{"off", newRuleOn("a", "Arith", patience, mode(config.Off)), newRuleOn("b", "Arith", patience), false},
		{"expired", newRuleOn("a", "Arith", patience), newRuleOn("b", "Arith", patience, expires(time.Now())), false},
		{"globs of one length", newRuleOn("a", "Ar*", patience), newRuleOn("b", "*th", patience), true},
		{"globs of one length without a common text", newRuleOn("a", "Ar*", patience), newRuleOn("b", "Or*", patience), false},
		{"globs of other lengths", newRuleOn("a", "Ar*", patience), newRuleOn("b", "A*", patience), false},
		{"lists with a common name", newRuleOn("a", "Arith", caller("x", "y"), patience), newRuleOn("b", "Arith", caller("z", "y"), patience), true},
		{"lists without", newRuleOn("a", "Arith", caller("x", "y"), patience), newRuleOn("b", "Arith", caller("z"), patience), false},
		{"a name that a glob matches", newRuleOn("a", "Arith", caller("x"), patience), newRuleOn("b", "Arith", caller("*"), patience), false},
		{"one network", newRuleOn("a", "*", peer("10.1.0.0/8"), patience), newRuleOn("b", "*", peer("10.2.0.0/8"), patience), true},
		{"other networks", newRuleOn("a", "*", peer("10.0.0.0/8"), patience), newRuleOn("b", "*", peer("11.0.0.0/8"), patience), false},
		{"enforced in part", newRuleOn("a", "Arith", patience, enforceShare(0.1)), newRuleOn("b", "Arith", patience), true},
	} {
		problems := policies.ValidateTies([]config.Rule{test.a, test.b})
		if got := len(problems) > 0; got != test.tie || len(problems) > 1 {
			t.Errorf("%s: %v", test.name, problems)
			continue
		}
		if test.tie && (!strings.Contains(problems[0].Message, "rule a") || !strings.Contains(problems[0].Message, "rule b")) {
			t.Errorf("%s: %v does not name both", test.name, problems)
		}
	}
	if p := policies.ValidateTies([]config.Rule{newRuleOn("a", "Arith", caller("a*", "b*"), patience)}); len(p) > 0 {
		t.Error("a rule ties with itself:", p)
	}
}

// Four times the rules make about four times the work, not sixteen times: that is counted, since the time that it takes
// is the machine's. Work is what is compared, and what is made for that.
func TestTiesOfManyRulesAreFoundInTime(t *testing.T) {
	const few, many, most = 5_000, 20_000, 5
	for name, glob := range map[string]func(i int) string{
		"prefixes": func(i int) string { return fmt.Sprintf("M%05d*", i) },
		"suffixes": func(i int) string { return fmt.Sprintf("*M%05d", i) },
		"both":     func(i int) string { return fmt.Sprintf("%04d*%d", i/2, i%2) },
	} {
		rules := make([]config.Rule, many)
		for i := range rules {
			rules[i] = newRuleOn(fmt.Sprint("rule-", i), "*", method(glob(i)), timeout(time.Second))
		}
		rules[few-1].Match.Method = rules[0].Match.Method
		made := func(n int) float64 {
			if p := policies.ValidateTies(rules[:n]); len(p) != 1 {
				t.Fatalf("%s: %d ties", name, len(p))
			}
			if compared := policies.ComparedPairs(rules[:n]); compared > n {
				t.Errorf("%s: %d pairs of %d rules are compared", name, compared, n)
			}
			return testing.AllocsPerRun(1, func() { policies.ValidateTies(rules[:n]) })
		}
		if one, all := made(few), made(many); all > most*one {
			t.Errorf("%s: %d rules took %v allocations, %d took %v", name, few, one, many, all)
		}
	}
}
