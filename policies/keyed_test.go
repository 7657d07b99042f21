package policies_test

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/wire/code"
)

func TestEachKeyHasItsOwnBucket(t *testing.T) {
	user := func(name string) policies.Call { return policies.Call{Metadata: pairs{"user": name}} }
	long := strings.Repeat("x", 500)
	for _, test := range []struct {
		key  string
		a, b policies.Call
	}{
		{"caller", from("web-1"), from("web-2")},
		{"caller", from("web-1"), policies.Call{}},
		{"peer", at("10.0.0.1"), at("10.0.0.2")},
		{"peer", at("10.0.0.1"), at("2001:db8::1")},
		{"peer", at("2001:db8:0:1::1"), at("2001:db8:0:2::1")},
		{"peer", at("10.0.0.1"), policies.Call{}},
		{"peer/128", at("2001:db8::1"), at("2001:db8::2")},
		{"peer/56", at("10.0.0.1"), at("10.0.0.2")},
		{"metadata.user", user("ann"), user("bob")},
		{"metadata.user", user("ann"), policies.Call{}},
		{"metadata.user", user(long), user(long + "x")},
		{"caller metadata.user", policies.Call{Caller: "a", Metadata: pairs{"user": "bc"}}, policies.Call{Caller: "ab", Metadata: pairs{"user": "c"}}},
		{"caller peer", policies.Call{Caller: "a", Peer: at("10.0.0.1").Peer}, policies.Call{Caller: "a", Peer: at("10.0.0.2").Peer}},
	} {
		c := newChain(t, newRuleOn("r", "Arith", keyedRate(test.key, 0, 1, 1)))
		for _, call := range []policies.Call{test.a, test.b} {
			if err := c.call(mul, call, nil); err != nil {
				t.Errorf("%s: the first call of %+v: %v", test.key, call, err)
			}
			if c.call(mul, call, nil) == nil {
				t.Errorf("%s: the second call of %+v passed", test.key, call)
			}
		}
	}
}

func TestCallsWithTheSameKeyShareABucket(t *testing.T) {
	for _, test := range []struct {
		key  string
		a, b policies.Call
	}{
		{"peer", at("10.0.0.1"), at("::ffff:10.0.0.1")},
		{"peer", at("2001:db8::1"), at("2001:db8::2")},
		{"peer", at("fe80::1%eth0"), at("fe80::1%eth1")},
		{"peer/56", at("2001:db8:0:1::1"), at("2001:db8:0:2::1")},
		{"metadata.user", policies.Call{}, policies.Call{Metadata: pairs{"other": "x"}}},
		{"caller metadata.user", from("a"), from("b")},
	} {
		c := newChain(t, newRuleOn("r", "Arith", keyedRate(test.key, 0, 1, 1)))
		if err := c.call(mul, test.a, nil); err != nil {
			t.Errorf("%s: %v", test.key, err)
		}
		if c.call(mul, test.b, nil) == nil {
			t.Errorf("%s: %+v and %+v have a bucket each", test.key, test.a, test.b)
		}
	}
}

func TestAKeyOfCallerAndMethodIsOneLimitForEachPair(t *testing.T) {
	c := newChain(t, newRuleOn("r", "Arith", keyedRate("caller method", 0, 1, 1)))
	for _, who := range []string{"a", "b"} {
		for _, method := range []policies.Target{mul, div} {
			if err := c.call(method, from(who), nil); err != nil {
				t.Errorf("the first call of %s to %s: %v", who, method, err)
			}
			if c.call(method, from(who), nil) == nil {
				t.Errorf("the second call of %s to %s passed", who, method)
			}
		}
	}
	if got := c.now.State("r", config.KindRateLimit, mul, "a"); got != "0 of 1 tokens" {
		t.Errorf("state %q", got)
	}
}

