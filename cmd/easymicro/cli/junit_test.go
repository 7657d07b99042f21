package cli_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/joshdk/go-junit"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
)

// A parser made by others reads what test writes about a case that passes and one that fails.
func TestAnotherParserReadsJUnit(t *testing.T) {
	t.Chdir(t.TempDir())
	save(t, "easymicro.yaml", hosted+"policies: {rules: [{name: quota, match: {service: Desk}, rateLimit: {rate: 1, burst: 5}}]}\n")
	save(t, "tests.yaml", `manifest: easymicro.yaml
cases:
  - {name: five, calls: {to: Desk.Mul, count: 5}, expect: {OK: 5}}
  - {name: "six & <more>", calls: {to: Desk.Mul, count: 6}, expect: {OK: 6}}
`)
	var out, errs bytes.Buffer
	code := cli.Run(t.Context(), []string{"test", "tests.yaml", "-o", "junit"}, cli.IO{In: strings.NewReader(""), Out: &out, Err: &errs})
	if code != cli.ExitProblems {
		t.Fatalf("exit code %d: %s", code, errs.String())
	}
	suites, err := junit.Ingest(out.Bytes())
	if err != nil || len(suites) != 1 || len(suites[0].Tests) != 2 {
		t.Fatalf("%v: %+v", err, suites)
	}
	s := suites[0]
	if passed, failed := s.Tests[0], s.Tests[1]; s.Totals.Passed != 1 || s.Totals.Failed != 1 || passed.Name != "five" || passed.Status != junit.StatusPassed ||
		failed.Name != "six & <more>" || failed.Status != junit.StatusFailed || !strings.Contains(failed.Error.Error(), "want 6, got 5") {
		t.Errorf("%+v\n%s", s, out.String())
	}
}
