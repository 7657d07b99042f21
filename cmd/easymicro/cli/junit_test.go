package cli_test

import (
	"fmt"

	"github.com/joshdk/go-junit"
	"github.com/rogpeppe/go-internal/testscript"
)

// readJUnit checks, by a parser made by others, the name of the first failed case and the totals: junit TEXT.
func readJUnit(ts *testscript.TestScript, _ bool, args []string) {
	suites, err := junit.Ingest([]byte(ts.ReadFile("stdout")))
	ts.Check(err)
	for _, s := range suites {
		for _, c := range s.Tests {
			if c.Status != junit.StatusFailed {
				continue
			}
			if got := fmt.Sprintf("%s: %d of %d failed", c.Name, s.Totals.Failed, s.Totals.Tests); got != args[0] {
				ts.Fatalf("%s, want %s", got, args[0])
			}
			return
		}
	}
	ts.Fatalf("no failed case in %+v", suites)
}