func TestCallsWithoutTheKeyAreSharedOrRefusedAndCountedApart(t *testing.T) {
	named := policies.Call{Metadata: pairs{"user": "ann"}}
	for name, refuses := range map[string]bool{"share": false, "refuse": true} {
		t.Run(name, func(t *testing.T) {
			set := []func(*config.Rule){keyedRate("caller metadata.user", 0, 1, 1)}
			if refuses {
				set = append(set, refusesKeyless)
			}
			c := newChain(t, newRuleOn("r", "Arith", set...))
			first := c.call(mul, policies.Call{}, nil)
			if !refuses {
				if first != nil {
					t.Error("the calls without the key have no bucket:", first)
				}
				first = c.call(mul, from("web"), nil)
			}
			e := refusal(t, first)
			want := code.Error{Code: code.ResourceExhausted, Reason: code.ReasonRateLimited}
			if refuses {
				want = code.Error{Code: code.InvalidArgument, Reason: code.ReasonMissingKey}
				if text := "INVALID_ARGUMENT: metadata user is required by r@r1 on orders-7"; e.Error() != text {
					t.Errorf("%q, want %q", e, text)
				}
			}
			if e.Code != want.Code || e.Reason != want.Reason || !code.NotRun(e.Reason) {
				t.Errorf("%s %s", e.Code, e.Reason)
			}
			if err := c.call(mul, named, nil); err != nil {
				t.Error(err)
			}
			if s := c.limiter(); s.MissingKey == 0 || s.Overflow != 0 {
				t.Errorf("%+v", s)
			}
		})
	}
}

func TestAMissingKeyInShadowRefusesNoCall(t *testing.T) {
	c := newChain(t, newRuleOn("r", "Arith", keyedRate("metadata.user", 0, 1, 1), refusesKeyless, mode(config.Shadow)))
	if err := c.call(mul, policies.Call{}, nil); err != nil {
		t.Error(err)
	}
	if d := c.decisions("r", config.KindRateLimit); d.ShadowReject != 1 {
		t.Errorf("%+v", d)
	}
}

// If buckets that are not full were forgotten, callers could refill them by inventing keys.
func TestABucketIsForgottenOnlyWhenItIsFullAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rule := newRuleOn("r", "Arith", keyedRate("metadata.user", 3, 1, 1))
		rule.RateLimit.Per = config.Duration(time.Hour)
		c := newChain(t, rule)
		call := func(user string) bool { return c.call(mul, policies.Call{Metadata: pairs{"user": user}}, nil) == nil }
		allowed := ""
		for range 2 {
			for _, user := range []string{"a", "b", "c", "d"} {
				if call(user) {
					allowed += user
				}
			}
		}
		if allowed != "abcd" { // d by the bucket that is shared
			t.Errorf("%s allowed, want each once", allowed)
		}
		if call("e") {
			t.Error("a fifth key had a bucket of its own")
		}
		if s := c.limiter(); s.Keys != 3 || s.Overflow != 3 {
			t.Errorf("%+v", s)
		}
		told := c.transitions()
		if len(told) != 1 || told[0].To != policies.LimiterOverflow || told[0].Rule != "r" {
			t.Errorf("told %+v, want once that keys share a bucket", told)
		}
		time.Sleep(time.Hour)
		for _, user := range []string{"d", "e", "f", "a"} {
			if !call(user) {
				t.Errorf("%s is refused, though all buckets are full again", user)
			}
			if call(user) {
				t.Errorf("%s has two tokens", user)
			}
		}
	})
}

func TestAVictimIsNotRefilledByOthersNorTheyByRotating(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const maxKeys, burst, perSecond = 100, 3, 2
		c := newChain(t, newRuleOn("r", "Arith", keyedRate("metadata.user", maxKeys, perSecond, burst)))
		victim := policies.Call{Metadata: pairs{"user": "victim"}}
		start, admitted, ofVictim := time.Now(), 0, 0
		for i := range 10_000 {
			if i%50 == 0 && c.call(mul, victim, nil) == nil {
				ofVictim++
			}
			if c.call(mul, policies.Call{Metadata: pairs{"user": fmt.Sprint(i)}}, nil) == nil {
				admitted++
			}
			time.Sleep(time.Millisecond)
		}
		each := burst + perSecond*time.Since(start).Seconds()
		if float64(admitted+ofVictim) > (maxKeys+1)*each {
			t.Errorf("%d calls admitted of rotating keys", admitted)
		}
		if float64(ofVictim) > each {
			t.Errorf("%d calls of the victim admitted, at most %v are its due", ofVictim, each)
		}
	})
}

