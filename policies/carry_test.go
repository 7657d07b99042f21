package policies_test

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

// Tokens, calls in flight and failures are what distinguishes one state from another.
func TestUnchangedContentKeepsItsState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limits := []func(*config.Rule){rate(0.001, 10), concurrency(10, 0, 0), timeout(time.Minute)}
		all := append(slices.Clone(limits), circuit(config.CircuitBreaker{ConsecutiveFailures: 4}))
		c := newChain(t, newRuleOn("r", "Arith", all...))
		running, err := c.enter(mul, policies.Call{})
		if err != nil {
			t.Fatal(err)
		}
		c.calls(3, errDown)
		c.edit(newRuleOn("other", "*", rate(50, 50)), newRuleOn("r", "Arith", all...))
		if n, _ := inFlight(c.now, "r"); n != 1 || tokensLeft(c.now, "r") != 6 {
			t.Errorf("%d in flight, %d tokens", n, tokensLeft(c.now, "r"))
		}
		c.breaker("closed")
		c.calls(1, errDown)
		if s := c.breaker("open"); !strings.HasPrefix(s.Cause, "4 consecutive failures") {
			t.Error(s.Cause)
		}
		// The kinds of a rule are carried over one by one.
		c.edit(newRuleOn("r", "Arith", rate(0.001, 10), concurrency(11, 0, 0), timeout(time.Hour)))
		if n, _ := inFlight(c.now, "r"); n != 1 || tokensLeft(c.now, "r") != 5 {
			t.Errorf("other kinds changed: %d in flight, %d tokens", n, tokensLeft(c.now, "r"))
		}
		running.Done(nil)
		if n, _ := inFlight(c.now, "r"); n != 0 {
			t.Errorf("%d in flight at the end", n)
		}
	})
}

func TestChangedRateCarriesTokensOver(t *testing.T) {
	for _, test := range []struct {
		name        string
		before      func(*config.Rule)
		calls       int
		after       func(*config.Rule)
		left, burst int64
	}{
		{"fewer than the new burst", rate(1, 100), 90, rate(1, 50), 10, 50},
		{"more than the new burst", rate(1, 100), 10, rate(1, 50), 50, 50},
		{"larger burst", rate(1, 10), 10, rate(1, 1000), 0, 1000},
		{"other rate", rate(1, 10), 4, rate(500, 10), 6, 10},
		{"full", rate(1, 10), 0, rate(2, 10), 10, 10},
		{"full, larger burst", rate(1, 10), 0, rate(2, 20), 10, 20},
	} {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := newChain(t, newRuleOn("r", "Arith", test.before))
				for range test.calls {
					if err := c.call(mul, policies.Call{}, nil); err != nil {
						t.Fatal(err)
					}
				}
				c.edit(newRuleOn("r", "Arith", test.after))
				if s := c.limiter(); int64(s.Tokens) != test.left || s.Burst != test.burst {
					t.Errorf("%v of %d tokens, want %d of %d", s.Tokens, s.Burst, test.left, test.burst)
				}
			})
		})
	}
}

func TestDebtIsCarriedOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", waiting(10, 1, time.Second)))
		_ = c.call(mul, policies.Call{}, nil)
		var waiters sync.WaitGroup
		for range 5 {
			waiters.Go(func() {
				if err := c.call(mul, policies.Call{}, nil); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		c.edit(newRuleOn("r", "Arith", waiting(20, 1, time.Second)))
		start := time.Now()
		if err := c.call(mul, policies.Call{}, nil); err != nil || time.Since(start) != 300*time.Millisecond {
			t.Errorf("%v after %v: the sixth token at 20 a second comes after 300ms", err, time.Since(start))
		}
		waiters.Wait()
	})
}

// A limit that is edited faster than its tokens come would otherwise refuse for ever.
func TestEditsDoNotHoldUpTheNextToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", rate(1, 1)))
		granted := 0
		for i := range 1000 {
			if c.call(mul, policies.Call{}, nil) == nil {
				granted++
			}
			time.Sleep(10 * time.Millisecond)
			c.edit(newRuleOn("r", "Arith", rate(1, int64(1+i%2))))
		}
		if granted < 10 || granted > 11 {
			t.Errorf("%d calls granted in 10 s at 1 a second", granted)
		}
	})
}

