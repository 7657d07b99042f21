package policies_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// left is the tokens of an unkeyed limit.
func (c *chain) left(rule string) int { return tokensLeft(c.now, rule) }

func TestARefusedCallTakesNothing(t *testing.T) {
	opensAtOnce := circuit(config.CircuitBreaker{ConsecutiveFailures: 1, OpenTimeout: config.Duration(time.Minute)})
	for _, test := range []struct {
		name    string
		refuses []func(*config.Rule) // of another rule, which refuses the second call
		reason  string
	}{
		{"access", []func(*config.Rule){access(nil, []config.AccessEntry{{Caller: config.Patterns{"bad"}}})}, code.ReasonDenied},
		{"rateLimit", []func(*config.Rule){rate(0.001, 1)}, code.ReasonRateLimited},
		{"rateLimit by key", []func(*config.Rule){keyedRate("caller", 0, 0.001, 1)}, code.ReasonRateLimited},
		{"rateLimit without the key", []func(*config.Rule){keyedRate("metadata.user", 0, 0.001, 1), refusesKeyless}, code.ReasonMissingKey},
		{"rateLimit that waits", []func(*config.Rule){waiting(0.001, 1, time.Second)}, code.ReasonRateLimited},
		{"concurrency", []func(*config.Rule){concurrency(1, 0, 0)}, code.ReasonOverloaded},
		{"circuitBreaker", []func(*config.Rule){opensAtOnce}, code.ReasonBreakerOpen},
	} {
		for _, name := range []string{"a-refuses", "z-refuses"} {
			t.Run(test.name+" "+name, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := newChain(t,
						newRuleOn("limit", "*", rate(0.001, 10)), newRuleOn("shadow", "*", rate(0.001, 10), mode(config.Shadow)),
						newRuleOn("keyed", "Arith", keyedRate("caller", 0, 0.001, 10)),
						newRuleOn("places", "*", concurrency(5, 5, time.Second)),
						newRuleOn("breaks", "*", circuit(config.CircuitBreaker{FailureRate: 1})),
						newRuleOn(name, "Arith", test.refuses...))
					first, err := c.enter(mul, policies.Call{Caller: "bad", Metadata: pairs{"user": "ann"}})
					if err == nil && test.reason == code.ReasonBreakerOpen {
						first.Done(errDown)
					}
					tokens, shadow, keyed := c.left("limit"), c.left("shadow"), c.now.State("keyed", config.KindRateLimit, mul, "bad")
					for range 3 {
						if got := reasonOf(c.call(mul, from("bad"), nil)); got != test.reason {
							t.Fatalf("refused as %q, want %q", got, test.reason)
						}
					}
					if c.left("limit") != tokens {
						t.Errorf("%d tokens are left of %d", c.left("limit"), tokens)
					}
					if got := c.now.State("keyed", config.KindRateLimit, mul, "bad"); got != keyed {
						t.Errorf("%s, want %s", got, keyed)
					}
					// What limits say does not count for those in shadow; what anything else says does.
					want := shadow
					if test.reason == code.ReasonRateLimited || test.reason == code.ReasonMissingKey {
						want -= 3
					}
					if c.left("shadow") != want {
						t.Errorf("%d tokens are left in shadow, want %d", c.left("shadow"), want)
					}
					if inFlight, queued := inFlight(c.now, "places"); inFlight > 1 || queued > 0 {
						t.Errorf("%d places and %d in the queue are taken", inFlight, queued)
					}
				})
			})
		}
	}
}

func TestARefusedCallTakesNoProbe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t,
			newRuleOn("breaks", "Arith", circuit(config.CircuitBreaker{ConsecutiveFailures: 1, HalfOpenRequests: 1, OpenTimeout: config.Duration(time.Second)})),
			newRuleOn("places", "*", concurrency(1, 0, 0)),
			newRuleOn("limit", "*", rate(0.001, 10)))
		_ = c.call(mul, policies.Call{}, errDown)
		other, err := c.enter(export, policies.Call{})
		if err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second) // the next call is the probe
		if got := reasonOf(c.call(mul, policies.Call{}, nil)); got != code.ReasonOverloaded {
			t.Fatal(got)
		}
		other.Done(nil)
		if err := c.call(mul, policies.Call{}, nil); err != nil {
			t.Error("the probe went to a call that was refused:", err)
		}
		if told := c.transitions(); len(told) != 3 || told[2].To != "closed" {
			t.Errorf("%+v", told)
		}
	})
}