func TestKeysAreBoundedByDefault(t *testing.T) {
	c := newChain(t, newRuleOn("r", "Arith", keyedRate("caller", 0, 0.001, 1)))
	for i := range 10_100 {
		_ = c.call(mul, from(fmt.Sprint("caller-", i)), nil)
	}
	if s := c.limiter(); s.Keys != 10_000 || s.Overflow != 100 {
		t.Errorf("%+v", s)
	}
}

func TestKeysKeepTheirLevelsAcrossEdits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", keyedRate("caller", 0, 1000, 1000)))
		for range 1000 {
			_ = c.call(mul, from("a"), nil)
		}
		c.edit(newRuleOn("r", "Arith", keyedRate("caller", 10, 1, 1000)))
		time.Sleep(time.Second) // a bucket left at the old rate would be full again
		if err := c.call(mul, from("a"), nil); err != nil {
			t.Error("no token at the new rate:", err)
		}
		if c.call(mul, from("a"), nil) == nil {
			t.Error("tokens of the old rate were granted after the edit")
		}
		if err := c.call(mul, from("b"), nil); err != nil {
			t.Error(err)
		}
	})
}

func TestFewerKeysAreForgottenAsTheyFill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newChain(t, newRuleOn("r", "Arith", keyedRate("caller", 100, 1, 1)))
		for i := range 100 {
			_ = c.call(mul, from(fmt.Sprint(i)), nil)
		}
		c.edit(newRuleOn("r", "Arith", keyedRate("caller", 10, 1, 1)))
		if c.call(mul, from("99"), nil) == nil {
			t.Error("the edit has filled a bucket")
		}
		time.Sleep(time.Second)
		_ = c.call(mul, from("new"), nil)
		if s := c.limiter(); s.Keys != 10 || s.Overflow != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestKeysCostNoAllocationWhenTheyAreKnown(t *testing.T) {
	for _, key := range []string{"caller", "peer", "metadata.user", "caller method", "peer metadata.user"} {
		c := newChain(t, newRuleOn("r", "Arith", keyedRate(key, 0, 1e6, 1e6)))
		call := policies.Call{Caller: "web-1", Peer: netip.MustParseAddr("2001:db8::1"), Metadata: pairs{"user": "ann"}, Arrived: time.Now()}
		g, ctx, ticket := c.now.Guard(mul), t.Context(), new(policies.Ticket)
		if n := testing.AllocsPerRun(100, func() {
			if err := g.Enter(ctx, &call, ticket); err != nil {
				t.Error(err)
			}
			ticket.Done(nil)
		}); n > 0 {
			t.Errorf("%s: %v allocations a call", key, n)
		}
	}
}

func TestARefusedCallWithoutTheKeyTakesNoKey(t *testing.T) {
	c := newChain(t, newRuleOn("r", "Arith", keyedRate("metadata.user", 1, 0.001, 1), refusesKeyless))
	for range 2 {
		_ = c.call(mul, policies.Call{}, nil)
		_ = c.call(mul, policies.Call{Metadata: pairs{"user": "ann"}}, nil)
	}
	if s := c.limiter(); s.Keys != 1 || s.Overflow != 0 || s.MissingKey != 2 {
		t.Errorf("%+v", s)
	}
}

// Whatever the metadata of a call does, no lock is held meanwhile.
func TestMetadataThatPanicsHoldsNoLock(t *testing.T) {
	c := newChain(t, newRuleOn("all", "*", rate(1000, 1000)), newRuleOn("r", "Arith", keyedRate("metadata.user", 0, 1000, 1000)))
	func() {
		defer func() { _ = recover() }()
		_ = c.call(mul, policies.Call{Metadata: panicking{}}, nil)
	}()
	if err := c.call(mul, policies.Call{Metadata: pairs{"user": "ann"}}, nil); err != nil {
		t.Error(err)
	}
}

type panicking struct{}

func (panicking) Get(string) string { panic("no metadata") }
