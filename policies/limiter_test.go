package policies_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

func TestNoLegalRatePanics(t *testing.T) {
	for _, r := range []struct {
		rate float64
		per  time.Duration
	}{
		{1, 24 * time.Hour},
		{0.5, 12 * time.Hour},
		{1, time.Second},
		{0.3, time.Second},
		{7, time.Millisecond},
		{3333, time.Second},
		{1, 10 * time.Nanosecond},
		{1e8, time.Second},
		{99999999, time.Second},
		{7e7, time.Second},
	} {
		for _, burst := range []int64{1, 2, 1000, 1e9} {
			rule := newRuleOn("r", "Arith", rate(r.rate, burst))
			rule.RateLimit.Per = config.Duration(r.per)
			if err := newChain(t, rule).call(mul, policies.Call{}, nil); err != nil {
				t.Errorf("%v per %v, burst %d: the first call: %v", r.rate, r.per, burst, err)
			}
		}
	}
}

func TestIllegalRatesAreErrors(t *testing.T) {
	for name, limit := range map[string]config.RateLimit{
		"zero": {}, "negative": {Rate: -1}, "NaN": {Rate: config.Rate(math.NaN())}, "infinite": {Rate: config.Rate(math.Inf(1))},
		"too slow": {Rate: 0.5, Per: config.Duration(24 * time.Hour)}, "too fast": {Rate: 1e9}, "no burst": {Rate: 1, Burst: -1},
		"burst": {Rate: 1, Burst: 1e10}, "negative per": {Rate: 1, Per: -1},
	} {
		rule := newRuleOn("r", "Arith", func(r *config.Rule) { r.RateLimit = &limit })
		if _, problems := config.CompleteRules([]config.Rule{rule}); len(problems.Errors()) == 0 {
			t.Errorf("%s is no problem", name)
		}
	}
}

// R13.
func TestLimiterGrantsItsRateWithinTwoPercent(t *testing.T) {
	for _, perSecond := range []float64{10, 33, 1000, 7777, 100_000} {
		t.Run(fmt.Sprint(perSecond), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				burst := max(int64(perSecond/100), 1)
				c := newChain(t, newRuleOn("r", "Arith", rate(perSecond, burst)))
				granted := 0
				const seconds, step = 10, 200 * time.Microsecond
				for start := time.Now(); time.Since(start) < seconds*time.Second; time.Sleep(step) {
					for c.call(mul, policies.Call{}, nil) == nil {
						granted++
					}
				}
				most := float64(burst) + perSecond*seconds*1.02
				if n := float64(granted); n > most || n < perSecond*seconds*0.98 {
					t.Errorf("%d calls granted in %d s", granted, seconds)
				}
			})
		})
	}
}

func TestTokensComeEvenlyAndNotInLumps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := newRuleOn("r", "Arith", rate(60, 1))
		rule.RateLimit.Per = config.Duration(time.Minute)
		c := newChain(t, rule)
		for i := range 10 {
			if err := c.call(mul, policies.Call{}, nil); err != nil {
				t.Fatalf("call %d: %v", i, err)
			}
			if c.call(mul, policies.Call{}, nil) == nil {
				t.Fatalf("call %d: two at once", i)
			}
			time.Sleep(time.Second)
		}
	})
}

func TestRefusalSaysEverything(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("partner-quota", "Arith", rate(5, 1)))
		if err := c.call(mul, policies.Call{}, nil); err != nil {
			t.Fatal(err)
		}
		time.Sleep(60 * time.Millisecond)
		e := refusal(t, c.call(mul, policies.Call{}, nil))
		want := "RESOURCE_EXHAUSTED: rate limited by partner-quota@r1 on orders-7, retry in 140ms"
		if e.Error() != want || e.Code != code.ResourceExhausted || e.Reason != code.ReasonRateLimited ||
			e.Rule != "partner-quota@r1" || e.Host != "orders-7" || e.RetryAfter != 140*time.Millisecond {
			t.Errorf("got %+v\nwant %s", e, want)
		}
	})
}

// Take of the library goes into debt.
func TestRefusedCallsTakeNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", rate(10, 1)))
		for range 100 {
			_ = c.call(mul, policies.Call{}, nil)
		}
		time.Sleep(100 * time.Millisecond)
		if err := c.call(mul, policies.Call{}, nil); err != nil {
			t.Error("the next token went to a call that was refused:", err)
		}
	})
}

func TestWaitingCallGetsTheNextToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", waiting(10, 1, 150*time.Millisecond)))
		start := time.Now()
		for i, want := range []time.Duration{0, 100 * time.Millisecond} {
			if err := c.call(mul, policies.Call{}, nil); err != nil || time.Since(start) != want {
				t.Errorf("call %d: %v after %v, want %v", i, err, time.Since(start), want)
			}
		}
		if d := c.decisions("r", config.KindRateLimit); d.Allow != 1 || d.Wait != 1 {
			t.Errorf("decisions %+v", d)
		}
	})
}

func TestNoCallWaitsLongerThanMaxWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", waiting(10, 1, 50*time.Millisecond)))
		_ = c.call(mul, policies.Call{}, nil)
		start := time.Now()
		if e := refusal(t, c.call(mul, policies.Call{}, nil)); e.Reason != code.ReasonRateLimited || time.Since(start) != 0 {
			t.Errorf("%v after %v, want a refusal at once: the token comes too late", e, time.Since(start))
		}
	})
}

func TestNoCallWaitsForATokenBeyondItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", waiting(10, 1, time.Second)))
		_ = c.call(mul, policies.Call{}, nil)
		start := time.Now()
		e := refusal(t, c.call(mul, policies.Call{Deadline: start.Add(99 * time.Millisecond)}, nil))
		if e.Reason != code.ReasonRateLimited || time.Since(start) != 0 {
			t.Errorf("%v after %v", e, time.Since(start))
		}
		c.edit(newRuleOn("r", "Arith", waiting(10, 1, time.Second), timeout(50*time.Millisecond)))
		if e := refusal(t, c.call(mul, policies.Call{}, nil)); e.Reason != code.ReasonRateLimited || time.Since(start) != 0 {
			t.Errorf("%v after %v: the rule's own timeout bounds the wait, too", e, time.Since(start))
		}
	})
}

// Wait of the library cannot be interrupted.
func TestWaitEndsWithTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", waiting(1, 1, time.Hour)))
		_ = c.call(mul, policies.Call{}, nil)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		start := time.Now()
		var ticket policies.Ticket
		err := c.now.Guard(mul).Enter(ctx, &policies.Call{}, &ticket)
		if e := refusal(t, err); e.Code != code.DeadlineExceeded || time.Since(start) != 10*time.Millisecond {
			t.Errorf("%v after %v", e, time.Since(start))
		}
		if e := refusal(t, c.now.Guard(mul).Enter(canceled(), &policies.Call{}, &ticket)); e.Code != code.Cancelled {
			t.Errorf("%v", e)
		}
	})
}
