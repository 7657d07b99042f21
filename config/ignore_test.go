package config_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/lint"
)

const ignoringHints = " # easymicro: ignore EM312 until 2027-01-01 because of a test"

// ruleWithHint has a warning EM312 in its line.
const ruleWithHint = "  - {name: a, match: {service: Arith}, rateLimit: {rate: 5, maxWait: 1s}}"

func TestCommentsIgnoreWarnings(t *testing.T) {
	before, after := time.Date(2026, 12, 31, 23, 0, 0, 0, time.UTC), time.Date(2027, 1, 1, 0, 0, 0, 0, time.UTC)
	for name, tt := range map[string]struct {
		text    string
		now     time.Time
		want    []string // codes with their lines
		ignored int
	}{
		"none":              {text: ruleWithHint, want: []string{"2 EM312"}},
		"on the line":       {text: ruleWithHint + ignoringHints, ignored: 1},
		"on the line above": {text: ignoringHints + "\n" + ruleWithHint, ignored: 1},
		"two above, with an empty line": {
			text:    "# easymicro: ignore EM220 until 2027-01-01 because of a test\n" + ignoringHints + "\n\n" + ruleWithHint,
			want:    []string{"2 EM123"},
			ignored: 1,
		},
		"several codes":        {text: ruleWithHint + " # easymicro: ignore EM220, EM312 until 2027-01-01 because of x", want: []string{"2 EM123"}, ignored: 1},
		"ended":                {text: ruleWithHint + ignoringHints, now: after, want: []string{"2 EM312", "2 EM124"}},
		"below":                {text: ruleWithHint + "\n" + ignoringHints, want: []string{"2 EM312", "3 EM123"}},
		"without a date":       {text: ruleWithHint + " # easymicro: ignore EM312 because of x", want: []string{"2 EM312", "2 EM120"}},
		"without a reason":     {text: ruleWithHint + " # easymicro: ignore EM312 until 2027-01-01", want: []string{"2 EM312", "2 EM120"}},
		"with an empty reason": {text: ruleWithHint + " # easymicro: ignore EM312 until 2027-01-01 because ", want: []string{"2 EM312", "2 EM120"}},
		"with another date":    {text: ruleWithHint + " # easymicro: ignore EM312 until 2027-13-01 because of x", want: []string{"2 EM312", "2 EM120"}},
		"without a code":       {text: ruleWithHint + " # easymicro: ignore", want: []string{"2 EM312", "2 EM120"}},
		"in upper case":        {text: ruleWithHint + " # Easymicro: Ignore EM312", want: []string{"2 EM312", "2 EM120"}},
		"misspelt":             {text: ruleWithHint + strings.Replace(ignoringHints, "ignore", "ignroe", 1), want: []string{"2 EM312", "2 EM120"}},
		"with another name":    {text: ruleWithHint + strings.Replace(ignoringHints, "easymicro", "easymirco", 1), want: []string{"2 EM312", "2 EM120"}},
		"without a colon":      {text: ruleWithHint + strings.Replace(ignoringHints, "easymicro:", "easymicro", 1), want: []string{"2 EM312", "2 EM120"}},
		"with two colons":      {text: ruleWithHint + strings.Replace(ignoringHints, "ignore", "ignores:", 1), want: []string{"2 EM312", "2 EM120"}},
		"misspelt, on the line above": {
			text: strings.Replace(ignoringHints, "ignore", "ingore", 1) + "\n" + ruleWithHint, want: []string{"2 EM120", "3 EM312"},
		},
		"of prose about a code":     {text: ruleWithHint + " # easymicro: see EM312", want: []string{"2 EM312"}},
		"of another linter":         {text: ruleWithHint + " # yamllint: ignore EM312", want: []string{"2 EM312"}},
		"of an unknown code":        {text: ruleWithHint + strings.Replace(ignoringHints, "EM312", "EM999", 1), want: []string{"2 EM312", "2 EM121"}},
		"of an error":               {text: ruleWithHint + strings.Replace(ignoringHints, "EM312", "EM104", 1), want: []string{"2 EM312", "2 EM122"}},
		"of a comment":              {text: ruleWithHint + strings.Replace(ignoringHints, "EM312", "EM123", 1), want: []string{"2 EM312", "2 EM121"}},
		"of a handler's code":       {text: ruleWithHint + strings.Replace(ignoringHints, "EM312", "EM312, acme.orders/ttl", 1), want: []string{"2 EM123"}, ignored: 1},
		"of another file":           {text: ruleWithHint + " # by easymicro: ignore it", want: []string{"2 EM312"}},
		"of prose that says so":     {text: ruleWithHint + " # easymicro ignores EM312 here", want: []string{"2 EM312"}},
		"of prose":                  {text: ruleWithHint + " # easymicro: the host of orders", want: []string{"2 EM312"}},
		"in quotes":                 {text: ruleWithHint[:len(ruleWithHint)-1] + ", description: \"x" + ignoringHints + "\"}", want: []string{"2 EM312"}},
		"after quotes":              {text: ruleWithHint[:len(ruleWithHint)-1] + ", description: \"it's # 1\"}" + ignoringHints, ignored: 1},
		"after an apostrophe":       {text: ruleWithHint[:len(ruleWithHint)-1] + ", description: it's}" + ignoringHints, ignored: 1},
		"in a file of CRLF":         {text: ruleWithHint + ignoringHints + "\r", ignored: 1},
		"beside an error elsewhere": {text: "  - {name: b, match: {service: Arith}}\n" + ruleWithHint + strings.Replace(ignoringHints, "EM312", "EM312, EM220", 1), want: []string{"2 EM214"}, ignored: 1},
	} {
		t.Run(name, func(t *testing.T) {
			text := []byte("rules:\n" + tt.text + "\n")
			set, problems := decodeSet("p.yaml", text)
			set.Files, set.Texts = []config.File{{Path: "p.yaml", Hash: "h"}}, map[string][]byte{"h": text}
			if tt.now.IsZero() {
				tt.now = before
			}
			kept, ignored := config.IgnoresIn(set.TextsByPath()).Of(problems.With(set.Validate()), tt.now)
			var got []string
			for _, p := range kept {
				line, _, _ := strings.Cut(strings.TrimPrefix(p.String(), "p.yaml:"), ":")
				got = append(got, line+" "+string(p.Code))
				if page, _ := lint.PageOf(p.Code); page.Warning != p.Warning {
					t.Errorf("%s is a warning: %v", p.Text(), p.Warning)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" || len(ignored) != tt.ignored {
				t.Errorf("%d ignored, want %d; kept (-want +got):\n%s", len(ignored), tt.ignored, diff)
			}
			for _, one := range ignored {
				if one.Reason != "of a test" && one.Reason != "of x" || one.Until.Year() != 2027 || one.Code != lint.NoEffect {
					t.Errorf("%+v", one)
				}
			}
		})
	}
}

func TestAMisspeltCommentIsNotSilent(t *testing.T) {
	text := []byte("rules: []" + strings.Replace(ignoringHints, "ignore", "ignroe", 1) + "\n")
	set, _ := decodeSet("p.yaml", text)
	set.Files, set.Texts = []config.File{{Path: "p.yaml", Hash: "h"}}, map[string][]byte{"h": text}
	want := `p.yaml:1:11: the comment begins with "easymicro: ignroe", and ignores nothing: write # easymicro: ignore EM304 until 2027-01-01 ` +
		"because REASON (did you mean easymicro: ignore?)"
	if p := set.Validate(); len(p) != 1 || p[0].String() != want || !p[0].Warning {
		t.Errorf("%v, want %s", p, want)
	}
}

func TestAMisplacedCommentNamesTheLineOfTheWarning(t *testing.T) {
	p := config.Problem{File: "p.yaml", Line: 4, Message: "m"}.Coded(lint.NoEffect)
	kept, _ := config.IgnoresIn(map[string][]byte{"p.yaml": []byte("rules: []" + ignoringHints + "\n")}).Of(config.Problems{p}, time.Time{})
	if want := "line 1 has no EM312: move the comment to line 4"; len(kept) != 2 || !strings.Contains(kept[0].Message, want) {
		t.Errorf("%v, want %s", kept, want)
	}
}
