package config_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/config"
)

// arith are the methods of the host in these tests.
var arith = []config.Target{{Service: "Arith", Method: "Div"}, {Service: "Arith", Method: "Mul"}}

func TestAWideningNamesCallerMethodRuleAndPlace(t *testing.T) {
	const (
		auth  = "services: [{name: Arith, handler: x}]\nauth: {identify: [token], tokens: {file: tokens.yaml}}\n"
		web   = "rules:\n  - {name: only-web, match: {service: Arith, method: Mul}, access: {allow: [{caller: web}]}}\n"
		other = "  - {name: also, match: {service: \"*\"}, access: {deny: [{caller: anonymous}, {caller: batch}]}}\n"
	)
	web1, batch := "- {caller: web, sha256: "+strings.Repeat("a", 64)+"}\n", "- {caller: batch, sha256: "+strings.Repeat("b", 64)+"}\n"
	for name, c := range map[string]struct {
		old, next         string // rules
		tokens, newTokens string
		want              string
	}{
		"mode":           {web, strings.Replace(web, "{name", "{mode: shadow, name", 1), web1, web1, "wider: anonymous may now call Arith.Mul (only-web: mode enforce → shadow, policies.yaml:2)"},
		"removed":        {web, "rules: []", web1, web1, "wider: anonymous may now call Arith.Mul (only-web removed, policies.yaml:2)"},
		"somebody more":  {web, strings.Replace(web, "caller: web", "caller: [web, batch]", 1), web1 + batch, web1 + batch, "wider: batch may now call Arith.Mul (only-web: access.allow [{caller: web}] → [{caller: [web, batch]}], policies.yaml:2)"},
		"nobody of it":   {web, strings.Replace(web, "caller: web", "caller: [web, ops]", 1), web1, web1, ""},
		"another method": {web, strings.Replace(web, "method: Mul", "method: Div", 1), web1, web1, "wider: anonymous may now call Arith.Mul (only-web: match.method Mul → Div, policies.yaml:2)"},
		"still refused":  {web + other, other2(other), web1 + batch, web1 + batch, ""},
		"a token":        {web, web, batch, batch + web1, "wider: web may now call Arith.Mul (token of web added, tokens.yaml:2)"},
		"a second token": {web, web, web1, web1 + strings.Replace(web1, "aa", "cc", 1), ""},
		"a free method":  {other, other, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			if !strings.HasPrefix(c.old, "rules") {
				c.old, c.next = "rules:\n"+c.old, "rules:\n"+c.next
			}
			old, next := setOf(t, auth, c.old, c.tokens), setOf(t, auth, c.next, c.newTokens)
			var got []string
			w := config.Widened(old, next, config.Diff(old, next), arith)
			for i := range w.List {
				got = append(got, w.List[i].String())
			}
			if diff := cmp.Diff(c.want, strings.Join(got, "\n")); diff != "" || w.Undecided != "" {
				t.Errorf("%s (-want +got):\n%s", w.Undecided, diff)
			}
		})
	}
}

// other2 is a rule without the one that stands before it in the old set, and without the refusal of web.
func other2(other string) string {
	return "rules:\n" + strings.Replace(other, "{caller: batch}", "{caller: batch}, {caller: x}", 1)
}

func TestTheSearchForWideningsIsBounded(t *testing.T) {
	const rules = 20_000
	everybody := []config.AccessEntry{{Caller: config.Patterns{"*"}}}
	var old, next []config.Rule
	var tokens strings.Builder
	for i := range rules {
		caller := config.Patterns{fmt.Sprint("c", i)}
		r := config.Rule{Name: fmt.Sprint("r", i), Match: config.Match{Service: config.Patterns{"Arith"}, Caller: caller}, Access: &config.Access{Deny: everybody}}
		old = append(old, r)
		r.Access = &config.Access{Deny: []config.AccessEntry{{Caller: caller}}}
		next = append(next, r)
		if i < 5000 {
			fmt.Fprintf(&tokens, "- {caller: c%d, sha256: \"%064x\"}\n", i, i)
		}
	}
	const auth = "services: [{name: Arith, handler: x}]\nauth: {identify: [token], tokens: {file: tokens.yaml}}\n"
	a, b := setOf(t, auth, "", tokens.String()), setOf(t, auth, "", tokens.String())
	a.Rules, b.Rules = old, next
	begun := time.Now()
	w := config.Widened(a, b, config.Diff(a, b), arith)
	t.Logf("took %s: %+v", time.Since(begun), w)
	if len(w.List) > 0 {
		t.Errorf("%+v", w.List)
	}
}

