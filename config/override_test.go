package config

import (
	"slices"
	"strings"
	"testing"
	"time"
)

func TestARuleIsAlteredInOneField(t *testing.T) {
	rules, problems := DecodeRules("p.yaml", []byte(`rules:
  - name: r
    match: {service: A, except: {caller: [ops]}}
    rateLimit: {rate: 500, key: caller}
    timeout: 1s
`), nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	r := &rules[0]
	for _, c := range []struct {
		path, value, want string
		is                func(r *Rule) bool
	}{
		{"rateLimit.rate", "7", "", func(r *Rule) bool {
			return r.RateLimit.Rate == 7 && r.RateLimit.Burst == 7 && r.RateLimit.Key[0] == KeyCaller
		}},
		{"rateLimit.burst", "9", "", func(r *Rule) bool { return r.RateLimit.Rate == 500 && r.RateLimit.Burst == 9 }},
		{"timeout", "50ms", "", func(r *Rule) bool { return r.Timeout.Std() == 50*time.Millisecond && r.RateLimit != nil }},
		{"mode", "shadow", "", func(r *Rule) bool { return r.Mode == Shadow }},
		{"concurrency.max", "3", "", func(r *Rule) bool { return r.Concurrency.Max == 3 }},
		{"match.caller", "[a, b*]", "", func(r *Rule) bool {
			return slices.Equal(r.Match.Caller, Patterns{"a", "b*"}) && len(r.Match.Except) == 1
		}},
		{"rateLimit.raet", "7", "unknown key (did you mean rate?)", nil},
		{"rateLimit.rate", "fast", "o: r.rateLimit.rate: ", nil},
		{"rateLimit.rate", "", "o: r.rateLimit.rate: ", nil},
		{"rateLimit.rate", "[", `cannot read "["`, nil},
		{"timeout.x", "1", "o: r.timeout", nil},
		{"name", "x", "cannot be overridden", nil},
		{"match[0]", "x", "cannot be overridden", nil},
		{"", "{}", "cannot be overridden", nil},
		{"rateLimit..rate", "5", "cannot be overridden", nil},
	} {
		next, problems := Altered(r, "o", c.path, c.value)
		switch {
		case c.want == "" && (problems.Err() != nil || !c.is(next) || next.Name != "r" || next.Position("timeout") != r.Position("timeout")):
			t.Errorf("%s=%s: %v %+v", c.path, c.value, problems, next)
		case c.want != "" && !strings.Contains(problems.Error(), c.want):
			t.Errorf("%s=%s: %v, want %s", c.path, c.value, problems, c.want)
		}
	}
	if r.RateLimit.Rate != 500 || r.RateLimit.Burst != 500 || r.Mode != Enforce {
		t.Errorf("the rule itself has changed: %+v", r)
	}
}

// Fields that are altered one after the other keep their values, also those that the file does not have.
func TestARuleIsAlteredAgain(t *testing.T) {
	set := loadOverridable(t)
	r := &set.Rules[0]
	for _, field := range []string{"mode=shadow", "concurrency.max=3", "rateLimit.rate=7", "timeout=50ms"} {
		path, value, _ := strings.Cut(field, "=")
		next, problems := Altered(r, "o", path, value)
		if problems.Err() != nil {
			t.Fatal(field, problems)
		}
		r = next
	}
	if r.Mode != Shadow || r.Concurrency.Max != 3 || r.RateLimit.Rate != 7 || r.Timeout.Std() != 50*time.Millisecond {
		t.Errorf("%+v", r)
	}
}

// What is shown of a rule that lost a kind, or that is altered then, does not have it.
func TestARuleIsShownWithoutAKind(t *testing.T) {
	set := loadOverridable(t)
	set.Rules[0] = *Without(&set.Rules[0], KindRateLimit)
	effective, err := EffectiveOf(set)
	if err != nil || strings.Contains(effective.YAML, "rateLimit") || !strings.Contains(effective.YAML, "timeout: 1s") {
		t.Error(effective, err)
	}
	r, problems := Altered(&set.Rules[0], "o", "timeout", "2s")
	if problems.Err() != nil || r.RateLimit != nil || r.Timeout.Std() != 2*time.Second {
		t.Errorf("%v %+v", problems, r)
	}
}

func loadOverridable(t *testing.T) *Set {
	t.Helper()
	m, problems := DecodeManifest("m.yaml", []byte("services: [{name: A, handler: a}]\n"), nil)
	rules, more := DecodeRules("p.yaml", []byte("rules:\n- {name: r, match: {service: A}, rateLimit: {rate: 500, per: 1m}, timeout: 1s}\n"), nil)
	if found := append(problems, more...); found.Err() != nil {
		t.Fatal(found)
	}
	return &Set{Manifest: m, Rules: rules}
}

func TestARuleWithoutItsOnlyKindIsOff(t *testing.T) {
	for _, kind := range Kinds() {
		two := ruleWith(t, kind)
		if r := Without(&two, kind); r.Mode != Off || len(r.Kinds()) != 1 {
			t.Errorf("%s: %+v", kind, r)
		}
		other := KindTimeout
		if second := new(Duration); kind == KindTimeout {
			other, two.Concurrency = KindConcurrency, &Concurrency{Max: 1}
		} else {
			two.Timeout = second
		}
		if r := Without(&two, kind); r.Mode != Enforce || !slices.Equal(r.Kinds(), []Kind{other}) {
			t.Errorf("%s: %+v", kind, r)
		}
	}
}
