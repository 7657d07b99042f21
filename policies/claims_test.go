package policies_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/policies"
)

// who are claims, such as "tenant=a plan=b".
func who(text string) map[string]string {
	claims := map[string]string{}
	for pair := range strings.FieldsSeq(text) {
		name, value, _ := strings.Cut(pair, "=")
		claims[name] = value
	}
	return claims
}

// claims are patterns, such as "tenant=a,b* plan=b".
func claims(text string) config.Claims {
	var c config.Claims
	for name, patterns := range who(text) {
		if c == nil {
			c = config.Claims{}
		}
		c[name] = strings.Split(patterns, ",")
	}
	return c
}

func identity(text string) func(*config.Rule) {
	return func(r *config.Rule) { r.Match.Identity = claims(text) }
}

// universeClaims tell the patterns of drawnClaims apart.
var (
	universeClaims = []string{"", "t=a", "t=b", "t=ab", "t=x", "p=a", "p=x", "t=a p=a", "t=ab p=a", "t=ab p=x", "t=x p=ab", "t=b p=b"}
	drawnClaims    = rapid.Custom(func(t *rapid.T) config.Claims {
		var c config.Claims
		for _, name := range []string{"t", "p"} {
			if patterns := drawn(t, name, drawnNames); len(patterns) > 0 {
				if c == nil {
					c = config.Claims{}
				}
				c[name] = patterns
			}
		}
		return c
	})
)

func drawnByClaims(t *rapid.T) config.Match {
	m := config.Match{Service: config.Patterns{"S"}, Caller: drawn(t, "caller", rapid.SampledFrom([]string{"a", "a*"})), Identity: drawnClaims.Draw(t, "identity")}
	if rapid.Bool().Draw(t, "excepts") {
		if e := (config.Exception{Identity: drawnClaims.Draw(t, "not identity")}); !e.IsZero() {
			m.Except = config.Exceptions{e}
		}
	}
	return m
}

// naiveClaims is what match.identity promises, word by word.
func naiveClaims(m *config.Match, call *policies.Call) bool {
	fits := func(c config.Claims) bool {
		for name, patterns := range c {
			value, has := call.Claims[name]
			if !has || !slices.ContainsFunc(patterns, func(p string) bool { return naiveGlob(p, value) }) {
				return false
			}
		}
		return true
	}
	return naiveMatch(&config.Match{Caller: m.Caller}, "M", call.Caller, call.Peer) && fits(m.Identity) &&
		!slices.ContainsFunc(m.Except, func(e config.Exception) bool { return fits(e.Identity) })
}

func naiveGlob(pattern, text string) bool {
	switch {
	case pattern == "":
		return text == ""
	case pattern[0] == '*':
		return naiveGlob(pattern[1:], text) || text != "" && naiveGlob(pattern, text[1:])
	default:
		return text != "" && text[0] == pattern[0] && naiveGlob(pattern[1:], text[1:])
	}
}

