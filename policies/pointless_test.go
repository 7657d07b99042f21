package policies_test

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/wildcard"
)

func only(callers ...string) func(*config.Rule) {
	return access([]config.AccessEntry{{Caller: callers}}, nil)
}

func TestAnExceptionThatAWiderRuleForbidsIsReported(t *testing.T) {
	for _, test := range []struct {
		name string
		s, w config.Rule
		want string // of s, beside w
	}{
		{
			"a looser rate for one caller", newRuleOn("gold", "Arith", caller("gold"), rate(100, 100)), newRuleOn("all", "Arith", rate(5, 5)),
			"rateLimit of rule gold has no effect: all its calls must also pass rule all, which is at least as strict " +
				"(5 per 1s, burst 5, against 100 per 1s, burst 100); to apply it alone, write match: {except: {caller: gold}} in rule all",
		},
		{
			"beside a rate for each caller", newRuleOn("gold", "Arith", caller("gold"), rate(100, 100)),
			newRuleOn("each", "*", keyedRate("caller", 10, 5, 5)),
			"rateLimit of rule gold has no effect: all its calls must also pass rule each, which is at least as strict " +
				"(5 per 1s, burst 5 for each caller, against 100 per 1s, burst 100); to apply it alone, " +
				"write match: {except: {service: Arith, caller: gold}} in rule each",
		},
		{"several callers have several buckets there", newRuleOn("gold", "Arith", caller("a", "b"), rate(9, 100)), newRuleOn("each", "Arith", keyedRate("caller", 10, 5, 5)), ""},
		{"and may be looser than all of them", newRuleOn("gold", "Arith", caller("a", "b*"), rate(100, 100)), newRuleOn("each", "Arith", keyedRate("caller", 10, 5, 5)), ""},
		{"a tighter rate", newRuleOn("s", "Arith", caller("gold"), rate(4, 100)), newRuleOn("w", "Arith", rate(5, 5)), ""},
		{
			"a smaller burst", newRuleOn("s", "Arith", caller("gold"), rate(100, 4)), newRuleOn("w", "Arith", rate(5, 5)),
			"100 per 1s of rule s is never sustained: all its calls must also pass rule w, which lets 5 per 1s through; lower it, or exclude its calls from rule w",
		},
		{"a smaller burst for the same calls", newRuleOn("s", "Arith", rate(100, 4)), newRuleOn("w", "Arith", rate(5, 5)), ""},
		{"a smaller burst, and the same rate", newRuleOn("s", "Arith", caller("gold"), rate(5, 4)), newRuleOn("w", "Arith", rate(5, 5)), ""},
		{"it is excepted there", newRuleOn("s", "Arith", caller("gold"), rate(100, 100)), newRuleOn("w", "Arith", except(config.Exception{Caller: config.Patterns{"g*"}}), rate(5, 5)), ""},
		{"something else is excepted there", newRuleOn("s", "Arith", caller("gold"), rate(100, 100)), newRuleOn("w", "Arith", except(ops), rate(5, 5)), "has no effect"},
		{"other calls", newRuleOn("s", "Orders", caller("gold"), rate(100, 100)), newRuleOn("w", "Arith", rate(5, 5)), ""},
		{"more calls", newRuleOn("s", "*", caller("gold"), rate(100, 100)), newRuleOn("w", "Arith", rate(5, 5)), ""},
		{"the other waits", newRuleOn("s", "Arith", caller("gold"), rate(100, 100)), newRuleOn("w", "Arith", waiting(5, 5, time.Second)), "is never sustained"},
		{"the other is in shadow", newRuleOn("s", "Arith", caller("gold"), rate(100, 100)), newRuleOn("w", "Arith", rate(5, 5), mode(config.Shadow)), ""},
		{"it is in shadow itself", newRuleOn("s", "Arith", caller("gold"), rate(100, 100), mode(config.Shadow)), newRuleOn("w", "Arith", rate(5, 5)), ""},
		{"the other is for some", newRuleOn("s", "Arith", caller("gold"), rate(100, 100)), newRuleOn("w", "Arith", rate(5, 5), enforceShare(0.5)), ""},
		{"the other ends sooner", newRuleOn("s", "Arith", caller("gold"), rate(100, 100)), newRuleOn("w", "Arith", rate(5, 5), expires(time.Now().Add(time.Hour))), ""},
		{"more places", newRuleOn("s", "Arith", method("Mul"), concurrency(10, 0, 0)), newRuleOn("w", "Arith", concurrency(5, 5, 0)), "has no effect"},
		{"places for those who wait there", newRuleOn("s", "Arith", method("Mul"), concurrency(9, 0, 0)), newRuleOn("w", "Arith", concurrency(5, 5, 0)), ""},
		{"one more who may call", newRuleOn("s", "Arith", method("Mul"), only("web", "ops")), newRuleOn("w", "Arith", only("web")), "has no effect"},
		{"one less", newRuleOn("s", "Arith", method("Mul"), only("web")), newRuleOn("w", "Arith", only("web", "ops")), ""},
		{"one who is denied", newRuleOn("s", "Arith", access(nil, []config.AccessEntry{{Caller: config.Patterns{"bad"}}})), newRuleOn("w", "Arith", only("b*")), ""},
		{
			"one who is denied there too", newRuleOn("s", "Arith", access(nil, []config.AccessEntry{{Caller: config.Patterns{"bad"}}})),
			newRuleOn("w", "*", access(nil, []config.AccessEntry{{Caller: config.Patterns{"b*"}}})), "has no effect",
		},
		{"a copy", newRuleOn("s", "Arith", rate(5, 5)), newRuleOn("w", "Arith", rate(5, 5)), "rateLimit of rule s duplicates that of rule w: remove one of them"},
		{"a copy that waits", newRuleOn("s", "Arith", waiting(5, 5, time.Second)), newRuleOn("w", "Arith", waiting(5, 5, time.Second)), "duplicates"},
	} {
		found := policies.ValidatePointless(completed([]config.Rule{test.w, test.s}))
		got := ""
		for _, p := range found {
			if got += p.Message; !p.Warning {
				t.Errorf("%s: %v is no warning", test.name, p)
			}
		}
		if len(found) > 1 || (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
			t.Errorf("%s:\ngot  %v\nwant %s", test.name, found, test.want)
		}
	}
}