// One caller floods at ten times its limit. The other one gets all of its calls, wherever what is admitted of both fits
// the limit that they share.
func TestAFloodTakesNothingOfWhatOthersShare(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			each := float64(rapid.IntRange(2, 50).Draw(rt, "rate for each caller"))
			burst := rapid.Int64Range(1, 20).Draw(rt, "burst of each caller")
			steady := each * rapid.Float64Range(0.1, 1).Draw(rt, "share that the other caller uses")
			shared := (each + steady) * rapid.Float64Range(1, 3).Draw(rt, "room of the shared limit")
			room := burst + 2 + rapid.Int64Range(0, 20).Draw(rt, "more burst of the shared limit")
			names := rapid.Permutation([]string{"a", "b", "c", "d", "e"}).Draw(rt, "names")
			rules := []config.Rule{
				newRuleOn(names[0], "*", rate(shared, room)),
				newRuleOn(names[1], "Arith", keyedRate(rapid.SampledFrom([]string{"caller", "caller method", "metadata.user"}).Draw(rt, "key"), 0, each, burst)),
			}
			for i, more := range []func(*config.Rule){rate(shared*2, room*2), keyedRate("method", 0, shared*3, room), concurrency(100, 0, 0)} {
				if rapid.Bool().Draw(rt, fmt.Sprint("more ", i)) {
					rules = append(rules, newRuleOn(names[2+i], rapid.SampledFrom([]string{"*", "Arith"}).Draw(rt, "service"), more))
				}
			}
			rules = rapid.Permutation(rules).Draw(rt, "places in the file")
			c := newChain(t, rules...)
			call := func(who string) error {
				return c.call(mul, policies.Call{Caller: who, Metadata: pairs{"user": who}}, nil)
			}
			start := time.Now()
			flood, other := start, start
			for end := start.Add(5 * time.Second); flood.Before(end) || other.Before(end); {
				if flood.Before(other) {
					time.Sleep(time.Until(flood))
					_ = call("flood")
					flood = flood.Add(time.Duration(float64(time.Second) / (10 * each)))
					continue
				}
				time.Sleep(time.Until(other))
				if err := call("other"); err != nil {
					rt.Fatalf("after %v: %v", time.Since(start), err)
				}
				other = other.Add(time.Duration(float64(time.Second)/steady) + 1)
			}
		})
	})
}

// The same calls under the same rules with other names, in another order: each is decided alike.
func TestNothingHangsOnTheNameOrThePlaceOfARule(t *testing.T) {
	kinds := []func(*rapid.T) func(*config.Rule){
		func(rt *rapid.T) func(*config.Rule) {
			return rate(rapid.Float64Range(0.1, 20).Draw(rt, "rate"), rapid.Int64Range(1, 5).Draw(rt, "burst"))
		},
		func(rt *rapid.T) func(*config.Rule) {
			return keyedRate(rapid.SampledFrom([]string{"caller", "method", "caller method"}).Draw(rt, "key"), rapid.IntRange(1, 3).Draw(rt, "keys"),
				rapid.Float64Range(0.1, 20).Draw(rt, "rate"), rapid.Int64Range(1, 5).Draw(rt, "burst"))
		},
		func(rt *rapid.T) func(*config.Rule) { return concurrency(rapid.IntRange(1, 3).Draw(rt, "max"), 0, 0) },
		func(rt *rapid.T) func(*config.Rule) {
			return access(nil, []config.AccessEntry{{Caller: config.Patterns{rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "denied")}}})
		},
	}
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(2, 7).Draw(rt, "rules")
		var rules, renamed []config.Rule
		for i := range n {
			set := []func(*config.Rule){kinds[rapid.IntRange(0, len(kinds)-1).Draw(rt, "kind")](rt)}
			if rapid.Bool().Draw(rt, "by caller") {
				set = append(set, caller(rapid.SampledFrom([]string{"a", "b*", "c"}).Draw(rt, "caller")))
			}
			if rapid.IntRange(0, 4).Draw(rt, "mode") == 0 {
				set = append(set, mode(config.Shadow))
			}
			rules = append(rules, newRuleOn(fmt.Sprint("rule-", i), rapid.SampledFrom([]string{"*", "Arith"}).Draw(rt, "service"), set...))
		}
		names := rapid.Permutation([]string{"t", "u", "v", "w", "x", "y", "z"}).Draw(rt, "names")
		for i, r := range rules {
			r.Name = names[i]
			renamed = append(renamed, r)
		}
		renamed = rapid.Permutation(renamed).Draw(rt, "places in the file")
		type step struct {
			pause  int
			who    string
			method policies.Target
			hold   bool
		}
		steps := rapid.SliceOfN(rapid.Custom(func(rt *rapid.T) step {
			return step{
				rapid.IntRange(0, 400).Draw(rt, "pause"), rapid.SampledFrom([]string{"a", "b", "bb", "c", "d"}).Draw(rt, "caller"),
				rapid.SampledFrom([]policies.Target{mul, div}).Draw(rt, "method"), rapid.Bool().Draw(rt, "holds its place"),
			}
		}), 1, 60).Draw(rt, "calls")
		decide := func(rules []config.Rule) (decided []string) {
			synctest.Test(t, func(t *testing.T) {
				c := newChain(t, rules...)
				var held []*policies.Ticket
				for _, s := range steps {
					time.Sleep(time.Duration(s.pause) * time.Millisecond)
					if len(held) > 2 {
						held[0].Done(nil)
						held = held[1:]
					}
					ticket, err := c.enter(s.method, from(s.who))
					decided = append(decided, reasonOf(err))
					switch {
					case err != nil:
					case s.hold:
						held = append(held, ticket)
					default:
						ticket.Done(nil)
					}
				}
				for _, ticket := range held {
					ticket.Done(nil)
				}
			})
			return decided
		}
		if one, other := decide(rules), decide(renamed); !slices.Equal(one, other) {
			rt.Fatalf("%q\nwith other names %q", one, other)
		}
	})
}