func TestRulesMatchTheClaimsThatTheirWordsSay(t *testing.T) {
	t.Parallel()
	target := policies.Target{Service: "S", Method: "M"}
	rapid.Check(t, func(t *rapid.T) {
		rules := []config.Rule{{Name: "r", Match: drawnByClaims(t)}, {Name: "s", Match: drawnByClaims(t)}}
		for i := range rules {
			rate(1, 1000)(&rules[i])
			access(nil, []config.AccessEntry{{Caller: config.Patterns{"*"}}})(&rules[i])
		}
		s, err := compile(rules, []policies.Target{target}, nil, policies.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range universeClaims {
			for _, caller := range []string{"a", "ab", "x"} {
				call := &policies.Call{Caller: caller, Claims: who(text)}
				want := 0
				for i := range rules {
					if naiveClaims(&rules[i].Match, call) {
						want++
					}
				}
				var ticket policies.Ticket
				if err := s.Guard(target).Enter(t.Context(), call, &ticket); (err != nil) != (want > 0) {
					t.Fatalf("%s of %s: %v, want %d rules of %+v", text, caller, err, want, rules)
				}
				applied := 0
				for _, k := range s.ExplainCall(target, &policies.Call{Caller: caller, Claims: who(text)}).Kinds {
					applied = max(applied, len(k.Applies))
				}
				if applied != want {
					t.Fatalf("%s of %s: explain says %d, want %d of %+v", text, caller, applied, want, rules)
				}
			}
		}
	})
}

// Of two rules for the same calls that are not reported as a tie, the one wins that is narrower by its claims.
func TestTheNarrowerClaimsWinOrTie(t *testing.T) {
	t.Parallel()
	target := policies.Target{Service: "S", Method: "M"}
	rapid.Check(t, func(t *rapid.T) {
		a, b := config.Rule{Name: "a", Match: drawnByClaims(t)}, config.Rule{Name: "b", Match: drawnByClaims(t)}
		timeout(time.Minute)(&a)
		timeout(time.Hour)(&b)
		tied := len(policies.ValidateTies([]config.Rule{a, b})) > 0
		s, err := compile([]config.Rule{a, b}, []policies.Target{target}, nil, policies.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range universeClaims {
			call := policies.Call{Caller: "a", Claims: who(text), Arrived: time.Now()}
			if !naiveClaims(&a.Match, &call) || !naiveClaims(&b.Match, &call) {
				continue
			}
			same := policies.EqualRanks(&a, &b, target, &call)
			if same && !tied {
				t.Fatalf("%s: %+v and %+v share a call and do not tie", text, a.Match, b.Match)
			}
			if same {
				continue
			}
			var ticket policies.Ticket
			if err := s.Guard(target).Enter(t.Context(), &call, &ticket); err != nil {
				t.Fatal(err)
			}
			deadline, _ := ticket.Deadline()
			ticket.Done(nil)
			won := a.Name
			if deadline.Sub(call.Arrived) > time.Minute {
				won = b.Name
			}
			x := s.ExplainCall(target, &policies.Call{Caller: "a", Claims: who(text)})
			if says := x.Kinds[0].Applies[0].Rule; says != won {
				t.Fatalf("%s: %s won, explain says %s, of %+v and %+v", text, won, says, a.Match, b.Match)
			}
		}
	})
}

func TestEachClaimOfAKeyHasItsBucket(t *testing.T) {
	t.Parallel()
	c := newChain(t, newRuleOn("each", "Arith", keyedRate("identity.tenant", 2, 0.001, 1)),
		newRuleOn("strict", "Arith", method("Div"), keyedRate("caller identity.tenant", 10, 0.001, 1), refusesKeyless))
	as := func(name, text string) policies.Call { return policies.Call{Caller: name, Claims: who(text)} }
	for i, step := range []struct {
		call   policies.Call
		target policies.Target
		want   string // empty: it passes
	}{
		{as("a", "tenant=x"), mul, ""},
		{as("b", "tenant=x"), mul, "each@r1"},
		{as("b", "tenant=y"), mul, ""},
		{as("c", "tenant=z"), mul, ""}, // all keys are in use: the others share one bucket
		{as("c", "tenant=w"), mul, "each@r1"},
		{as("c", ""), div, "identity.tenant is required"},
	} {
		err := c.call(step.target, step.call, nil)
		switch {
		case step.want == "" && err != nil:
			t.Errorf("%d: %v", i, err)
		case step.want != "":
			if e := refusal(t, err); e.Rule != step.want && !strings.Contains(e.Message, step.want) {
				t.Errorf("%d: %v, want %s", i, e, step.want)
			}
		}
	}
	text := c.now.KeyText("each", mul, &policies.Call{Claims: who("tenant=acme")})
	if none := c.now.KeyText("each", mul, &policies.Call{}); text != "identity.tenant=acme" || none != "identity.tenant=(none)" {
		t.Errorf("%q, %q", text, none)
	}
}

func TestMeetingLeavesRulesByClaimsUndecided(t *testing.T) {
	t.Parallel()
	c := newChain(t, newRuleOn("acme", "Arith", identity("tenant=acme"), timeout(time.Second)), newRuleOn("all", "Arith", timeout(time.Minute)),
		newRuleOn("each", "Arith", keyedRate("identity.tenant", 2, 1, 1)),
		newRuleOn("others", "Arith", concurrency(5, 0, time.Second), except(config.Exception{Identity: claims("tenant=acme")})))
	for caller, want := range map[string]string{
		"":    "timeout all, undecided []",
		"web": "timeout all, undecided [acme: it matches by identity.tenant others: it matches by identity.tenant each: its key has identity.tenant]",
	} {
		m := c.now.Meet(&policies.Calls{Target: mul, Caller: caller})
		var undecided []string
		for _, u := range m.Undecided {
			undecided = append(undecided, u.Name+": "+u.Why)
		}
		if got := fmt.Sprintf("timeout %s, undecided %s", m.Timeout.Name, undecided); got != want {
			t.Errorf("%s: %s\nwant %s", caller, got, want)
		}
		if anonymous := caller == ""; anonymous != (len(m.Concurrency) == 1) || anonymous != (len(m.RateLimits) == 1) {
			t.Errorf("%s: %d concurrency, %d rate limits", caller, len(m.Concurrency), len(m.RateLimits))
		}
	}
}

func TestWarningsOfRulesWithoutEffectKnowClaims(t *testing.T) {
	t.Parallel()
	wide := newRuleOn("wide", "Arith", rate(5, 5))
	for _, c := range []struct {
		a, b config.Rule
		want string // in the warning; empty: none
	}{
		{newRuleOn("acme", "Arith", identity("tenant=acme"), rate(9, 9)), wide, "except: {identity: {tenant: acme}}"},
		{newRuleOn("acme", "Arith", identity("tenant=acme"), rate(9, 9)), newRuleOn("x", "Arith", identity("tenant=x"), rate(5, 5)), ""},
		{newRuleOn("acme", "Arith", identity("tenant=acme"), rate(9, 9)), newRuleOn("some", "Arith", identity("tenant=a*"), rate(5, 5)), "acme has no effect"},
		{newRuleOn("plain", "Arith", rate(9, 9)), newRuleOn("some", "Arith", identity("tenant=*"), rate(5, 5)), ""},
		{
			newRuleOn("two", "Arith", identity("tenant=a plan=b"), rate(9, 9)),
			newRuleOn("one", "Arith", identity("plan=b"), rate(5, 5), except(config.Exception{Identity: claims("tenant=c")})), "two has no effect",
		},
		{
			newRuleOn("two", "Arith", identity("tenant=a plan=b"), rate(9, 9)),
			newRuleOn("one", "Arith", identity("plan=b"), rate(5, 5), except(config.Exception{Identity: claims("tenant=*")})), "",
		},
	} {
		rules := completed([]config.Rule{c.a, c.b})
		got := policies.ValidatePointless(rules)
		got = slices.DeleteFunc(got, func(p config.Problem) bool { return p.Code == lint.AboveService })
		if text := got.Error(); (c.want == "") != (len(got) == 0) || !strings.Contains(text, c.want) {
			t.Errorf("%+v beside %+v:\n%s\nwant %q", c.a.Match, c.b.Match, text, c.want)
		}
	}
	gone := newRuleOn("gone", "Arith", identity("tenant=a"), rate(5, 5), except(config.Exception{Identity: claims("tenant=a*")}))
	if got := policies.ValidatePointless(completed([]config.Rule{gone})); len(got) != 1 || got[0].Code != lint.ExcludesAll {
		t.Errorf("excludes all: %v", got)
	}
}
