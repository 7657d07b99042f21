package cli_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
)

// The schema is our own, written from the text of the standard: OASIS publishes one of the whole format, but under no licence by which
// it could be copied here. Ours has only the members that easymicro writes, and rejects all others.
func TestWhatValidateWritesIsSARIF(t *testing.T) {
	schema := jsonschema.NewCompiler()
	schema.AssertFormat()
	s, err := schema.Compile("testdata/sarif.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	valid := func(text string) error {
		doc, err := jsonschema.UnmarshalJSON(strings.NewReader(text))
		if err != nil {
			t.Fatal(err)
		}
		return s.Validate(doc)
	}
	text := sarifOf(t)
	if err := valid(text); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	for _, part := range []struct{ is, instead string }{ // each is in the text, and would not be SARIF if it was written differently
		{`"version": "2.1.0"`, `"version": "2.0.0"`},
		{`"suppressions": [`, `"suppression": [`},
		{`"kind": "inSource"`, `"kind": "ignored"`},
		{`"justification": "of a test"`, `"justification": 1`},
		{`"level": "warning"`, `"level": "warn"`},
		{`"level": "error"`, `"level": "info"`},
		{`"startLine": 3,`, `"startLine": 0,`},
		{`"startColumn": 39`, `"startColumn": "39"`},
		{`"uri": "a%20b.yaml"`, `"uri": "a%b.yaml"`},
		{`"fullyQualifiedName": "rules[1]`, `"fullName": "rules[1]`},
		{`"columnKind": "unicodeCodePoints"`, `"columnKind": "runes"`},
		{`"driver": {`, `"program": {`},
		{`"ruleIndex": `, `"ruleIndex": -`},
		{`"message": {`, `"text": {`},
	} {
		wrong := strings.Replace(text, part.is, part.instead, 1)
		if wrong == text {
			t.Errorf("no %s in\n%s", part.is, text)
		} else if valid(wrong) == nil {
			t.Errorf("the schema accepts %s", part.instead)
		}
	}
}

// sarifOf returns what validate writes about files with an error, a warning and an ignored warning.
func sarifOf(t *testing.T) string {
	t.Helper()
	t.Chdir(t.TempDir())
	save(t, "easymicro.yaml", hosted)
	save(t, "p.yaml", `rules:
  # easymicro: ignore EM312 until 2190-01-01 because of a test
  - {name: a, match: {service: Desk}, rateLimit: {rate: 5, maxWait: 1s}}
  - {name: b, match: {service: Elsewhere}, timeout: 1s}
`)
	save(t, "a b.yaml", "rules:\n  - {name: a, match: {service: Desk}, timeout: 1s}\n  - {name: b, match: {service: Desk}, timeuot: 1s}\n")
	var out, errs bytes.Buffer
	code := cli.Run(t.Context(), []string{"validate", "easymicro.yaml", "a b.yaml", "-o", "sarif"}, cli.IO{In: strings.NewReader(""), Out: &out, Err: &errs})
	if code != cli.ExitProblems {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	return out.String()
}