func TestThousandEditsGrantNoMoreThanTheLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const edits, perSecond, burst = 1000, 1000.0, 100
		for _, key := range []config.Key{nil, {"caller"}} {
			limit := func(i int) config.Rule {
				r := newRuleOn("r", "Arith", rate(perSecond, burst-int64(i%2)))
				r.RateLimit.Key = key
				return r
			}
			c, start := newChain(t, limit(0)), time.Now()
			granted := 0
			for i := range edits {
				for c.call(mul, policies.Call{}, nil) == nil {
					granted++
				}
				time.Sleep(3*time.Millisecond + 700*time.Microsecond)
				c.edit(limit(i))
			}
			asked := perSecond * time.Since(start).Seconds()
			if n := float64(granted); n > burst+asked*1.01 || n < asked*0.98 {
				t.Errorf("key %q: %d calls granted, %v asked for", key, granted, asked)
			}
		}
	})
}

// The same with real goroutines, so that calls run at every point of the edit; the bound is for real time.
func TestEditsUnderLoadGrantNoMoreThanTheLimit(t *testing.T) {
	const perSecond, burst, callers, edits = 2000.0, 50, 4, 1000
	limit := func(i int) []config.Rule {
		return []config.Rule{newRuleOn("r", "Arith", rate(perSecond, burst+int64(i%3)), concurrency(callers+i%2, 0, 0))}
	}
	var current atomic.Pointer[policies.Snapshot]
	first, err := compile(limit(0), targets, nil, policies.Options{})
	if err != nil {
		t.Fatal(err)
	}
	current.Store(first)
	start := time.Now()
	var granted atomic.Int64
	var stop atomic.Bool
	var all sync.WaitGroup
	for range callers {
		all.Go(func() {
			var ticket policies.Ticket
			for !stop.Load() {
				if current.Load().Guard(mul).Enter(t.Context(), &policies.Call{}, &ticket) == nil {
					granted.Add(1)
					ticket.Done(nil)
				}
			}
		})
	}
	for i := range edits {
		next, err := compile(limit(i), targets, current.Load(), policies.Options{Revision: i})
		if err != nil {
			t.Fatal(err)
		}
		current.Store(next) // activated by the next call
	}
	stop.Store(true)
	all.Wait()
	most := burst + 2 + perSecond*time.Since(start).Seconds()*1.01
	if n := float64(granted.Load()); n > most {
		t.Errorf("%v calls granted, at most %v asked for", n, most)
	}
	if n, _ := inFlight(current.Load(), "r"); n != 0 {
		t.Errorf("%d calls in flight at the end", n)
	}
}

func TestSnapshotThatIsNotPutInForceLeavesNoTrace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", rate(1, 10), concurrency(1, 0, 0), circuit(tripsAt(2))))
		c.calls(1, errDown)
		show := func() string {
			return fmt.Sprint(c.now.Rules(), c.now.Limiters(), c.now.Breakers())
		}
		before := show()
		other := newRuleOn("r", "*", rate(2, 20), concurrency(6, 0, 0), circuit(tripsAt(1)))
		rejected, err := compile([]config.Rule{other}, append(targets, bill), c.now, policies.Options{})
		if err != nil {
			t.Fatal(err)
		}
		_ = rejected.Explain(mul, "", at("10.0.0.1").Peer)
		_ = rejected.Rules()
		if now := show(); now != before {
			t.Errorf("compiling changed what is in force:\n%s\nwas\n%s", now, before)
		}
		running, _ := c.enter(mul, policies.Call{})
		if reasonOf(c.call(mul, policies.Call{}, nil)) != code.ReasonOverloaded {
			t.Error("more calls than the rule in force lets run")
		}
		running.Done(errDown)
		c.breaker("open") // by its own threshold
		time.Sleep(time.Hour)
		if n := tokensLeft(c.now, "r"); n != 10 {
			t.Errorf("%d tokens in the full bucket", n)
		}
	})
}