func TestWhatTheWarningSaysToWriteMendsIt(t *testing.T) {
	wide := newRuleOn("wide", "*", rate(5, 5))
	for _, narrow := range []config.Rule{
		newRuleOn("a", "*", caller("gold", "partner-*", "auth0|x"), rate(100, 100)),
		newRuleOn("b", "Arith", method("Mul"), peer("10.0.0.0/8", "fd00::/8"), rate(5, 5)),
	} {
		p := policies.ValidatePointless(completed([]config.Rule{wide, narrow}))
		if len(p) != 1 {
			t.Fatalf("%v", p)
		}
		_, rest, _ := strings.Cut(p[0].Message, "write match: ")
		text, _, _ := strings.Cut(rest, " in rule wide")
		decoded, problems := config.DecodeRules("", []byte("rules: [{name: wide, timeout: 1s, match: {service: '*', "+strings.TrimPrefix(text, "{")+"}]"), nil)
		if problems.Err() != nil {
			t.Fatalf("%s: %v", text, problems)
		}
		mended := wide
		mended.Match.Except = decoded[0].Match.Except
		if p := policies.ValidatePointless(completed([]config.Rule{mended, narrow})); len(p) > 0 {
			t.Errorf("%s: %v", text, p)
		}
	}
}

func TestARuleThatExceptsAllItsCallsIsReported(t *testing.T) {
	for _, test := range []struct {
		match, except func(*config.Rule)
		told          bool
	}{
		{caller("ops", "test-1"), except(ops), true},
		{caller("ops", "tests"), except(ops), false},
		{caller("a", "b"), except(config.Exception{Caller: config.Patterns{"a"}}, config.Exception{Caller: config.Patterns{"b"}}), true},
		{peer("10.1.0.0/16"), except(office), true},
		{peer("10.0.0.0/7"), except(office), false},
		{caller("ops"), except(opsHome), false},
		{method("Mul"), except(config.Exception{Service: config.Patterns{"*"}, Method: config.Patterns{"M*"}}), true},
		{method("M*"), except(config.Exception{Method: config.Patterns{"Mul"}}), false},
	} {
		r := newRuleOn("r", "Arith", timeout(time.Second), test.match, test.except)
		if p := policies.ValidatePointless(completed([]config.Rule{r})); len(p) > 0 != test.told {
			t.Errorf("%+v: %v", r.Match, p)
		}
	}
}

// ledger decides as the specification says: every limit must agree, and a call that is refused takes nothing.
type ledger struct {
	tokens   map[string]float64 // by rule and key
	at       map[string]float64
	inFlight map[string]int
}

func newLedger() *ledger {
	return &ledger{tokens: map[string]float64{}, at: map[string]float64{}, inFlight: map[string]int{}}
}

// enter returns what the call gives back when it ends.
func (l *ledger) enter(rules []config.Rule, method, caller string, peer netip.Addr, now float64) (leave func(), ok bool) {
	var take, back []func()
	for i := range rules {
		r := &rules[i]
		if !naiveMatch(&r.Match, method, caller, peer) {
			continue
		}
		if c := r.RateLimit; c != nil {
			key := r.Name
			if len(c.Key) > 0 {
				key += " " + caller
			}
			had, known := l.tokens[key]
			if !known {
				had = float64(c.Burst)
			}
			had = min(had+(now-l.at[key])*float64(c.Rate), float64(c.Burst))
			if had < 1 {
				return nil, false
			}
			take = append(take, func() { l.tokens[key], l.at[key] = had-1, now })
		}
		if c := r.Concurrency; c != nil {
			if l.inFlight[r.Name] >= c.Max {
				return nil, false
			}
			take = append(take, func() { l.inFlight[r.Name]++ })
			back = append(back, func() { l.inFlight[r.Name]-- })
		}
		if a := r.Access; a != nil {
			is := func(list []config.AccessEntry) bool {
				return slices.ContainsFunc(list, func(e config.AccessEntry) bool {
					return wildcard.MatchAny(e.Caller, caller) && (len(e.Methods) == 0 || wildcard.MatchAny(e.Methods, method))
				})
			}
			if is(a.Deny) || len(a.Allow) > 0 && !is(a.Allow) {
				return nil, false
			}
		}
	}
	for _, f := range take {
		f()
	}
	return func() {
		for _, f := range back {
			f()
		}
	}, true
}

