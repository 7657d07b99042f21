package policies

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/config"
)

func TestEachKeyHasItsOwnBucket(t *testing.T) {
	for _, test := range []struct {
		key  string
		a, b Call
	}{
		{"caller", from("web-1"), from("web-2")},
		{"caller", from("web-1"), Call{}},
		{"peer", at("10.0.0.1"), at("10.0.0.2")},
		{"peer", at("10.0.0.1"), at("2001:db8::1")},
		{"metadata.user", Call{Metadata: pairs{"user": "ann"}}, Call{Metadata: pairs{"user": "bob"}}},
		{"metadata.user", Call{Metadata: pairs{"user": "ann"}}, Call{}},
		{"metadata.user", Call{Metadata: pairs{"user": strings.Repeat("x", 500)}}, Call{Metadata: pairs{"user": strings.Repeat("x", 501)}}},
	} {
		c := newChain(t, newRuleOn("r", "Arith", keyedRate(test.key, 0, 1, 1)))
		for _, call := range []Call{test.a, test.b} {
			if err := c.call(mul, call, nil); err != nil {
				t.Errorf("%s: the first call of %+v: %v", test.key, call, err)
			}
			if c.call(mul, call, nil) == nil {
				t.Errorf("%s: the second call of %+v passed", test.key, call)
			}
		}
	}
}

func TestAnAddressIsOneKeyInBothItsForms(t *testing.T) {
	c := newChain(t, newRuleOn("r", "Arith", keyedRate("peer", 0, 1, 1)))
	_ = c.call(mul, at("10.0.0.1"), nil)
	if c.call(mul, at("::ffff:10.0.0.1"), nil) == nil {
		t.Error("the mapped form has another bucket")
	}
}

func TestTooManyKeysForgetTheOneNotUsedForLongest(t *testing.T) {
	c := newChain(t, newRuleOn("r", "Arith", keyedRate("caller", 3, 0.001, 1)))
	for _, name := range []string{"a", "b", "c", "a", "d"} { // the second a is refused, but used; d forgets b
		_ = c.call(mul, from(name), nil)
	}
	for name, want := range map[string]bool{"a": true, "c": true, "d": true} {
		if refused := c.call(mul, from(name), nil) != nil; refused != want {
			t.Errorf("%s refused: %v", name, refused)
		}
	}
	for s := range c.now.Limiters() {
		if !s.Keyed || s.Keys != 3 || s.Evictions != 1 {
			t.Errorf("%+v", s)
		}
	}
	if err := c.call(mul, from("b"), nil); err != nil {
		t.Error("b was not forgotten:", err)
	}
}

func TestKeysAreBoundedByDefault(t *testing.T) {
	c := newChain(t, newRuleOn("r", "Arith", keyedRate("caller", 0, 1, 1)))
	for i := range 10_100 {
		_ = c.call(mul, from(fmt.Sprint("caller-", i)), nil)
	}
	for s := range c.now.Limiters() {
		if s.Keys != 10_000 || s.Evictions != 100 {
			t.Errorf("%+v", s)
		}
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

func TestFewerKeysAreForgottenAtOnce(t *testing.T) {
	c := newChain(t, newRuleOn("r", "Arith", keyedRate("caller", 100, 1, 1)))
	for i := range 100 {
		_ = c.call(mul, from(fmt.Sprint(i)), nil)
	}
	c.edit(newRuleOn("r", "Arith", keyedRate("caller", 10, 1, 1)))
	for s := range c.now.Limiters() {
		if s.Keys != 10 || s.Evictions != 90 {
			t.Errorf("%+v", s)
		}
	}
	if got, want := c.now.State("r", config.KindRateLimit, mul, "99"), "0 of 1 tokens"; got != want {
		t.Errorf("state %q, want %q", got, want)
	}
}
