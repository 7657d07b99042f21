package config

import (
	"strings"
	"testing"
)

func TestAPromotedRuleIsEditedInItsText(t *testing.T) {
	const match = "match: {service: A}, timeout: 1s"
	for name, c := range map[string]struct {
		share      Share
		text, want string
	}{
		"in a line":            {1, "- {name: r, mode: shadow, " + match + "} # why", "- {name: r, mode: enforce, " + match + "} # why"},
		"for a share":          {0.1, "- {name: r, mode: shadow, " + match + "}", "- {name: r, enforceShare: 10%, mode: enforce, " + match + "}"},
		"for a larger one":     {0.5, "- {name: r, enforceShare: 10%, " + match + "}", "- {name: r, enforceShare: 50%, " + match + "}"},
		"for all at last":      {1, "- {name: r, enforceShare: 10%, mode: enforce, " + match + "}", "- {name: r, mode: enforce, " + match + "}"},
		"for all, in lines":    {1, "- name: r\n    enforceShare: 10% # a tenth\n    match: {service: A}\n    timeout: 1s", "- name: r\n     # a tenth\n    match: {service: A}\n    timeout: 1s"},
		"for all, first":       {1, "- enforceShare: 10%\n    name: r\n    match: {service: A}\n    timeout: 1s", "- name: r\n    match: {service: A}\n    timeout: 1s"},
		"for all, last":        {1, "- {name: r, " + match + ", \"enforceShare\": \"10%\"} # why", "- {name: r, " + match + "} # why"},
		"for all, last line":   {1, "- {name: q, " + match + "}\n  - name: r\n    match: {service: A}\n    timeout: 1s\n    enforceShare: 10%", "- {name: q, " + match + "}\n  - name: r\n    match: {service: A}\n    timeout: 1s"},
		"in lines":             {1, "- name: r\n    mode: shadow # first\n    match: {service: A}\n    timeout: 1s", "- name: r\n    mode: enforce # first\n    match: {service: A}\n    timeout: 1s"},
		"a share in lines":     {0.125, "- mode: shadow\n    name: r\n    match: {service: A}\n    timeout: 1s", "- enforceShare: 12.5%\n    mode: enforce\n    name: r\n    match: {service: A}\n    timeout: 1s"},
		"in quotes":            {0.1, `- {"name": "r", "mode": "shadow", ` + match + "}", `- {"name": "r", "enforceShare": "10%", "mode": "enforce", ` + match + "}"},
		"after other runes":    {1, "- {description: größer, name: r, mode: 'shadow', " + match + "}", "- {description: größer, name: r, mode: 'enforce', " + match + "}"},
		"from a variable":      {1, `- {name: r, mode: "${NONE:-shadow}", ` + match + "}", `- {name: r, mode: "enforce", ` + match + "}"},
		"beside another":       {1, "- {name: q, mode: shadow, " + match + "}\n  - {name: r, mode: shadow, " + match + "}", "- {name: q, mode: shadow, " + match + "}\n  - {name: r, mode: enforce, " + match + "}"},
		"beside the word":      {0.1, "- {description: mode, name: r, mode: shadow, " + match + "}", "- {description: mode, name: r, enforceShare: 10%, mode: enforce, " + match + "}"},
		"in lines of CRLF":     {0.1, "- name: r\r\n    mode: shadow\r\n    timeout: 1s\r\n    match: {service: A}", "- name: r\r\n    enforceShare: 10%\r\n    mode: enforce\r\n    timeout: 1s\r\n    match: {service: A}"},
		"with an explicit key": {0.1, "- name: r\n    match: {service: A}\n    timeout: 1s\n    ? mode\n    : shadow", "p.yaml:6:"},
		"after other ends of lines": {
			1, "- {name: p, mode: shadow, " + match + "}\u2028\n  - {name: r, mode: shadow, " + match + "} # \n  #", "p.yaml:4:",
		},
		"with an alias":     {1, "- {name: q, mode: &m shadow, " + match + "}\n  - {name: r, mode: *m, " + match + "}", "p.yaml:3:"},
		"with an anchor":    {1, "- {name: r, mode: &m shadow, " + match + "}", "p.yaml:2:"},
		"with an escape":    {1, `- {name: r, mode: "sh\u0061dow", ` + match + "}", "p.yaml:2:"},
		"after a BOM, JSON": {0.1, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			text, want := "rules:\n  "+c.text+"\n", "rules:\n  "+c.want+"\n"
			if c.text == "" {
				text = byteOrderMark + `{"rules": [{"name": "r", "mode": "shadow", "match": {"service": "A"}, "timeout": "1s"}]}`
				want = byteOrderMark + `{"rules": [{"name": "r", "enforceShare": "10%", "mode": "enforce", "match": {"service": "A"}, "timeout": "1s"}]}`
			}
			rules, problems := DecodeRules("p.yaml", []byte(text), func(string) (string, bool) { return "", false })
			if len(problems) > 0 {
				t.Fatal(problems)
			}
			r := &rules[len(rules)-1]
			got, err := Promoted(r, []byte(text), c.share)
			if strings.HasPrefix(c.want, "p.yaml") {
				if err == nil || !strings.HasPrefix(err.Error(), c.want) || !strings.Contains(err.Error(), ".mode: cannot be changed by command: edit the file") {
					t.Errorf("%v", err)
				}
				return
			}
			if err != nil || string(got) != want {
				t.Fatalf("%v\n%s\nwant\n%s", err, got, want)
			}
			rules, problems = DecodeRules("p.yaml", got, nil)
			if r := &rules[len(rules)-1]; len(problems) > 0 || r.EnforcedShare() != c.share {
				t.Errorf("%v: enforced for %s, want %s", problems, r.EnforcedShare(), c.share)
			}
		})
	}
}
