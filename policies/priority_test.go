package policies_test

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// queueing makes calls that wait in the queue of rule r, one after the other, and returns the order in which they run. refused gets
// the errors of the others by caller.
func queueing(t *testing.T, c *chain, callers ...string) (order []string, refused map[string]*code.Error) {
	t.Helper()
	refused = make(map[string]*code.Error)
	running, err := c.enter(mul, policies.Call{})
	succeeds(t, err)
	for _, caller := range callers {
		go func() {
			ticket, err := c.enter(mul, from(caller))
			if err != nil {
				refused[caller] = refusal(t, err)
				return
			}
			order = append(order, caller)
			ticket.Done(nil)
		}()
		synctest.Wait()
	}
	running.Done(nil)
	synctest.Wait()
	return order, refused
}

func TestTheQueueIsFirstInFirstOutWithinOnePriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", concurrency(1, 10, time.Second)),
			newRuleOn("first", "Arith", caller("high-*"), priority(config.PriorityHigh)),
			newRuleOn("last", "Arith", caller("low-*"), priority(config.PriorityLow)))
		order, refused := queueing(t, c, "low-1", "normal-1", "high-1", "low-2", "high-2", "normal-2")
		if want := []string{"high-1", "high-2", "normal-1", "normal-2", "low-1", "low-2"}; !slices.Equal(order, want) || len(refused) > 0 {
			t.Errorf("order %v, refused %v", order, refused)
		}
	})
}

func TestAFullQueueMakesRoomForAHigherPriority(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", concurrency(1, 3, time.Second)),
			newRuleOn("first", "Arith", caller("high-*"), priority(config.PriorityHigh)),
			newRuleOn("last", "Arith", caller("low-*"), priority(config.PriorityLow)))
		order, refused := queueing(t, c, "low-1", "low-2", "normal-1", "high-1", "normal-2", "normal-3", "low-3", "high-2")
		if want := []string{"high-1", "high-2", "normal-1"}; !slices.Equal(order, want) {
			t.Errorf("order %v", order)
		}
		const full = "UNAVAILABLE: concurrency limit of 1 reached (queue full"
		displaced := full + ", and a call of higher priority took the place of this one) by r@r1 on orders-7, retry in 100ms"
		for caller, want := range map[string]string{
			"low-1": displaced, "low-2": displaced, "normal-2": displaced,
			"normal-3": full + ") by r@r1 on orders-7, retry in 100ms", "low-3": full + ") by r@r1 on orders-7, retry in 100ms",
		} {
			if e := refused[caller]; e == nil || e.Message != want || e.Reason != code.ReasonOverloaded {
				t.Errorf("%s: %v", caller, e)
			}
		}
		if d := c.decisions("r", config.KindConcurrency); d != (policies.Decisions{Allow: 1, Wait: 3, Reject: 5}) {
			t.Errorf("%+v", d)
		}
		if running, queued := inFlight(c.now, "r"); running+queued != 0 {
			t.Errorf("%d in flight, %d queued", running, queued)
		}
	})
}

func TestTheMostSpecificPriorityWins(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", concurrency(1, 10, time.Second)),
			newRuleOn("all", "*", priority(config.PriorityLow)),
			newRuleOn("web", "*", caller("web-*"), priority(config.PriorityHigh)),
			newRuleOn("tried", "*", caller("web-1"), priority(config.PriorityLow), mode(config.Shadow)),
			newRuleOn("nobody", "*", caller("web-3"), priority(config.PriorityLow), enforceShare(0)))
		order, _ := queueing(t, c, "batch", "web-3", "web-1", "web-2")
		if want := []string{"web-1", "web-2", "web-3", "batch"}; !slices.Equal(order, want) {
			t.Errorf("order %v", order)
		}
		if d := c.decisions("tried", config.KindPriority); d.Allow != 1 {
			t.Errorf("in shadow: %+v", d)
		}
	})
}
