package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
)

// decoded returns a set of the rules in text for the service Arith, with the problems of the text.
func decoded(t *testing.T, rules string) (*config.Set, config.Problems) {
	t.Helper()
	manifest, problems := config.DecodeManifest("easymicro.yaml", []byte("services: [{name: Arith, handler: h}]\npolicies: {files: [p.yaml]}\n"), nil)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	list, problems := config.DecodeRules("p.yaml", []byte(rules), nil)
	return &config.Set{Manifest: manifest, Rules: list}, problems
}

func TestRulesBeyondTheReportedProblemsAreNotReported(t *testing.T) {
	set, problems := decoded(t, "rules:\n"+strings.Repeat("  - {name: a, match: {service: Arith}, timeout: 1}\n", 1000))
	all := problems.With(set.Validate())
	if len(all) != 201 {
		t.Errorf("%d problems", len(all))
	}
	for _, p := range all {
		if p.Line == 0 || !strings.Contains(p.Message, "1 has no unit") && !strings.Contains(p.Message, "the rest is not shown") {
			t.Errorf("%s", p)
		}
	}
}

// Warnings do not crowd out an error, nor errors a warning.
func TestErrorsAndWarningsAreLimitedSeparately(t *testing.T) {
	check := func(many, one string) config.Problems {
		var text strings.Builder
		text.WriteString("rules:\n")
		for i := range 1000 {
			fmt.Fprintf(&text, "  - {name: r%d, match: {service: Arith}, %s}\n", i, many)
		}
		fmt.Fprintf(&text, "  - {name: last, match: {service: Arith}, %s}\n", one)
		set, problems := decoded(t, text.String())
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return set.Validate()
	}
	const warned, wrong = "rateLimit: {rate: 5, per: 1m}", "rateLimit: {rate: 0.5, per: 24h, burst: 1}"
	if p := check(warned, wrong); len(p.Errors()) != 1 || len(p.Warnings()) < 100 || len(p.Warnings()) > 250 {
		t.Errorf("%d errors, %d warnings", len(p.Errors()), len(p.Warnings()))
	}
	p := check(wrong, warned)
	if len(p.Errors()) != 201 || len(p.Warnings()) != 1 {
		t.Errorf("%d errors, %d warnings", len(p.Errors()), len(p.Warnings()))
	}
	if strings.Count(p.Error(), "the rest is not shown") != 1 {
		t.Error("nothing says that there are more")
	}
}
