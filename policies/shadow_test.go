package policies_test

import (
	"context"
	"fmt"
	"math"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
)

func TestShadowRefusesNothingAndCountsWhatItWould(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, test := range []struct {
			name  string
			kind  config.Kind
			rule  func(*config.Rule)
			do    func(c *chain)
			wants policies.Decisions
		}{
			{"rateLimit never waits", config.KindRateLimit, waiting(0.001, 2, time.Hour), func(c *chain) { c.calls(5, nil) }, policies.Decisions{Allow: 2, ShadowReject: 3}},
			{"concurrency counts above max and queue", config.KindConcurrency, concurrency(1, 1, time.Hour), func(c *chain) {
				for range 5 {
					if _, err := c.enter(mul, policies.Call{}); err != nil {
						c.t.Error(err)
					}
				}
			}, policies.Decisions{Allow: 2, ShadowReject: 3}},
			{"timeout counts calls that end later", config.KindTimeout, timeout(time.Second), func(c *chain) {
				for _, d := range []time.Duration{time.Millisecond, 2 * time.Second} {
					ticket, _ := c.enter(mul, policies.Call{Arrived: time.Now()})
					if _, ok := ticket.Deadline(); ok {
						c.t.Error("it has a deadline")
					}
					time.Sleep(d)
					ticket.Done(nil)
				}
			}, policies.Decisions{Allow: 1, ShadowReject: 1}},
			{"circuitBreaker keeps its own state", config.KindCircuitBreaker, circuit(tripsAt(2)), func(c *chain) {
				c.calls(5, errDown)
				c.breaker("open")
				time.Sleep(openTime * 11 / 10)
				c.calls(2, nil)
				c.breaker("closed")
			}, policies.Decisions{Allow: 4, ShadowReject: 3}},
			{"access", config.KindAccess, access(nil, []config.AccessEntry{{Caller: config.Patterns{"*"}}}), func(c *chain) { c.calls(3, nil) }, policies.Decisions{ShadowReject: 3}},
		} {
			c := newChain(t, newRuleOn("r", "Arith", test.rule, mode(config.Shadow)))
			test.do(c)
			if d := c.decisions("r", test.kind); d != test.wants {
				t.Errorf("%s: %+v, want %+v", test.name, d, test.wants)
			}
		}
	})
}

func TestShadowRulesChooseAmongThemselves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t,
			newRuleOn("broad", "*", timeout(time.Hour)),
			newRuleOn("narrow", "Arith", timeout(time.Second), mode(config.Shadow)),
			newRuleOn("broad-shadow", "*", timeout(time.Millisecond), mode(config.Shadow)),
		)
		ticket, _ := c.enter(mul, policies.Call{Arrived: time.Now()})
		if d, _ := ticket.Deadline(); time.Until(d) != time.Hour {
			t.Error("a shadow rule took part:", time.Until(d))
		}
		time.Sleep(2 * time.Second)
		ticket.Done(nil)
		if d := c.decisions("narrow", config.KindTimeout); d.ShadowReject != 1 {
			t.Errorf("%+v", d)
		}
		if d := c.decisions("broad-shadow", config.KindTimeout); d != (policies.Decisions{}) {
			t.Errorf("%+v: the narrower one was asked already", d)
		}
	})
}

func TestEnforceShareRefusesThatShareOfTheCallers(t *testing.T) {
	const callers = 10_000
	for _, share := range []config.Share{0, 0.1, 0.5, 1} {
		c := newChain(t, newRuleOn("r", "Arith", access(nil, []config.AccessEntry{{Caller: config.Patterns{"*"}}}), enforceShare(share)))
		refused := make(map[string]bool)
		for i := range callers {
			who := fmt.Sprint("caller-", i)
			refused[who] = c.call(mul, from(who), nil) != nil
			if again := c.call(mul, from(who), nil) != nil; again != refused[who] {
				t.Fatalf("%s is refused now and then", who)
			}
		}
		n := 0
		for _, is := range refused {
			if is {
				n++
			}
		}
		if math.Abs(float64(n)/callers-float64(share)) > 0.02 {
			t.Errorf("share %v: %d of %d refused", share, n, callers)
		}
		if d := c.decisions("r", config.KindAccess); d.Reject != uint64(2*n) || d.ShadowReject != uint64(2*(callers-n)) {
			t.Errorf("share %v: %+v", share, d)
		}
	}
}

