package policies_test

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
)

func TestRulesForAnAliasAreReportedWithTheMainName(t *testing.T) {
	rules := []config.Rule{
		newRuleOn("alias", "Sums", timeout(time.Second)),
		newRuleOn("glob", "Su*", timeout(time.Second)),
		newRuleOn("list", "Elsewhere", func(r *config.Rule) { r.Match.Service = config.Patterns{"Elsewhere", "Sums"} }),
		newRuleOn("both", "Arith", func(r *config.Rule) { r.Match.Service = config.Patterns{"Arith", "Sums"} }),
		newRuleOn("near", "Sum", timeout(time.Second)),
	}
	s, err := policies.Compile(rules, targets, nil, policies.Options{Aliases: map[string]string{"Sums": "Arith", "Calc": "Arith"}})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range s.Unmatched() {
		if !p.Warning || p.Suggestion != "" {
			t.Errorf("%+v", p)
		}
		got = append(got, p.Message)
	}
	const alias = "Sums is an alias of Arith: rules match the name of the service, write Arith"
	want := []string{alias, alias, alias, "no service of this host matches Sum: rule near has no effect here"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}

func TestExplainAsksForThePeerThatARuleNeeds(t *testing.T) {
	c := newChain(t, newRuleOn("office", "Arith", peer("10.0.0.0/8"), timeout(time.Second)))
	losers := c.now.Explain(mul, "", netip.Addr{}).Kinds[0].Losers
	if want := "peer 10.0.0.0/8 matches only calls whose peer is known (give --peer)"; len(losers) != 1 || losers[0].Reason != want {
		t.Errorf("%+v, want %q", losers, want)
	}
}

func TestAtAGatewayRulesForWhatItDoesNotAllowAreReported(t *testing.T) {
	rules := []config.Rule{
		newRuleOn("named", "Billing", timeout(time.Second)), newRuleOn("by-glob", "Order*", timeout(time.Second)),
		newRuleOn("misspelt", "Biling", timeout(time.Second)), newRuleOn("other-glob", "Stock*", timeout(time.Second)),
		toBilling("called", to("Billing"), timeout(time.Second)), toBilling("calls-by-glob", to("OrderBook"), timeout(time.Second)),
		toBilling("calls-misspelt", to("Biling"), timeout(time.Second)), toBilling("calls-other-glob", to("Stock*"), timeout(time.Second)),
	}
	allowed := map[string]bool{"Billing": true}
	s, err := policies.Compile(rules, nil, nil, policies.Options{
		Remote: func(service string) bool { return allowed[service] }, Allowed: []string{"Billing", "Order*"},
	})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, p := range s.Unmatched() {
		if !p.Warning {
			t.Errorf("%v is no warning", p)
		}
		p.Path = ""
		got = append(got, p.String())
	}
	want := []string{
		"no service of this host matches Biling: rule misspelt has no effect here (did you mean Billing?)",
		"no service of this host matches Stock*: rule other-glob has no effect here",
		"no upstream of this host matches Biling: rule calls-misspelt has no effect here (did you mean Billing?)",
		"no upstream of this host matches Stock*: rule calls-other-glob has no effect here",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s", strings.Join(got, "\n"))
	}
}
