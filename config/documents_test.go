package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/config"
)

// decodes returns the problems of text as each kind of file.
func decodes(text string) map[string]string {
	_, manifest := config.DecodeManifest("f", []byte(text), nil)
	_, rules := config.DecodeRules("f", []byte(text), nil)
	_, tokens := config.DecodeTokens("f", []byte(text), nil)
	return map[string]string{"manifest": manifest.Error(), "rules": rules.Error(), "tokens": tokens.Error()}
}

func TestEmptyDocumentsAreValidAndEmptyFilesAreNot(t *testing.T) {
	const (
		noManifest = "f:1:1: empty: a manifest lists at least its services"
		noRules    = "f:1:1: empty: to have no rules write `rules: []`"
		noTokens   = "f:1:1: empty: to have no tokens write `[]`"
	)
	for text, documents := range map[string]bool{
		"": false, "\n": false, " \n\t\n": false, "# only a comment\n": false, "...\n": false, "\ufeff": false, "null\n": false, "--- ~\n": false,
		"---\n": true, "---": true, "--- # generated\n": true, "# head\n---\n# nothing here\n": true, "---\n# a\n---\n# b\n---\n": true,
		"---\r\n# a\r\n": true, "\ufeff---\n": true, "---\n...\n": true,
	} {
		want := map[string]string{"manifest": noManifest, "rules": noRules, "tokens": noTokens}
		if documents {
			want["rules"] = "" // half a file of tokens must not turn its callers away
		}
		if diff := cmp.Diff(want, decodes(text)); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
	}
}

func TestEmptyDocumentsAreIgnored(t *testing.T) {
	const rule = "rules: [{name: a, match: {service: A}, timeout: 1s}]\n"
	for _, text := range []string{"---\n# a\n---\n" + rule, rule + "---\n# a\n", "---\n---\n# b\n---\n" + rule + "...\n---\n", `{"rules": [{"name": "a", "match": {"service": "A"}, "timeout": "1s"}]}` + "\n---\n"} {
		rules, problems := config.DecodeRules("f", []byte(text), nil)
		if err := problems.Err(); err != nil || len(rules) != 1 {
			t.Errorf("%q: %d rules, %v", text, len(rules), err)
		}
	}
	rules, _ := config.DecodeRules("f", []byte("---\n# a\n---\n"+rule), nil)
	if got := rules[0].Position("timeout").String(); got != "f:4" {
		t.Errorf("the timeout is in %s, want f:4", got)
	}
	_, problems := config.DecodeRules("f", []byte("---\n---\n"+rule+"---\n# a\n---\n"+rule), nil)
	if want := "f:6:1: a second document begins here: a file has only one"; problems.Error() != want {
		t.Errorf("got %v, want %s", problems, want)
	}
	_, problems = config.DecodeRules("f", []byte(strings.Repeat("---\n", 1<<17)), nil)
	if want := "f:1001:1: more than 1000 documents"; problems.Error() != want { // so that reading ends there
		t.Errorf("got %v, want %s", problems, want)
	}
}

func TestOnlyTheTopLevelHasExtensions(t *testing.T) {
	for text, want := range map[string]string{
		"rules: [{name: a, x-team: b, match: {service: A}, timeout: 1s}]\n": "rules[0].x-team: unknown key",
		"rules: [{name: a, match: {service: A, x-y: 1}, timeout: 1s}]\n":    "rules[0].match.x-y: unknown key",
		"x-a: 1\nx-a: 2\nrules: []\n":                                       "x-a: duplicate key, first in line 1",
		"x-a: 1\n":                                                          "rules: is required",
		"x_a: 1\nrules: []\n":                                               "x_a: unknown key",
		"X-a: 1\nrules: []\n":                                               "X-a: unknown key",
		"x-a: &a [*a]\nrules: *a\n":                                         "*a refers to itself",
		"x-a: &a {nam: b}\nrules: [*a]\n":                                   "rules[0].nam: unknown key (did you mean name?)",
		"x-a: &a [" + strings.Repeat("1, ", 900) + "1]\nx-b: &b [" + strings.Repeat("*a, ", 900) + "*a]\nrules: *b\n": "rules",
	} {
		if _, problems := config.DecodeRules("f", []byte(text), nil); !strings.Contains(problems.Error(), want) {
			t.Errorf("%.80q: got %.300v, want %s", text, problems, want)
		}
	}
}

// An alias bomb of 2^60 values would never end.
func TestUnusedExtensionsAreNotExpanded(t *testing.T) {
	var bomb strings.Builder
	bomb.WriteString("x-bomb:\n  a0: &a0 [1, 2]\n")
	for i := range 60 {
		fmt.Fprintf(&bomb, "  a%d: &a%d [*a%d, *a%d]\n", i+1, i+1, i, i)
	}
	_, problems := config.DecodeRules("f", []byte(bomb.String()+"x-unset: \"${NONE}\"\nrules: []\n"), nil)
	if problems.Err() != nil {
		t.Error(problems)
	}
}