func TestEnforceShareIsAnotherOneForEachRuleAndGoesByPeerForAnonymous(t *testing.T) {
	same, peers := 0, make(map[bool]int)
	for i := range 1000 {
		c := from(fmt.Sprint("caller-", i))
		if policies.EnforcedFor("a", 0.5, &c) == policies.EnforcedFor("b", 0.5, &c) {
			same++
		}
		p := at(fmt.Sprintf("10.0.%d.%d", i/256, i%256))
		p.Caller = policies.Anonymous
		peers[policies.EnforcedFor("a", 0.5, &p)]++
	}
	if same < 400 || same > 600 {
		t.Errorf("%d of 1000 callers fare alike under two rules", same)
	}
	if peers[true] < 400 || peers[true] > 600 {
		t.Errorf("%d of 1000 peers refused", peers[true])
	}
}

func TestCallersOutsideTheShareNeverWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", waiting(1, 1, time.Hour), concurrency(1, 5, time.Hour),
			circuit(tripsAt(1)), timeout(time.Second), enforceShare(0)))
		start := time.Now()
		for range 3 {
			ticket, err := c.enter(mul, policies.Call{Arrived: time.Now()})
			if err != nil {
				t.Fatal(err)
			}
			if _, ok := ticket.Deadline(); ok {
				t.Error("the timeout is carried out")
			}
			defer ticket.Done(errDown)
		}
		c.calls(1, errDown)
		c.calls(1, nil)
		if d := time.Since(start); d != 0 {
			t.Errorf("waited %v", d)
		}
		for _, kind := range []config.Kind{config.KindRateLimit, config.KindConcurrency, config.KindCircuitBreaker} {
			if d := c.decisions("r", kind); d.Reject != 0 || d.ShadowReject+d.Allow != 5 {
				t.Errorf("%s: %+v", kind, d)
			}
		}
	})
}

func TestACallKnowsWhichRulesInShadowWouldHaveRefusedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		nobody := access(nil, []config.AccessEntry{{Caller: config.Patterns{"*"}}})
		c := newChain(t, newRuleOn("r", "Arith", mode(config.Shadow), nobody, rate(0.001, 1), concurrency(1, 0, 0), circuit(tripsAt(1)), timeout(time.Second)))
		var call policies.Call
		var ticket policies.Ticket
		for _, last := range []bool{false, true} { // the first uses up what there is, and opens the breaker
			call, ticket = policies.Call{Arrived: time.Now()}, policies.Ticket{}
			if err := c.now.Guard(mul).Enter(t.Context(), &call, &ticket); err != nil {
				t.Fatal(err)
			}
			if !last {
				if _, err := c.enter(mul, policies.Call{}); err != nil { // and stays
					t.Fatal(err)
				}
				ticket.Done(errDown)
			}
		}
		time.Sleep(2 * time.Second)
		ticket.Done(nil)
		var got []string
		for _, w := range slices.Concat(call.Shadowed(), ticket.Shadowed()) {
			got = append(got, fmt.Sprintf("%s %s %s %s", w.Rule, w.Kind, w.Code, w.Reason))
		}
		slices.Sort(got)
		want := []string{
			"r@r1 access PERMISSION_DENIED denied", "r@r1 circuitBreaker UNAVAILABLE breaker_open", "r@r1 concurrency UNAVAILABLE overloaded",
			"r@r1 rateLimit RESOURCE_EXHAUSTED rate_limited", "r@r1 timeout DEADLINE_EXCEEDED timeout",
		}
		if !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
}

func TestACallOutKnowsWhichRulesInShadowWouldHaveRefusedIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBilling(t, toBilling("r", mode(config.Shadow), rate(0.001, 1), scoped(config.ScopeUpstream), timeout(time.Second)),
			toBilling("again", retry(config.Retry{MaxAttempts: 3})))
		b.answer = always(errDown)
		b.fail(3)
		b.answer = func(context.Context, string, int) error {
			time.Sleep(2 * time.Second)
			return errDown
		}
		_, would, _ := b.guard.DoWithin(t.Context(), &outCall{
			upstream: "billing", service: "Billing", method: "Get", idempotent: true, attempt: b.attempt,
		}, time.Time{})
		var got []string
		for _, w := range would {
			got = append(got, string(w.Kind)+" "+w.Reason)
		}
		if want := []string{"circuitBreaker breaker_open", "rateLimit rate_limited", "timeout timeout"}; !slices.Equal(got, want) {
			t.Errorf("got %q", got)
		}
	})
}