func drawnLimit(t *rapid.T, r *config.Rule) {
	some := func(name string) config.Patterns { return rapid.SliceOfN(drawnNames, 1, 2).Draw(t, name) }
	switch rapid.IntRange(0, 3).Draw(t, "kind") {
	case 0:
		keyedRate("caller", 0, float64(rapid.IntRange(1, 3).Draw(t, "rate")), int64(rapid.IntRange(1, 3).Draw(t, "burst")))(r)
	case 1:
		rate(float64(rapid.IntRange(1, 4).Draw(t, "rate")), int64(rapid.IntRange(1, 4).Draw(t, "burst")))(r)
	case 2:
		concurrency(rapid.IntRange(1, 3).Draw(t, "max"), 0, 0)(r)
	default:
		r.Access = &config.Access{}
		entry := func() []config.AccessEntry {
			return []config.AccessEntry{{Caller: some("callers"), Methods: drawn(t, "methods", drawnNames)}}
		}
		if n := rapid.IntRange(0, 2).Draw(t, "lists"); n != 1 {
			r.Access.Allow = entry()
		}
		if r.Access.Allow == nil || rapid.Bool().Draw(t, "deny") {
			r.Access.Deny = entry()
		}
	}
}

// No warning is false: a set without the reported rule decides every call as the set with it.
func TestRulesThatAreReportedAsPointlessAre(t *testing.T) {
	told := 0
	check := func(t *rapid.T) {
		rules := make([]config.Rule, rapid.IntRange(2, 3).Draw(t, "rules"))
		for i := range rules {
			rules[i] = config.Rule{Name: fmt.Sprint("r", i), Match: drawnMatch(t, "S")}
			if i > 0 && rapid.Bool().Draw(t, "near") {
				rules[i].Match = rules[i-1].Match
				rules[i].Match.Except = nil
			}
			drawnLimit(t, &rules[i])
		}
		random := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		for _, p := range policies.ValidatePointless(completed(rules)) {
			if p.Code == lint.AboveService { // about the rate of a rule that still refuses bursts
				continue
			}
			told++
			without := slices.DeleteFunc(slices.Clone(rules), func(r config.Rule) bool {
				return slices.ContainsFunc([]string{" has no effect", " duplicates"}, func(is string) bool {
					return strings.Contains(p.Message, "rule "+r.Name+is)
				})
			})
			if len(without) != len(rules)-1 {
				t.Fatalf("%s names no rule", p.Message)
			}
			a, b, now := newLedger(), newLedger(), 0.0
			var leave []func()
			for range 400 {
				now += random.Float64() / 2
				method, caller := universeNames[random.IntN(len(universeNames))], universeNames[random.IntN(3)]
				peer := universePeers[random.IntN(len(universePeers))]
				x, admitted := a.enter(rules, method, caller, peer, now)
				y, alsoAdmitted := b.enter(without, method, caller, peer, now)
				if admitted != alsoAdmitted {
					t.Fatalf("%s\n%s of %s from %v: %v, without it %v\n%+v", p.Message, method, caller, peer, admitted, alsoAdmitted, rules)
				}
				if admitted {
					leave = append(leave, x, y)
				}
				for len(leave) > 0 && random.IntN(2) == 0 {
					leave[0]()
					leave[1]()
					leave = leave[2:]
				}
			}
		}
	}
	for try := 0; try < 10 && told == 0; try++ { // the few sets of -short may have none
		rapid.Check(t, check)
	}
	if told == 0 {
		t.Error("nothing was told: that proves nothing")
	}
	t.Logf("%d rules were told", told)
}

func TestPointlessRulesOfLargeSetsAreLookedForInTime(t *testing.T) {
	rules := make([]config.Rule, 20_000)
	for i := range rules {
		rules[i] = newRuleOn(fmt.Sprint("r", i), "*", caller(fmt.Sprintf("c%d-*", i)), rate(float64(i+1), int64(i+1)))
	}
	rules = completed(rules)
	begun := time.Now()
	if p := policies.ValidatePointless(rules); len(p) > 0 {
		t.Errorf("%v", p)
	}
	if took := time.Since(begun); took > time.Minute {
		t.Errorf("took %v", took)
	}
}
