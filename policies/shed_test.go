package policies_test

import (
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// refusedOf makes 1000 calls and returns how many are refused.
func refusedOf(c *chain, as policies.Call) (refused int) {
	for range 1000 {
		if c.call(mul, as, nil) != nil {
			refused++
		}
	}
	return refused
}

func TestAGrowingShareIsRefusedTheLowestPriorityFirst(t *testing.T) {
	c := newChain(t, newRuleOn("busy", "Arith", shed(0.8)),
		newRuleOn("first", "Arith", caller("high"), priority(config.PriorityHigh)),
		newRuleOn("last", "Arith", caller("low"), priority(config.PriorityLow)))
	for _, at := range []struct {
		cpu               float64
		low, normal, high int
	}{
		{0, 0, 0, 0},
		{0.8, 0, 0, 0},
		{0.85, 475, 238, 0},
		{0.9, 950, 475, 0},
		{0.95, 950, 713, 475},
		{1, 950, 950, 950},
	} {
		c.cpu = at.cpu
		for who, want := range map[string]int{"low": at.low, "normal": at.normal, "high": at.high} {
			if n := refusedOf(c, from(who)); n < want-3 || n > want+3 {
				t.Errorf("CPU %v: %d of 1000 calls of %s priority are refused, want %d", at.cpu, n, who, want)
			}
		}
	}
}

func TestARefusalByLoadSaysWhyInNumbers(t *testing.T) {
	c := newChain(t, newRuleOn("busy", "Arith", shed(0.85), rate(0.001, 1)))
	c.cpu = 0.98
	e := refusal(t, c.call(mul, policies.Call{}, nil))
	want := "UNAVAILABLE: CPU 98 % of 2 cores over the last 1s, above 85 %: 82 % of the calls of normal priority are refused by busy@r1 on orders-7, retry in 1s"
	if e.Message != want || e.Reason != code.ReasonOverloaded || e.Code != code.Unavailable || e.Kind() != string(config.KindShed) {
		t.Errorf("got  %v %s\nwant %s", e, e.Kind(), want)
	}
	if n := tokensLeft(c.now, "busy"); n != 1 {
		t.Errorf("%d tokens left", n)
	}
	a := c.now.Explain(mul, "", netip.Addr{}).Kinds[0].Applies[0]
	if want := "CPU 98 % of 2 cores over the last 1s, above 85 %: 95 % of low, 82 % of normal, 70 % of high priority are refused"; a.State != want || a.Setting != "CPU above 85%" {
		t.Errorf("%s: %s", a.Setting, a.State)
	}
	c.cpu = 0.2
	if got := c.now.State("busy", config.KindShed, mul, ""); got != "CPU 20 % of 2 cores over the last 1s, not above 85 %: no call is refused" {
		t.Error(got)
	}
}

func TestRulesThatShedDoNotAddUp(t *testing.T) {
	c := newChain(t, newRuleOn("one", "Arith", shed(0.8)), newRuleOn("two", "*", shed(0.8)), newRuleOn("tried", "*", shed(0.6), mode(config.Shadow)))
	c.cpu = 0.9
	if n := refusedOf(c, policies.Call{}); n < 472 || n > 478 {
		t.Errorf("%d of 1000 calls are refused", n)
	}
	if d := c.decisions("tried", config.KindShed); d.Reject != 0 || d.ShadowReject < 200 {
		t.Errorf("in shadow: %+v", d)
	}
}

func TestWithoutAMeasurementNothingIsShed(t *testing.T) {
	s, err := compile([]config.Rule{newRuleOn("busy", "Arith", shed(0.01))}, targets, nil, policies.Options{})
	succeeds(t, err)
	var ticket policies.Ticket
	succeeds(t, s.Guard(mul).Enter(t.Context(), &policies.Call{}, &ticket))
	ticket.Done(nil)
	if r := s.Rules()[0]; r.Status != policies.StatusPartly || !strings.Contains(r.Detail, "cannot be measured") {
		t.Errorf("%s: %s", r.Status, r.Detail)
	}
	if !s.Sheds() {
		t.Error("no rule needs the utilization")
	}
	if s, _ := compile([]config.Rule{newRuleOn("busy", "Arith", shed(0.01), mode(config.Off))}, targets, nil, policies.Options{}); s.Sheds() {
		t.Error("a rule that is off needs the utilization")
	}
}

func TestAnEditKeepsAnAdaptiveLimit(t *testing.T) {
	c := newChain(t, newRuleOn("r", "Arith", concurrency(60, 0, 0)))
	limitIs := func(want int) {
		t.Helper()
		held := 0
		for {
			if _, err := c.enter(mul, policies.Call{}); err != nil {
				break
			}
			held++
		}
		if running, _ := inFlight(c.now, "r"); running != want {
			t.Errorf("%d calls in flight, want %d", running, want)
		}
	}
	c.edit(newRuleOn("r", "Arith", adaptive(10, 80)))
	limitIs(60)
	c.edit(newRuleOn("r", "Arith", adaptive(65, 80)))
	limitIs(65)
	if l := c.now.AdaptiveLimits(); len(l) != 1 || l[0].Limit != 65 {
		t.Errorf("%+v", l)
	}
	c.edit(newRuleOn("r", "Arith", concurrency(70, 0, 0)))
	limitIs(70)
	if l := c.now.AdaptiveLimits(); l != nil {
		t.Errorf("%+v", l)
	}
}

func TestAnAdaptiveLimitLearnsFromCalls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", adaptive(10, 30)))
		for range 100 {
			var held []*policies.Ticket
			for {
				ticket, err := c.enter(mul, policies.Call{})
				if err != nil {
					break
				}
				held = append(held, ticket)
			}
			time.Sleep(20 * time.Millisecond)
			for _, ticket := range held {
				ticket.Done(nil)
			}
		}
		if got, want := c.now.State("r", config.KindConcurrency, mul, ""), "0 of 30 in flight, 0 of 0 queued; calls take 20ms, and 20ms when they do not wait for each other"; got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
		for range 30 {
			_, err := c.enter(mul, policies.Call{})
			succeeds(t, err)
		}
		e := refusal(t, c.call(mul, policies.Call{}, nil))
		if want := "UNAVAILABLE: adaptive concurrency limit of 30 reached: calls take 20ms, and 20ms when they do not wait for each other by r@r1 on orders-7, retry in 100ms"; e.Message != want {
			t.Errorf("got  %s\nwant %s", e.Message, want)
		}
	})
}