func TestCallsAtTheSameTimeAreDecidedOneAfterTheOther(t *testing.T) {
	const callers, each, own, shared = 8, 200, 25, 150
	c := newChain(t,
		newRuleOn("shared", "*", rate(1e-3, shared)), newRuleOn("own", "Arith", keyedRate("caller", 0, 1e-3, own)),
		newRuleOn("mine", "Arith", caller("c0"), rate(1e-3, 5)), newRuleOn("places", "*", concurrency(1000, 0, 0)))
	var admitted [callers]atomic.Int64
	var all sync.WaitGroup
	for i := range callers {
		all.Go(func() {
			for range each {
				if c.call(mul, from(fmt.Sprint("c", i)), nil) == nil {
					admitted[i].Add(1)
				}
			}
		})
	}
	all.Wait()
	total := int64(0)
	for i := range admitted {
		n := admitted[i].Load()
		total += n
		if most := int64(own); n > most || i == 0 && n > 5 {
			t.Errorf("c%d: %d calls admitted", i, n)
		}
		if got, want := c.now.State("own", config.KindRateLimit, mul, fmt.Sprint("c", i)), fmt.Sprintf("%d of %d tokens", own-n, own); got != want {
			t.Errorf("c%d: %s, want %s", i, got, want)
		}
	}
	// Every one of the callers asked for more than its own limit, so that the shared one is used up to the last token.
	if total != shared || c.left("shared") != 0 {
		t.Errorf("%d calls admitted, %d tokens left", total, c.left("shared"))
	}
	if inFlight, _ := inFlight(c.now, "places"); inFlight != 0 {
		t.Errorf("%d in flight", inFlight)
	}
}

// The bound holds from the very first moment, and for any stretch of time.
func TestNoMoreThanBurstAndRateInAnyStretchOfTime(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		synctest.Test(t, func(t *testing.T) {
			perSecond, burst := rapid.Float64Range(0.2, 200).Draw(rt, "rate"), rapid.Int64Range(1, 10).Draw(rt, "burst")
			c := newChain(t, newRuleOn("r", "*", rate(perSecond, burst)))
			var granted []time.Time
			for _, ms := range rapid.SliceOfN(rapid.IntRange(0, 300), 1, 150).Draw(rt, "pauses in ms") {
				time.Sleep(time.Duration(ms) * time.Millisecond)
				for c.call(mul, policies.Call{}, nil) == nil {
					granted = append(granted, time.Now())
				}
			}
			for i := range granted {
				for j := i; j < len(granted); j++ {
					d := granted[j].Sub(granted[i]).Seconds()
					if n := float64(j - i + 1); n > float64(burst)+perSecond*d*1.01+1e-6 {
						rt.Fatalf("%v calls within %vs at %v a second, burst %d", n, d, perSecond, burst)
					}
				}
			}
		})
	})
}

func TestACallThatHasWaitedStaysCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("limit", "*", rate(0.001, 10)), newRuleOn("waits", "Arith", waiting(1, 1, time.Minute)),
			newRuleOn("places", "Arith", concurrency(1, 0, 0)))
		running, err := c.enter(mul, policies.Call{})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		if got := reasonOf(c.call(mul, policies.Call{}, nil)); got != code.ReasonOverloaded || time.Since(start) != 0 && time.Since(start) != time.Second {
			t.Errorf("%s after %v", got, time.Since(start))
		}
		if c.left("limit") != 8 {
			t.Errorf("%d tokens left, want 8", c.left("limit"))
		}
		running.Done(nil)

		ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
		defer cancel()
		var ticket policies.Ticket
		_ = c.call(mul, policies.Call{}, nil) // takes the token there is by now, or waits for it
		if e := refusal(t, c.now.Guard(mul).Enter(ctx, &policies.Call{}, &ticket)); e.Reason != code.ReasonTimeout {
			t.Error(e)
		}
		if d := c.decisions("waits", config.KindRateLimit); d.Reject != 0 {
			t.Errorf("a call that ended while it waited counts as refused: %+v", d)
		}
	})
}