func TestRulesToKeepMustBeEnforced(t *testing.T) {
	const keep = "services: [{name: Arith, handler: x}]\npolicies: {keep: [only-web]}\n"
	const lock = "rules: [{name: only-web, match: {service: %s}, access: {deny: [{caller: \"*\"}]}%s}]"
	free := strings.Replace(keep, "keep: [only-web]", "keep: []", 1)
	for name, c := range map[string]struct{ manifest, rules, wantAlone, wantAfter string }{
		"as it is":   {keep, fmt.Sprintf(lock, "Arith", ""), "", ""},
		"gone":       {keep, "rules: []", "easymicro.yaml:2:19: policies.keep[0]: rule only-web is missing", ""},
		"misspelt":   {keep, strings.Replace(fmt.Sprintf(lock, "Arith", ""), "only-web", "only-wep", 1), "did you mean only-wep?", ""},
		"in shadow":  {keep, fmt.Sprintf(lock, "Arith", ", mode: shadow"), "policies.yaml:1:90: rules[0].mode: is shadow", ""},
		"expired":    {keep, fmt.Sprintf(lock, "Arith", ", expires: 2020-01-01T00:00:00Z"), "rules[0].expires: the rule has expired", ""},
		"a share":    {keep, fmt.Sprintf(lock, "Arith", ", enforceShare: 50%"), "rules[0].enforceShare: is 50%", ""},
		"no match":   {keep, fmt.Sprintf(lock, "Order", ""), "", "rules[0].match: no method of this host matches (Order)"},
		"both gone":  {free, "rules: []", "", "rule only-web was removed: the running policies.keep (easymicro.yaml:2) names it"},
		"no list":    {free, fmt.Sprintf(lock, "Arith", ""), "", "wider: rule only-web is no longer kept"},
		"unkept off": {free, fmt.Sprintf(lock, "Arith", ", mode: off"), "", "rules[0].mode: is off: the running policies.keep"},
	} {
		t.Run(name, func(t *testing.T) {
			old, next := setOf(t, keep, fmt.Sprintf(lock, "Arith", ""), ""), setOf(t, c.manifest, c.rules, "")
			if got := next.Validate().Err(); (got != nil) != (c.wantAlone != "") || got != nil && !strings.Contains(got.Error(), c.wantAlone) {
				t.Errorf("alone: %v, want %q", got, c.wantAlone)
			}
			e := config.Edit{Old: old, Next: next, Changes: config.Diff(old, next), Targets: arith}
			if got := e.Judge().Error(); !strings.Contains(got, c.wantAfter) {
				t.Errorf("as an edit: %v, want %q", got, c.wantAfter)
			}
		})
	}
}

