package config

import (
	"strings"
	"testing"
)

// The lines of one rule are put back, and all others stay.
func TestARuleIsPutBackByItself(t *testing.T) {
	const a, b = "  - name: a\n    match: {service: \"*\"}\n    timeout: 1s # as measured\n", "  - {name: b, match: {service: \"*\"}, timeout: 2s}\n"
	for name, tt := range map[string]struct{ now, was, want string }{
		"the first":      {"rules:\n" + strings.Replace(a, "1s", "9s", 1) + b, "# old\nrules:\n" + a, "rules:\n" + a + b},
		"the last":       {"rules:\n" + b + "  - name: a\n    match: {service: \"*\"}\n    concurrency: {max: 7}\n", "rules:\n" + a + b, "rules:\n" + b + a},
		"before a key":   {"rules:\n" + b + "  - {name: a, match: {service: \"*\"}, timeout: 9s}\nx-y: 1\n", "rules:\n" + a, "rules:\n" + b + a + "x-y: 1\n"},
		"without an end": {"rules:\n" + strings.Replace(a, "1s", "9s", 1) + b, "rules:\n" + strings.TrimSuffix(a, "\n"), "rules:\n" + a + b},
		"a new one":      {"rules:\n" + a + b, "rules:\n" + b, "rules:\n" + b},
		"one line":       {"rules: [{name: a, match: {service: x}, timeout: 9s}, {name: b, match: {service: x}, timeout: 9s}]\n", "rules:\n" + a, ""},
		"one of a line":  {"rules: [\n  {name: a, match: {service: x}, timeout: 9s}]\n", "rules:\n" + a, ""},
		"other columns":  {"rules:\n- {name: a, match: {service: x}, timeout: 9s}\n", "rules:\n" + a, ""},
	} {
		ruleOf := func(text string) *Rule {
			rules, problems := DecodeRules("p.yaml", []byte(text), nil)
			if err := problems.Err(); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			for i := range rules {
				if rules[i].Name == "a" {
					return &rules[i]
				}
			}
			return nil
		}
		got, err := PutBack(ruleOf(tt.now), []byte(tt.now), ruleOf(tt.was), []byte(tt.was))
		if (err != nil) != (tt.want == "") || string(got) != tt.want {
			t.Errorf("%s: %v\n%s", name, err, got)
		}
	}
}
