package config_test

import (
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
)

func TestLossesOfAnEditAreWarnings(t *testing.T) {
	const (
		lock  = "  - {name: lock, match: {service: A}, access: {deny: [{caller: a}, {caller: b, methods: [M, N]}]}}\n"
		web   = "  - {name: web, match: {service: [A, B]}, access: {allow: [{caller: web}]}}\n"
		rate  = "  - {name: rate, match: {service: A}, rateLimit: {rate: 5}}\n"
		slow  = "  - {name: slow, match: {service: A}, timeout: 1s}\n"
		full  = lock + web + rate + slow
		twice = true
	)
	swap := func(old, next string) string {
		if !strings.Contains(full, old) {
			t.Fatalf("%q is not there", old)
		}
		return strings.Replace(full, old, next, 1)
	}
	for name, c := range map[string]struct {
		next  string
		twice bool   // is compared again
		want  string // the warning; empty for none
	}{
		"nothing":                         {full, false, ""},
		"another order":                   {slow + rate + web + lock, false, ""},
		"a limit":                         {lock + web + slow, false, "the enforced rule rate was removed"},
		"half of them, none for access":   {lock + web, false, "rate was removed"},
		"access":                          {web + rate + slow, twice, "the enforced rule lock was removed"},
		"more than half":                  {lock, twice, "slow was removed"},
		"all":                             {"  []\n", twice, "lock was removed"},
		"access, renamed by was":          {swap("name: lock", "name: fence, was: lock"), false, ""},
		"access, renamed by content":      {swap("name: lock", "name: fence, description: new"), false, ""},
		"access, renamed and changed":     {swap("{name: lock, match: {service: A}", "{name: fence, match: {service: C}"), twice, "lock was removed"},
		"access, to shadow":               {swap("{name: lock,", "{name: lock, mode: shadow,"), twice, "lock is no longer enforced (mode: shadow)"},
		"access, off":                     {swap("{name: lock,", "{name: lock, mode: off,"), twice, "lock is no longer enforced (mode: off)"},
		"access, expired":                 {swap("{name: lock,", "{name: lock, expires: 2020-01-01T00:00:00Z,"), twice, "lock has expired"},
		"access, for some callers":        {swap("{name: lock,", "{name: lock, enforceShare: 10%,"), twice, "lock is enforced for fewer callers"},
		"access, another kind instead":    {swap("access: {allow: [{caller: web}]}", "timeout: 2s"), twice, "web no longer has access"},
		"an entry of deny":                {swap("{caller: a}, ", ""), twice, "lock denies less than before"},
		"a method of an entry":            {swap("[M, N]", "[M]"), twice, "lock denies less than before"},
		"a service of a match":            {swap("[A, B]", "[A]"), twice, "web matches less than before (match.service)"},
		"a match that gets a field":       {swap("{service: A}, access", "{service: A, method: M}, access"), twice, "lock matches less than before (match.method)"},
		"allow becomes deny":              {swap("allow: [{caller: web}]", "deny: [{caller: evil}]"), twice, "web no longer has access.allow"},
		"an entry of deny becomes wider":  {swap("{caller: a}", `{caller: "*"}`), false, ""},
		"methods of deny become all":      {swap(", methods: [M, N]", ""), false, ""},
		"somebody more is allowed":        {swap("{caller: web}", "{caller: [web, ops]}"), false, ""},
		"a match becomes wider":           {swap("[A, B]", `"*"`), false, ""},
		"a limit to shadow":               {swap("{name: rate,", "{name: rate, mode: shadow,"), false, ""},
		"two of one content, one of them": {full + "  - {name: r2, match: {service: A}, timeout: 1s, mode: shadow}\n", false, ""},
		"a rename cannot stand for two":   {lock + web + "  - {name: new, match: {service: A}, timeout: 1s}\n", false, "rate was removed"},
	} {
		t.Run(name, func(t *testing.T) {
			lost := config.Lost(rulesOf(t, full), rulesOf(t, c.next))
			got := lost.Warnings().Error()
			if lost.Doubtful() != c.twice || !strings.Contains(got, c.want) || c.want == "" && got != "" {
				t.Errorf("doubtful %v, warnings\n%s\nwant %v, %q", lost.Doubtful(), got, c.twice, c.want)
			}
			if got != "" && !strings.HasPrefix(got, "f.yaml:") {
				t.Errorf("%s says not where it stood", got)
			}
		})
	}
}