func TestWideningIsRefusedUnlessItIsMeant(t *testing.T) {
	const web = "rules: [{name: only-web, match: {service: Arith}, access: {deny: [{caller: anonymous}]}%s}]"
	manifest := func(how string) string {
		return "services: [{name: Arith, handler: x}]\npolicies: {widening: " + how + "}\n"
	}
	for _, c := range []struct {
		old, next, rule string
		allowed, want   bool
	}{
		{"warn", "warn", ", mode: shadow", false, true},
		{"refuse", "refuse", ", mode: shadow", false, false},
		{"refuse", "warn", ", mode: shadow", false, false},
		{"warn", "refuse", ", mode: shadow", false, false},
		{"refuse", "refuse", ", mode: shadow", true, true},
		{"refuse", "refuse", ", mode: shadow, widen: ok", false, true},
		{"refuse", "refuse", ", description: x", false, true},
		{"refuse", "warn", "", false, true},
	} {
		old, next := setOf(t, manifest(c.old), fmt.Sprintf(web, ""), ""), setOf(t, manifest(c.next), fmt.Sprintf(web, c.rule), "")
		e := config.Edit{Old: old, Next: next, Changes: config.Diff(old, next), Targets: arith, AllowWider: c.allowed}
		problems := e.Judge()
		if got := problems.Err() == nil; got != c.want {
			t.Errorf("%+v: %v", c, problems)
		}
		if strings.Contains(c.rule, "shadow") && !strings.Contains(problems.Error(), "wider: anonymous may now call Arith.Div (only-web: mode") {
			t.Errorf("%+v: %v", c, problems)
		}
	}
}

// A rule with enforceShare selects anonymous callers by their addresses, of which there are too many to compare all.
func TestWhatEnforceShareWidensIsDecided(t *testing.T) {
	const manifest = "services: [{name: Arith, handler: x}]\nauth: {identify: [token], tokens: {file: tokens.yaml}}\npolicies: {widening: refuse}\n"
	const all = "access: {deny: [{caller: \"*\"}]}"
	web := "- {caller: web, sha256: " + strings.Repeat("a", 64) + "}\n"
	lock := func(more string) string { return "rules:\n  - {name: lock, match: {service: Arith}, " + more + "}\n" }
	only := func(rule string, more string) string {
		return lock(rule) + "  - {name: other, match: {service: Arith}, " + more + "}\n"
	}
	peer := func(more string) string {
		return strings.Replace(lock(more), "service: Arith", "service: Arith, peer: 10.0.0.1", 1)
	}
	const wider, undecided = "wider: anonymous from ", "it was not decided in full"
	for name, c := range map[string]struct{ old, next, want string }{
		"up":                     {lock("enforceShare: 10%, " + all), lock("enforceShare: 60%, " + all), ""},
		"up to all":              {lock("enforceShare: 10%, " + all), lock(all), ""},
		"the same, with a text":  {lock("enforceShare: 10%, " + all), lock("enforceShare: 10%, description: x, " + all), ""},
		"down":                   {lock("enforceShare: 60%, " + all), lock("enforceShare: 10%, " + all), wider},
		"down by one percent":    {lock("enforceShare: 60%, " + all), lock("enforceShare: 59%, " + all), wider},
		"down from all":          {lock(all), lock("enforceShare: 99%, " + all), wider},
		"down, and meant":        {lock("enforceShare: 60%, " + all), lock("enforceShare: 10%, widen: ok, " + all), ""},
		"down by next to none":   {lock("enforceShare: 60%, " + all), lock("enforceShare: 59.9999999%, " + all), undecided},
		"the same, and meant":    {lock("enforceShare: 60%, " + all), lock("enforceShare: 59.9999999%, widen: ok, " + all), ""},
		"down for one address":   {peer("enforceShare: 60%, " + all), peer("enforceShare: 59.9999999%, " + all), undecided},
		"down, another refuses":  {only("enforceShare: 60%, "+all, all), only("enforceShare: 10%, "+all, all), ""},
		"down, another in part":  {only("enforceShare: 60%, "+all, "enforceShare: 50%, "+all), only("enforceShare: 10%, "+all, "enforceShare: 50%, "+all), wider},
		"renamed":                {lock("enforceShare: 60%, " + all), strings.Replace(lock("was: lock, enforceShare: 60%, "+all), "name: lock", "name: key", 1), wider},
		"renamed, and for all":   {lock("enforceShare: 60%, " + all), strings.Replace(lock("was: lock, "+all), "name: lock", "name: key", 1), ""},
		"up, but for web":        {lock("enforceShare: 99%, " + all), lock("access: {deny: [{caller: anonymous}]}"), "wider: web"},
		"beside one with share":  {only("access: {allow: [{caller: web}]}", "enforceShare: 10%, "+all), only("access: {allow: [{caller: [web, ops]}]}", "enforceShare: 10%, "+all), ""},
		"removed beside a share": {only("access: {deny: [{caller: anonymous}]}", "enforceShare: 10%, "+all), only("mode: off, access: {deny: [{caller: anonymous}]}", "enforceShare: 10%, "+all), wider},
	} {
		t.Run(name, func(t *testing.T) {
			old, next := setOf(t, manifest, c.old, web), setOf(t, manifest, c.next, web)
			e := config.Edit{Old: old, Next: next, Changes: config.Diff(old, next), Targets: arith}
			problems := e.Judge()
			got := problems.Err()
			if (got != nil) != (c.want != "") || got != nil && !strings.Contains(got.Error(), c.want) {
				t.Errorf("%v, want %q", problems, c.want)
			}
			if c.want == undecided && !strings.Contains(got.Error(), "of which only some were tried for lock: policies.widening is refuse; such an edit is accepted with widen: ok in lock, or by easymicro apply --allow-wider") {
				t.Errorf("it does not say what to do: %v", got)
			}
		})
	}
}

