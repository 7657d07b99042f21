package policies_test

import (
	"context"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

func TestAboveMaxIsRefused(t *testing.T) {
	c := newChain(t, newRuleOn("r", "Arith", concurrency(2, 0, 0)))
	first, _ := c.enter(mul, policies.Call{})
	_, _ = c.enter(div, policies.Call{}) // the rule's calls are counted together
	_, err := c.enter(mul, policies.Call{})
	e := refusal(t, err)
	want := "UNAVAILABLE: concurrency limit of 2 reached by r@r1 on orders-7, retry in 100ms"
	if e.Error() != want || e.Reason != code.ReasonOverloaded || e.Code != code.Unavailable {
		t.Errorf("got %v\nwant %s", e, want)
	}
	first.Done(nil)
	first.Done(nil) // a second time frees nothing
	if _, err := c.enter(mul, policies.Call{}); err != nil {
		t.Error("a place is free:", err)
	}
	if _, err := c.enter(mul, policies.Call{}); err == nil {
		t.Error("one Done freed two places")
	}
}

func TestQueueIsFirstInFirstOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", concurrency(1, 10, time.Second)))
		running, _ := c.enter(mul, policies.Call{})
		var order []int
		for i := range 10 {
			go func() {
				ticket, err := c.enter(mul, policies.Call{})
				if err != nil {
					t.Error(err)
					return
				}
				order = append(order, i) // only one runs at a time
				ticket.Done(nil)
			}()
			synctest.Wait()
		}
		if e := refusal(t, c.call(mul, policies.Call{}, nil)); e.Message != "UNAVAILABLE: concurrency limit of 1 reached (queue full) by r@r1 on orders-7, retry in 100ms" {
			t.Error(e)
		}
		running.Done(nil)
		synctest.Wait()
		if !slices.IsSorted(order) || len(order) != 10 {
			t.Errorf("order %v", order)
		}
		if d := c.decisions("r", config.KindConcurrency); d.Allow != 1 || d.Wait != 10 || d.Reject != 1 {
			t.Errorf("%+v", d)
		}
	})
}

func TestQueueEndsByItsTimeoutTheDeadlineAndTheContext(t *testing.T) {
	for _, test := range []struct {
		name   string
		call   policies.Call
		ctx    func(context.Context) (context.Context, func())
		after  time.Duration
		reason string
	}{
		{"queueTimeout", policies.Call{}, nil, 100 * time.Millisecond, code.ReasonOverloaded},
		{"deadline", policies.Call{Deadline: time.Unix(1, 0)}, nil, 30 * time.Millisecond, code.ReasonTimeout},
		{"cancelled", policies.Call{}, func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithCancel(ctx)
			time.AfterFunc(20*time.Millisecond, cancel)
			return ctx, cancel
		}, 20 * time.Millisecond, code.ReasonCancelled},
		{"context's deadline", policies.Call{}, func(ctx context.Context) (context.Context, func()) {
			ctx, cancel := context.WithTimeout(ctx, 25*time.Millisecond)
			return ctx, cancel
		}, 25 * time.Millisecond, code.ReasonTimeout},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newChain(t, newRuleOn("r", "Arith", concurrency(1, 1, 100*time.Millisecond)))
				running, _ := c.enter(mul, policies.Call{})
				ctx, call, start := t.Context(), test.call, time.Now()
				if test.ctx != nil {
					var cancel func()
					ctx, cancel = test.ctx(ctx)
					defer cancel()
				}
				if !call.Deadline.IsZero() {
					call.Deadline = start.Add(test.after)
				}
				var ticket policies.Ticket
				e := refusal(t, c.now.Guard(mul).Enter(ctx, &call, &ticket))
				if e.Reason != test.reason || time.Since(start) != test.after {
					t.Errorf("%v after %v", e, time.Since(start))
				}
				running.Done(nil)
				if err := c.call(mul, policies.Call{}, nil); err != nil {
					t.Error("the place got lost:", err)
				}
				inFlight, queued := inFlight(c.now, "r")
				if inFlight != 0 || queued != 0 {
					t.Errorf("%d in flight, %d queued", inFlight, queued)
				}
			})
		})
	}
}

func TestCallsInFlightAreCarriedOver(t *testing.T) {
	c := newChain(t, newRuleOn("r", "Arith", concurrency(3, 0, 0)))
	var running []*policies.Ticket
	for range 3 {
		ticket, err := c.enter(mul, policies.Call{})
		if err != nil {
			t.Fatal(err)
		}
		running = append(running, ticket)
	}
	for _, rules := range [][]config.Rule{
		{newRuleOn("r", "Arith", concurrency(2, 0, 0))},
		{newRuleOn("r", "Arith", concurrency(3, 0, 0), mode(config.Off))},
		{newRuleOn("r", "*", concurrency(3, 0, 0))},
		{newRuleOn("renamed", "Arith", concurrency(3, 0, 0), was("r"))},
	} {
		c.edit(rules...)
	}
	if _, err := c.enter(mul, policies.Call{}); err == nil {
		t.Error("the calls of the first revision were forgotten")
	}
	running[0].Done(nil)
	if _, err := c.enter(mul, policies.Call{}); err != nil {
		t.Error("the end of a call of the first revision was not noticed:", err)
	}
	c.edit(newRuleOn("renamed", "Arith", concurrency(4, 0, 0)))
	if _, err := c.enter(mul, policies.Call{}); err != nil {
		t.Error("the raised bound is not in force:", err)
	}
}

func TestRaisedBoundLetsTheQueueRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", concurrency(1, 5, time.Hour)))
		running, _ := c.enter(mul, policies.Call{})
		done := make(chan error)
		go func() {
			_, err := c.enter(mul, policies.Call{})
			done <- err
		}()
		synctest.Wait()
		c.edit(newRuleOn("r", "Arith", concurrency(2, 5, time.Hour)))
		if err := <-done; err != nil {
			t.Error(err)
		}
		running.Done(nil)
	})
}

func TestEveryConcurrencyRuleMustAgree(t *testing.T) {
	rules := []config.Rule{newRuleOn("host", "*", concurrency(1, 0, 0))}
	for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
		rules = append(rules, newRuleOn(name, "Arith", concurrency(5, 0, 0)))
	}
	c := newChain(t, rules...)
	ticket, err := c.enter(mul, policies.Call{})
	if err != nil {
		t.Fatal(err)
	}
	if e := refusal(t, c.call(mul, policies.Call{}, nil)); e.Rule != "host@r1" {
		t.Error(e)
	}
	// What the narrower rules gave to the refused call is free again.
	for _, name := range []string{"a", "f"} {
		if n, _ := inFlight(c.now, name); n != 1 {
			t.Errorf("%s: %d in flight", name, n)
		}
	}
	ticket.Done(nil)
	for _, r := range rules {
		if n, _ := inFlight(c.now, r.Name); n != 0 {
			t.Errorf("%s: %d in flight", r.Name, n)
		}
	}
}
