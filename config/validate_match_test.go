package config_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
)

// withTokens checks one rule in a set with the tokens of some callers.
func withTokens(t *testing.T, identify, rule string, callers ...string) config.Problems {
	t.Helper()
	manifest := "services: [{name: Arith, handler: samples.arith}]\nauth: {identify: [" + identify + "], tokens: {file: t.yaml}}"
	set := &config.Set{Tokens: []config.Token{}}
	var problems config.Problems
	if set.Manifest, problems = config.DecodeManifest("m.yaml", []byte(manifest), nil); problems.Err() != nil {
		t.Fatal(problems)
	}
	if set.Rules, problems = config.DecodeRules("p.yaml", []byte("rules:\n- {name: r, "+rule+"}\n"), nil); problems.Err() != nil {
		t.Fatal(problems)
	}
	for _, c := range callers {
		set.Tokens = append(set.Tokens, config.Token{Caller: c, SHA256: strings.Repeat("0", 63) + string(rune('a'+len(set.Tokens)))})
	}
	return slices.DeleteFunc(set.Validate(), func(p config.Problem) bool { return p.File != "p.yaml" })
}

func TestCallersWithoutATokenAreWarnings(t *testing.T) {
	const patience = ", timeout: 1s"
	for _, test := range []struct{ rule, want string }{
		{"match: {service: Arith, caller: alcie}" + patience, "match.caller: no token is for a caller alcie: it matches no call (did you mean alice?)"},
		{"match: {service: Arith, caller: [alice, bobb]}" + patience, "match.caller[1]: no token is for a caller bobb: it matches no call (did you mean bob?)"},
		{`match: {service: Arith, caller: "partner-*"}` + patience, "match.caller: no token is for a caller partner-*: it matches no call"},
		{"match: {service: Arith, except: {caller: alcie}}" + patience, "match.except.caller: no token is for a caller alcie: it matches no call (did you mean alice?)"},
		{"match: {service: Arith}, access: {allow: [{caller: alcie}]}", "access.allow[0].caller: no token is for a caller alcie: it matches no call (did you mean alice?)"},
		{"match: {service: Arith}, access: {deny: [{caller: [bob, alcie]}]}", "access.deny[0].caller[1]: no token is for a caller alcie: it matches no call (did you mean alice?)"},
		{"match: {service: Arith, caller: [alice, anonymous, b*, spiffe://td/x]}" + patience, ""},
		{`match: {service: Arith, caller: ["*", "*e"]}, access: {allow: [{caller: "!odd,name"}]}`, ""},
		{`match: {service: Arith, caller: "!odd"}` + patience, `match.caller: "!odd": the only wildcard is *, and no token has that name; ` +
			"to exclude callers write match: {except: {caller: odd}}"},
	} {
		problems := withTokens(t, "token", test.rule, "alice", "bob", "spiffe://td/x", "!odd,name")
		got := strings.ReplaceAll(strings.TrimPrefix(problems.Error(), "p.yaml:2:"), "rules[0].", "")
		if _, after, ok := strings.Cut(got, ": "); ok {
			got = after
		}
		if got != test.want {
			t.Errorf("%s\ngot  %s\nwant %s", test.rule, got, test.want)
		}
		for _, p := range problems {
			if p.Warning != strings.Contains(p.Message, "no token is for") {
				t.Errorf("%s: warning is %v", p, p.Warning)
			}
		}
	}
}

func TestCallersOfOtherIdentitiesNeedNoToken(t *testing.T) {
	const rule = "match: {service: Arith, caller: spiffe://td/ns/a}, timeout: 1s"
	if problems := withTokens(t, "token", rule, "alice"); len(problems) != 1 {
		t.Errorf("%v", problems)
	}
	m, _ := config.DecodeManifest("m.yaml", []byte("services: []"), nil)
	m.Auth.Identify = []string{"mtls", "token"} // as a manifest will be able to say
	rules, _ := config.DecodeRules("p.yaml", []byte("rules:\n- {name: r, "+rule+"}\n"), nil)
	set := &config.Set{Manifest: m, Rules: rules, Tokens: []config.Token{{Caller: "alice", SHA256: strings.Repeat("0", 64)}}}
	for _, p := range set.Validate() {
		if p.File == "p.yaml" {
			t.Error(p)
		}
	}
}

func TestExceptionsForCallersNeedIdentity(t *testing.T) {
	for rule, want := range map[string]string{
		"{caller: ops}":                    "excludes no call: without auth.identify every caller is anonymous",
		`{caller: "*"}`:                    "excludes every call: without auth.identify every caller is anonymous",
		"{caller: anonymous, method: Mul}": "",
	} {
		got := ""
		for _, p := range withTokens(t, "", "match: {service: Arith, except: "+rule+"}, timeout: 1s") {
			got += p.Message
		}
		if got != want {
			t.Errorf("%s: %q", rule, got)
		}
	}
}

func TestDiffShowsExceptionsAsWritten(t *testing.T) {
	set := func(match string) *config.Set {
		rules, problems := config.DecodeRules("p.yaml", []byte("rules:\n- {name: r, match: {service: Arith"+match+"}, timeout: 1s}\n"), nil)
		if problems.Err() != nil {
			t.Fatal(problems)
		}
		m, _ := config.DecodeManifest("m.yaml", []byte("services: []"), nil)
		return &config.Set{Manifest: m, Rules: rules}
	}
	none, one := set(""), set(", except: {caller: ops}")
	for _, test := range []struct {
		old, next *config.Set
		want      string
	}{
		{none, one, "r: match.except none → {caller: ops} (p.yaml:2)"},
		{one, set(", except: [{caller: ops}]"), ""},
		{one, set(", except: [{caller: [ops, web]}, {peer: 10.0.0.0/8}]"), "r: match.except {caller: ops} → [{caller: [ops, web]}, {peer: 10.0.0.0/8}] (p.yaml:2)"},
		{one, none, "r: match.except {caller: ops} → none (p.yaml:2)"},
	} {
		changes := config.Diff(test.old, test.next)
		if changes.String() != test.want || changes.Class() != config.Live {
			t.Errorf("got %q, want %q", changes, test.want)
		}
	}
}