func TestNoCallWaitsForATokenBeforeAnOpenBreaker(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("waits", "Arith", waiting(1, 1, time.Minute)),
			newRuleOn("breaks", "Arith", circuit(config.CircuitBreaker{ConsecutiveFailures: 1, OpenTimeout: config.Duration(time.Minute)})))
		_ = c.call(mul, policies.Call{}, errDown)
		start := time.Now()
		e := refusal(t, c.call(mul, policies.Call{}, nil))
		if e.Reason != code.ReasonBreakerOpen || time.Since(start) != 0 || c.left("waits") != 0 {
			t.Errorf("%v after %v, %d tokens", e, time.Since(start), c.left("waits"))
		}
	})
}

// Each call waits in the queue of one limit and holds a permit of the other.
func TestQueuesOfSeveralLimitsDoNotHoldUpEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("a", "*", concurrency(2, 50, time.Minute)), newRuleOn("b", "Arith", concurrency(1, 50, time.Minute)),
			newRuleOn("c", "Arith", method("Mul"), concurrency(1, 50, time.Minute)))
		var all sync.WaitGroup
		for i := range 40 {
			all.Go(func() {
				ticket, err := c.enter([]policies.Target{mul, div, export}[i%3], policies.Call{})
				if err != nil {
					t.Error(err)
					return
				}
				time.Sleep(10 * time.Millisecond)
				ticket.Done(nil)
			})
		}
		start := time.Now()
		all.Wait()
		if took := time.Since(start); took > time.Second {
			t.Errorf("40 calls of 10 ms, one or two at a time, took %v", took)
		}
		for _, name := range []string{"a", "b", "c"} {
			if inFlight, queued := inFlight(c.now, name); inFlight != 0 || queued != 0 {
				t.Errorf("%s: %d in flight, %d queued", name, inFlight, queued)
			}
		}
	})
}

func TestACallRefusedByOneQueueLeavesTheOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("short", "*", concurrency(1, 5, 10*time.Millisecond)), newRuleOn("long", "Arith", concurrency(1, 5, time.Minute)))
		running, err := c.enter(mul, policies.Call{})
		if err != nil {
			t.Fatal(err)
		}
		start := time.Now()
		e := refusal(t, c.call(mul, policies.Call{}, nil))
		if e.Rule != "short@r1" || time.Since(start) != 10*time.Millisecond {
			t.Errorf("%v after %v", e, time.Since(start))
		}
		if _, queued := inFlight(c.now, "long"); queued != 0 {
			t.Error("it still waits for the other limit")
		}
		running.Done(nil)
		if err := c.call(mul, policies.Call{}, nil); err != nil {
			t.Error(err)
		}
	})
}

func TestTheLongestWaitIsWhatARefusalSays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, names := range [][2]string{{"a", "z"}, {"z", "a"}} {
			c := newChain(t, newRuleOn(names[0], "Arith", rate(10, 1)), newRuleOn(names[1], "Arith", rate(1, 1)))
			_ = c.call(mul, policies.Call{}, nil)
			if e := refusal(t, c.call(mul, policies.Call{}, nil)); e.RetryAfter != time.Second || e.Rule != names[1]+"@r1" {
				t.Errorf("%v", e)
			}
		}
	})
}

func TestADeadlineThatPassesInAQueueIsNoRefusalOfTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("places", "*", concurrency(1, 5, time.Minute)), newRuleOn("patience", "Arith", method("Div"), timeout(50*time.Millisecond)))
		running, err := c.enter(mul, policies.Call{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		deadline, _ := ctx.Deadline()
		var ticket policies.Ticket
		if e := refusal(t, c.now.Guard(mul).Enter(ctx, &policies.Call{Deadline: deadline}, &ticket)); e.Code != code.DeadlineExceeded {
			t.Errorf("%v", e)
		}
		if e := refusal(t, c.call(div, policies.Call{}, nil)); e.Code != code.DeadlineExceeded || e.Rule != "patience@r1" {
			t.Errorf("%v", e)
		}
		if d := c.decisions("places", config.KindConcurrency); d.Reject != 0 {
			t.Errorf("%+v", d)
		}
		if d := c.decisions("patience", config.KindTimeout); d.Reject != 1 {
			t.Errorf("%+v", d)
		}
		running.Done(nil)
	})
}