func TestAWideningMayBeForCallersWithAClaim(t *testing.T) {
	t.Parallel()
	const (
		auth  = "services: [{name: Arith, handler: x}]\nauth: {identify: [jwt], jwt: {jwksFile: k.json, issuer: i, audience: a, claims: {tenant: org, plan: plan}}}\n"
		acme  = "rules: [{name: acme, match: {service: Arith, identity: {tenant: acme}}, access: {deny: [{caller: \"*\"}]}}]\n"
		gold  = "rules: [{name: acme, match: {service: Arith, identity: {tenant: acme, plan: gold}}, access: {deny: [{caller: \"*\"}]}}]\n"
		other = "rules: [{name: acme, match: {service: Arith, identity: {tenant: \"a*\"}}, access: {deny: [{caller: \"*\"}]}}]\n"
		all   = "rules: [{name: acme, match: {service: Arith}, access: {deny: [{caller: \"*\"}]}}]\n"
		but   = "rules: [{name: acme, match: {service: Arith, except: {identity: {tenant: acme}}}, access: {deny: [{caller: \"*\"}]}}]\n"
	)
	for name, c := range map[string]struct{ auth, old, next, want string }{
		"removed":    {auth, acme, "rules: []", "wider: x (tenant acme) may now call Arith.Div (acme removed, policies.yaml:1)"},
		"narrower":   {auth, acme, gold, "wider: x (tenant acme) may now call Arith.Div (acme: match.identity.plan any → gold, policies.yaml:1)"},
		"wider":      {auth, acme, other, ""},
		"shorter":    {auth, other, acme, "wider: x (tenant ax) may now call Arith.Div (acme: match.identity.tenant a* → acme, policies.yaml:1)"},
		"all":        {auth, acme, all, ""},
		"only acme":  {auth, all, acme, "wider: anonymous may now call Arith.Div (acme: match.identity.tenant any → acme, policies.yaml:1)"},
		"but acme":   {auth, all, but, "wider: x (tenant acme) may now call Arith.Div (acme: match.except none → {identity: {tenant: acme}}, policies.yaml:1)"},
		"other name": {strings.Replace(auth, "tenant: org", "tenant: team", 1), acme, acme, "rules match on identity.tenant, and auth.jwt.claims makes it another claim of the token"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			old, next := setOf(t, auth, c.old, ""), setOf(t, c.auth, c.next, "")
			w := config.Widened(old, next, config.Diff(old, next), arith)
			got := w.Undecided
			for i := range w.List {
				got += w.List[i].String()
			}
			if got != c.want {
				t.Errorf("%s\nwant %s", got, c.want)
			}
		})
	}
}
