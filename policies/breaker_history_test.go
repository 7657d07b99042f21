package policies_test

import (
	"flag"
	"fmt"
	"os"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// deed is one step of a random history.
type deed struct {
	what  string
	after time.Duration // first
	which int           // of the calls that are running
}

var deeds = []string{
	"start", "start", "start", "succeed", "fail", "fail", "panic", "cancel", "late", "late and done", "lose", "lose",
	"edit thresholds", "edit core", "quiet edit",
}

// R12: a breaker never sticks. Set TEST_EASYMICRO_HISTORIES for more than the 10,000 of a quick run.
func TestBreakerNeverSticks(t *testing.T) {
	histories := "10000"
	if n, err := strconv.Atoi(os.Getenv("TEST_EASYMICRO_HISTORIES")); err == nil {
		histories = strconv.Itoa(n)
	}
	checks := flag.Lookup("rapid.checks")
	before := checks.Value.String()
	t.Cleanup(func() { _ = checks.Value.Set(before) })
	if err := checks.Value.Set(histories); err != nil {
		t.Fatal(err)
	}
	draw := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) deed {
		return deed{
			what:  rapid.SampledFrom(deeds).Draw(r, "what"),
			after: time.Duration(rapid.SampledFrom([]int{0, 1, 100, 900, 1000, 1100, 5000}).Draw(r, "ms")) * time.Millisecond,
			which: rapid.IntRange(0, 9).Draw(r, "which"),
		}
	}), 0, 40)
	rapid.Check(t, func(r *rapid.T) {
		history := draw.Draw(r, "history")
		patience := rapid.Bool().Draw(r, "timeout")
		var problem string
		synctest.Test(t, func(t *testing.T) { problem = live(t, history, patience) })
		if problem != "" {
			r.Fatal(problem)
		}
	})
}

// lifeRule is a breaker that opens for a second, in its nth variant.
func lifeRule(thresholds, core int, patience bool) config.Rule {
	r := newRuleOn("r", "Arith", circuit(config.CircuitBreaker{
		ConsecutiveFailures: 2 + thresholds%2, OpenTimeout: config.Duration(time.Second),
		Window: config.Duration(10 * time.Second), HalfOpenRequests: 1 + core%3,
	}))
	if patience {
		timeout(500 * time.Millisecond)(&r)
	}
	return r
}

// live replays a history and then a recovery, and returns the first violation.
func live(t *testing.T, history []deed, patience bool) string {
	thresholds, core := 0, 0
	c := newChain(t, lifeRule(0, 0, patience))
	var running []*policies.Ticket
	end := func(d deed, f func(*policies.Ticket)) {
		if len(running) > 0 {
			i := d.which % len(running)
			f(running[i])
			running = append(running[:i], running[i+1:]...)
		}
	}
	for _, d := range history {
		time.Sleep(d.after)
		switch d.what {
		case "start":
			if ticket, err := c.enter(mul, policies.Call{Arrived: time.Now()}); err == nil {
				running = append(running, ticket)
			}
		case "succeed":
			end(d, func(t *policies.Ticket) { t.Done(nil) })
		case "fail":
			end(d, func(t *policies.Ticket) { t.Done(errDown) })
		case "panic":
			end(d, func(t *policies.Ticket) { t.Done(code.Errorf(code.Internal, "panic")) })
		case "cancel":
			end(d, func(t *policies.Ticket) { t.Done(code.Errorf(code.Cancelled, "gone")) })
		case "late":
			end(d, func(t *policies.Ticket) { _ = t.Late() })
		case "late and done":
			end(d, func(t *policies.Ticket) { _ = t.Late(); t.Done(nil) })
		case "lose":
			end(d, func(*policies.Ticket) {})
		case "edit thresholds":
			thresholds++
			c.edit(lifeRule(thresholds, core, patience))
		case "edit core":
			core++
			c.edit(lifeRule(thresholds, core, patience))
		case "quiet edit":
			c.edit(lifeRule(thresholds, core, patience))
		}
	}
	synctest.Wait()
	if problem := linked(c.transitions()); problem != "" {
		return problem
	}
	return betterTimes(c)
}

// linked reports whether each transition starts in the state in which the one before ended, and is a legal one.
func linked(transitions []policies.Transition) string {
	ways := map[string]bool{"closed>open": true, "open>half_open": true, "half_open>open": true, "half_open>closed": true}
	at := "closed"
	for i, tr := range transitions {
		if tr.From != at || !ways[tr.From+">"+tr.To] {
			return fmt.Sprintf("transition %d: %s>%s from %s", i, tr.From, tr.To, at)
		}
		if tr.To == "open" && tr.Cause == "" {
			return fmt.Sprintf("transition %d has no cause", i)
		}
		at = tr.To
	}
	return ""
}

// betterTimes lets calls succeed from now on, and expects the breaker to close.
func betterTimes(c *chain) string {
	for range 3 {
		time.Sleep(1200 * time.Millisecond) // longer than open, and than any probe may take
		for range 3 {
			_ = c.call(mul, policies.Call{Arrived: time.Now()}, nil)
		}
	}
	synctest.Wait()
	for _, s := range c.now.Breakers() {
		if s.Target == mul.String() && s.State != "closed" {
			return fmt.Sprintf("still %s since %v: %s", s.State, s.Since, s.Cause)
		}
	}
	if err := c.call(mul, policies.Call{}, nil); err != nil {
		return err.Error()
	}
	return ""
}
