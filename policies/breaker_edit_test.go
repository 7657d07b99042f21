package policies_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
)

// edited is a breaker with something changed.
func edited(cb config.CircuitBreaker, change func(*config.CircuitBreaker)) config.Rule {
	change(&cb)
	return newRuleOn("arith", "Arith", circuit(cb))
}

func TestThresholdsChangeLive(t *testing.T) {
	c := breakerChain(t, halfOf(10))
	c.calls(4, errDown)
	c.edit(edited(halfOf(10), func(cb *config.CircuitBreaker) { cb.MinRequests = 5 }))
	c.calls(1, errDown) // the four failures before the edit still count
	c.breaker("open")
}

func TestOpenBreakerStaysOpenWhenThresholdsChange(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := breakerChain(t, tripsAt(1))
		c.calls(1, errDown)
		left := refusal(t, c.call(mul, policies.Call{}, nil)).RetryAfter
		for i := range 100 {
			c.edit(edited(tripsAt(1), func(cb *config.CircuitBreaker) { cb.ConsecutiveFailures = 2 + i }))
		}
		if again := refusal(t, c.call(mul, policies.Call{}, nil)).RetryAfter; again != left {
			t.Errorf("open for %v, was %v", again, left)
		}
		if len(c.transitions()) != 1 {
			t.Errorf("%+v", c.transitions())
		}
	})
}

func TestClosedBreakerStartsAfreshWithAnotherWindow(t *testing.T) {
	c := breakerChain(t, tripsAt(3))
	c.calls(2, errDown)
	c.edit(edited(tripsAt(3), func(cb *config.CircuitBreaker) { cb.Window = config.Duration(time.Minute) }))
	c.calls(2, errDown)
	c.breaker("closed")
	c.calls(1, errDown)
	c.breaker("open")
	if len(c.transitions()) != 1 || c.transitions()[0].From != "closed" {
		t.Errorf("%+v", c.transitions())
	}
}

func TestOpenBreakerIsHeldAcrossEditsOfItsCore(t *testing.T) {
	for name, change := range map[string]func(*config.CircuitBreaker){
		"window":           func(cb *config.CircuitBreaker) { cb.Window = config.Duration(time.Minute) },
		"halfOpenRequests": func(cb *config.CircuitBreaker) { cb.HalfOpenRequests = 1 },
		"longer":           func(cb *config.CircuitBreaker) { cb.OpenTimeout = config.Duration(time.Hour) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := breakerChain(t, tripsAt(1))
				running, _ := c.enter(mul, policies.Call{})
				c.calls(1, errDown)
				left := refusal(t, c.call(mul, policies.Call{}, nil)).RetryAfter
				for i := range 10 {
					c.edit(edited(tripsAt(1), change))
					c.edit(edited(tripsAt(1), func(cb *config.CircuitBreaker) {
						change(cb)
						cb.Window += config.Duration(i + 1)
					}))
				}
				running.Done(nil) // a call of the old core
				if len(c.transitions()) != 1 {
					t.Errorf("transitions of the edit: %+v", c.transitions())
				}
				time.Sleep(left - time.Millisecond)
				if e := refusal(t, c.call(mul, policies.Call{}, nil)); e.RetryAfter > left {
					t.Errorf("open for %v longer", e.RetryAfter)
				}
				time.Sleep(2 * time.Millisecond)
				first, err := c.enter(mul, policies.Call{})
				if err != nil {
					t.Fatal("its original time is over:", err)
				}
				c.breaker("half_open")
				first.Done(errDown)
				c.breaker("open")
			})
		})
	}
}

func TestShorterOpenTimeoutHoldsShorter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := breakerChain(t, tripsAt(1))
		c.calls(1, errDown)
		c.edit(edited(tripsAt(1), func(cb *config.CircuitBreaker) { cb.OpenTimeout = config.Duration(time.Second) }))
		time.Sleep(800 * time.Millisecond)
		if c.call(mul, policies.Call{}, nil) == nil {
			t.Error("not held")
		}
		time.Sleep(301 * time.Millisecond)
		c.calls(2, nil)
		c.breaker("closed")
	})
}

func TestAnEditRestartsTheProbesOfAHalfOpenBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := breakerChain(t, tripsAt(1))
		c.calls(1, errDown)
		time.Sleep(openTime * 11 / 10)
		lost, err := c.enter(mul, policies.Call{})
		if err != nil {
			t.Fatal(err)
		}
		c.edit(edited(tripsAt(1), func(cb *config.CircuitBreaker) { cb.HalfOpenRequests = 3 }))
		time.Sleep(time.Millisecond)
		c.breaker("half_open")
		lost.Done(errDown) // the probe of the old core decides nothing
		c.breaker("half_open")
		c.calls(2, nil)
		c.breaker("half_open")
		c.calls(1, nil)
		c.breaker("closed")
		if n := len(c.transitions()); n != 3 {
			t.Errorf("%d transitions: %+v", n, c.transitions())
		}
	})
}

func TestBreakerGoesWithItsMethod(t *testing.T) {
	rules := []config.Rule{newRuleOn("arith", "Arith", circuit(tripsAt(1)))}
	c := newChain(t, rules...)
	c.calls(1, errDown)
	without, err := compile(rules, []policies.Target{div}, c.now, policies.Options{})
	if err != nil {
		t.Fatal(err)
	}
	without.Activate()
	if left := without.Breakers(); len(left) != 1 || left[0].Target != div.String() {
		t.Errorf("%+v", left)
	}
}