func TestOnlyWhatRefusesLessIsALoss(t *testing.T) {
	const same = ""
	for _, c := range []struct{ less, more, want string }{
		{`match: {service: A}, access: {deny: [{caller: mallory}]}`, `match: {service: A}, access: {deny: [{caller: "mal*"}]}`, "denies less"},
		{`match: {service: A}, access: {deny: [{caller: a}, {caller: b}]}`, `match: {service: A}, access: {deny: [{caller: [a, b]}]}`, same},
		{`match: {service: A}, access: {deny: [{caller: a}]}`, `match: {service: A}, access: {deny: [{caller: [a, b]}]}`, "denies less"},
		{`match: {service: A}, access: {deny: [{caller: a, methods: [M, N]}]}`, `match: {service: A}, access: {deny: [{caller: a, methods: M}, {caller: a, methods: N}]}`, same},
		{`match: {service: A}, access: {deny: [{caller: a, methods: M}, {caller: "*", methods: N}]}`, `match: {service: A}, access: {deny: [{caller: "*", methods: [M, N]}]}`, "denies less"},
		{`match: {service: A}, access: {allow: [{caller: batch}]}`, `match: {service: A}, access: {allow: [{caller: batch, methods: [Export]}]}`, "allows all methods where it allowed some (access.allow)"},
		{`match: {service: A}, access: {allow: [{caller: [web, ops]}, {caller: web, methods: M}]}`, `match: {service: A}, access: {allow: [{caller: "*", methods: [M, N]}, {caller: ops}]}`, "allows all methods where it allowed some"},
		{`match: {service: A}, access: {allow: [{caller: web}, {caller: "*"}]}`, `match: {service: A}, access: {allow: [{caller: web, methods: M}, {caller: "*"}]}`, same},
		{`match: {service: A}, access: {allow: [{caller: web}]}`, `match: {service: A}, access: {allow: [{caller: web, methods: "*"}]}`, same},
		{`match: {service: Orders}, access: {deny: [{caller: a}]}`, `match: {service: "Order*"}, access: {deny: [{caller: a}]}`, "matches less than before (match.service)"},
		{`match: {peer: 10.1.0.0/16}, access: {deny: [{caller: a}]}`, `match: {peer: [192.0.2.1, 10.0.0.0/8]}, access: {deny: [{caller: a}]}`, "matches less than before (match.peer)"},
		{`match: {service: A, peer: 0.0.0.0/0}, access: {deny: [{caller: a}]}`, `match: {service: A}, access: {deny: [{caller: a}]}`, "matches less than before (match.peer)"},
		{`match: {caller: x}, access: {deny: [{caller: a}]}`, `match: {service: "*", caller: x}, access: {deny: [{caller: a}]}`, same},
		{`match: {service: A, except: {caller: "o*"}}, access: {deny: [{caller: a}]}`, `match: {service: A, except: {caller: ops}}, access: {deny: [{caller: a}]}`, "(match.except)"},
	} {
		less, more := rulesOf(t, "  - {name: lock, "+c.less+"}\n"), rulesOf(t, "  - {name: lock, "+c.more+"}\n")
		if lost := config.Lost(less, more); lost.Doubtful() || len(lost.Warnings()) > 0 {
			t.Errorf("%s to %s: %v", c.less, c.more, lost.Warnings())
		}
		if lost := config.Lost(more, less); lost.Doubtful() != (c.want != same) || !strings.Contains(lost.Warnings().Error(), c.want) {
			t.Errorf("%s to %s: %v, want %q", c.more, c.less, lost.Warnings(), c.want)
		}
	}
}

func TestAWiderExceptionFromAccessIsALoss(t *testing.T) {
	rule := func(except string) *config.Set {
		return rulesOf(t, "  - {name: lock, match: {service: A"+except+"}, access: {deny: [{caller: \"*\"}]}}\n")
	}
	const ops = ", except: {caller: [ops, dev], method: [M, N]}"
	for name, c := range map[string]struct {
		next  string
		twice bool
	}{
		"the same":                 {ops, false},
		"a field of it is cut off": {", except: {caller: [ops, dev]}", true},
		"somebody more":            {", except: {caller: [ops, dev, web], method: [M, N]}", true},
		"a second one":             {", except: [{caller: [ops, dev], method: [M, N]}, {caller: web}]", true},
		"somebody less":            {", except: {caller: [ops], method: [M, N]}", false},
		"none any more":            {"", false},
	} {
		if lost := config.Lost(rule(ops), rule(c.next)); lost.Doubtful() != c.twice || strings.Contains(lost.Warnings().Error(), "match.except") != c.twice {
			t.Errorf("%s: doubtful %v, warnings %v", name, lost.Doubtful(), lost.Warnings())
		}
	}
	if !config.Lost(rule(""), rule(ops)).Doubtful() {
		t.Error("a first exception is none")
	}
}

func TestRemovingARuleThatIsNotEnforcedIsNoLoss(t *testing.T) {
	old := rulesOf(t, "  - {name: a, match: {service: A}, access: {deny: [{caller: a}]}, mode: shadow}\n"+
		"  - {name: b, match: {service: A}, access: {deny: [{caller: b}]}, expires: 2020-01-01T00:00:00Z}\n"+
		"  - {name: c, match: {service: A}, timeout: 1s}\n  - {name: d, match: {service: A}, rateLimit: {rate: 1}}\n")
	lost := config.Lost(old, rulesOf(t, "  - {name: c, match: {service: A}, timeout: 1s}\n  - {name: d, match: {service: A}, rateLimit: {rate: 1}}\n"))
	if lost.Doubtful() || len(lost.Warnings()) > 0 {
		t.Errorf("doubtful %v, %v", lost.Doubtful(), lost.Warnings())
	}
}

func rulesOf(t *testing.T, rules string) *config.Set {
	t.Helper()
	list, problems := config.DecodeRules("f.yaml", []byte("rules:\n"+rules), nil)
	if err := problems.Err(); err != nil {
		t.Fatal(err)
	}
	return &config.Set{Rules: list}
}
