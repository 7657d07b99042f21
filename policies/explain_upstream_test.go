package policies_test

import (
	"strconv"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
)

func TestExplainUpstreamHasTheOrderOfAClientAndLiveState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t,
			toBilling("calls", timeout(time.Second), rate(5, 50), retry(quick(2)), hedge(hedgeDelay, "Pay"), scoped(""), outlying(thirty)),
			toBilling("wide", to("*"), timeout(2*time.Second), caller("web")),
			toBilling("others", to("orders"), timeout(2*time.Second)),
			newRuleOnUpstream("jobs", "job"),
		)
		b.answer = down(errDown, "a:1")
		b.fail(3)
		x := b.guard.Snapshot().ExplainUpstream("billing", "Billing", "Get", "web")
		if x.Upstream != "billing" || x.Service != "Billing" || x.Method != "Get" || x.Caller != "web" || x.Revision != 1 {
			t.Errorf("%+v", x)
		}
		var got []string
		for _, k := range x.Kinds {
			line := string(k.Kind) + ":"
			for _, a := range k.Applies {
				line += " " + a.Rule + " (" + a.State + ")"
			}
			for _, l := range k.Losers {
				line += " not " + l.Rule + ": " + l.Reason
			}
			got = append(got, line)
		}
		want := []string{
			"timeout: wide () not jobs: caller job does not match web not calls: less specific than wide",
			"rateLimit: calls (47 of 50 tokens)",
			"retry: calls (0 of 3 calls retried within 10s)",
			"hedge: not calls: methods Pay do not match Get",
			"circuitBreaker: calls (a:1 open since ",
			"outlierDetection: calls (a:1 ejected for another 30s: 3 consecutive failures, the last: UNAVAILABLE: db down)",
		}
		if len(got) != len(want) {
			t.Fatalf("got %s", strings.Join(got, "\n"))
		}
		for i := range want {
			if !strings.HasPrefix(got[i], want[i]) {
				t.Errorf("got  %s\nwant %s", got[i], want[i])
			}
		}
		if x := (*policies.Snapshot)(nil).ExplainUpstream("a", "b", "c", ""); len(x.Kinds) != 0 || x.Caller != policies.Anonymous {
			t.Errorf("%+v", x)
		}
	})
}

func newRuleOnUpstream(name, by string) config.Rule {
	return toBilling(name, caller(by), timeout(time.Minute))
}

// Explain is not a call: it creates neither state nor counters.
func TestExplainLeavesNoTrace(t *testing.T) {
	b := newBilling(t, toBilling("calls", timeout(time.Second), scoped(config.ScopeMethod), retry(quick(2)), outlying(thirty)))
	s := b.guard.Snapshot()
	x := s.ExplainUpstream("billing", "Billing", "Never", "")
	if len(x.Kinds) != 4 || x.Kinds[2].Applies[0].State != "not called yet" {
		t.Errorf("%+v", x)
	}
	_ = s.State("calls", config.KindCircuitBreaker, policies.Target{Service: "Billing", Method: "Never"}, "")
	s.Decisions(func(rule string, kind config.Kind, method, _ string, _ uint64) {
		t.Errorf("%s %s %s", rule, kind, method)
	})
	if list := s.Breakers(); len(list) > 0 {
		t.Errorf("%+v", list)
	}
}

func TestDecisionsOfUpstreamsHaveTheMethodCalled(t *testing.T) {
	b := newBilling(t, toBilling("calls", to("*"), timeout(time.Second)))
	_ = b.call(t.Context())
	_ = b.call(t.Context(), callOf("Pay"))
	_ = b.call(t.Context(), func(c *outCall) { c.upstream = "billing-2" })
	got := map[string]uint64{}
	b.guard.Snapshot().Decisions(func(rule string, kind config.Kind, method, decision string, n uint64) {
		key := rule + " " + string(kind) + " " + method + " " + decision
		if _, twice := got[key]; twice {
			t.Errorf("%s stands twice", key)
		}
		got[key] = n
	})
	if len(got) != 8 || got["calls timeout Billing/Get allow"] != 2 || got["calls timeout Billing/Pay allow"] != 1 {
		t.Errorf("%v", got)
	}
}

func TestRulesForUnknownUpstreamsAreReported(t *testing.T) {
	rules := []config.Rule{
		toBilling("known", timeout(time.Second)), toBilling("glob", to("bill*"), timeout(2*time.Second)),
		toBilling("misspelt", to("biling"), timeout(time.Second)),
	}
	for name, test := range map[string]struct {
		upstreams []string
		want      string
	}{
		"any name": {nil, ""},
		"known":    {[]string{"billing", "orders"}, "no upstream of this host matches biling: rule misspelt has no effect here (did you mean billing?)"},
	} {
		s, err := policies.Compile(rules, targets, nil, policies.Options{Upstreams: test.upstreams})
		if err != nil {
			t.Fatal(err)
		}
		problems := s.Unmatched()
		if got := problems.Error(); !strings.HasSuffix(got, test.want) || (test.want == "") != (got == "") || len(problems.Errors()) > 0 {
			t.Errorf("%s: %s", name, got)
		}
	}
}

func TestAtMostAHundredRulesMatchTheCallsOfAnUpstream(t *testing.T) {
	var rules []config.Rule
	for i := range policies.MaxPerCall + 1 {
		rules = append(rules, toBilling("r"+strconv.Itoa(i), caller("c"+strconv.Itoa(i)+"-*"), rate(1, 1)))
	}
	for n, want := range map[int]bool{policies.MaxPerCall: false, policies.MaxPerCall + 1: true} {
		_, err := compile(rules[:n], nil, nil, policies.Options{Upstreams: []string{"billing", "orders"}})
		if (err != nil) != want || want && !strings.Contains(err.Error(), "101 rules apply to calls to upstream billing, at most 100 are allowed") {
			t.Errorf("%d rules: %v", n, err)
		}
	}
}

func TestTiesOfClientSideRules(t *testing.T) {
	again := retry(config.Retry{})
	for _, test := range []struct {
		name string
		a, b config.Rule
		want bool
	}{
		{"the same upstream", toBilling("a", again), toBilling("b", again), true},
		{"others", toBilling("a", again), toBilling("b", to("orders"), again), false},
		{"a glob and a name", toBilling("a", to("bill*"), again), toBilling("b", again), false},
		{"two globs", toBilling("a", to("bill*"), again), toBilling("b", to("*ling"), again), true},
		{"a method is narrower", toBilling("a", method("Get"), again), toBilling("b", again), false},
		{"another kind", toBilling("a", outlying(thirty)), toBilling("b", again), false},
		{"outliers", toBilling("a", outlying(thirty)), toBilling("b", outlying(thirty)), true},
		{"every rate limit counts", toBilling("a", rate(1, 1)), toBilling("b", rate(1, 1)), false},
		{"in and out", toBilling("a", to("*"), service("Arith"), timeout(1)), newRuleOn("b", "Arith", timeout(1)), false},
		{"shadow", toBilling("a", again, mode(config.Shadow)), toBilling("b", again), false},
	} {
		if found := len(policies.ValidateTies([]config.Rule{test.a, test.b})) > 0; found != test.want {
			t.Errorf("%s: tie: %v, want %v", test.name, found, test.want)
		}
	}
}