func TestCountersSurviveEdits(t *testing.T) {
	c := newChain(t, newRuleOn("r", "Arith", rate(0.001, 2)))
	for range 3 {
		_ = c.call(mul, policies.Call{}, nil)
	}
	c.edit(newRuleOn("r", "Arith", rate(0.002, 2)), newRuleOn("new", "Orders", rate(1, 1)))
	_ = c.call(mul, policies.Call{}, nil)
	c.edit(newRuleOn("q", "Arith", rate(0.002, 2), was("r")))
	got := make(map[string]uint64)
	c.now.Decisions(func(rule string, kind config.Kind, method, decision string, n uint64) {
		got[fmt.Sprint(rule, " ", kind, " ", method, " ", decision)] = n
	})
	if got["q rateLimit Arith/Mul allow"] != 2 || got["q rateLimit Arith/Mul reject"] != 2 || len(got) != 8 {
		t.Errorf("%v", got)
	}
}

func TestRenamedRuleKeepsItsState(t *testing.T) {
	limit := rate(0.001, 1)
	for _, test := range []struct {
		name  string
		after []config.Rule
		kept  bool
	}{
		{"was", []config.Rule{newRuleOn("b", "Arith", limit, was("a"))}, true},
		{"no was", []config.Rule{newRuleOn("b", "Arith", limit)}, false},
		{"the old name is still in use", []config.Rule{newRuleOn("a", "Orders", limit), newRuleOn("b", "Arith", limit, was("a"))}, false},
		{"two heirs: the first", []config.Rule{newRuleOn("b", "Arith", limit, was("a")), newRuleOn("c", "Orders", limit, was("a"))}, true},
		{"another kind of key", []config.Rule{newRuleOn("a", "Arith", keyedRate("caller", 0, 0.001, 1))}, false},
	} {
		c := newChain(t, newRuleOn("a", "Arith", limit))
		_ = c.call(mul, policies.Call{}, nil)
		c.edit(test.after...)
		if kept := c.call(mul, policies.Call{}, nil) != nil; kept != test.kept {
			t.Errorf("%s: state kept: %v", test.name, kept)
		}
		// The was of a rename may stay in the file.
		c.edit(test.after...)
		if c.call(mul, policies.Call{}, nil) == nil {
			t.Errorf("%s: the next edit lost the state", test.name)
		}
	}
}

func TestShadowToEnforceKeepsState(t *testing.T) {
	set := []func(*config.Rule){
		rate(0.001, 2), circuit(config.CircuitBreaker{ConsecutiveFailures: 5, OpenTimeout: config.Duration(time.Hour)}), concurrency(9, 0, 0),
	}
	c := newChain(t, newRuleOn("r", "Arith", append(set, mode(config.Shadow))...))
	for range 5 {
		if err := c.call(mul, policies.Call{}, errDown); err != nil {
			t.Fatal("a shadow rule refused:", err)
		}
	}
	running, _ := c.enter(mul, policies.Call{})
	if d := c.decisions("r", config.KindRateLimit); d.Allow != 2 || d.ShadowReject != 4 {
		t.Errorf("%+v", d)
	}
	if d := c.decisions("r", config.KindCircuitBreaker); d.Allow != 5 || d.ShadowReject != 1 {
		t.Errorf("%+v", d)
	}
	c.edit(newRuleOn("r", "Arith", set...))
	if e := refusal(t, c.call(mul, policies.Call{}, nil)); e.Rule != "r@r2" || e.Reason != "rate_limited" {
		t.Errorf("the bucket was forgotten: %v", e)
	}
	if s := c.now.State("r", config.KindConcurrency, mul, ""); s != "1 of 9 in flight, 0 of 0 queued" {
		t.Error(s)
	}
	c.edit(newRuleOn("r", "Arith", set[1:]...))
	if e := refusal(t, c.call(mul, policies.Call{}, nil)); e.Reason != "breaker_open" {
		t.Errorf("the breaker was forgotten: %v", e)
	}
	running.Done(nil)
}
