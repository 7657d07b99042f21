package cli

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/policytest"
)

// policyTestCommand runs policy tests.
type policyTestCommand struct {
	*app
	options policytest.Options
}

func newPolicyTest(a *app) *cobra.Command {
	c := &policyTestCommand{app: a}
	cmd := &cobra.Command{
		Use:   "test FILES…",
		Short: "Run policy tests: scripted calls under the rules, on a virtual clock",
		Long: `test runs the cases in files of policy tests, or in those of a directory. A case makes calls on a virtual clock, under the
rules of the manifest that the file names, and compares the outcome with what it expects: hours pass in milliseconds. Rules are
compiled and evaluated as in serve. Handlers are not opened: the case says what they do. -c is not used.

  cases:
    - name: a partner has fifteen calls in the first second
      calls: {to: Arith.Mul, caller: partner-7, count: 20, over: 1s}
      expect: {OK: 15, RESOURCE_EXHAUSTED: 5, by: partner-quota}

It exits with 3 if an expectation fails or a file has problems. --coverage lists the rules that no case meets. --against names
the older manifest that expect: {nobody_new: true} compares with. -o junit prints a report for CI. config/REFERENCE.md has all
fields, and easymicro schema policytest prints them for your editor.`,
		Example: `  easymicro test samples/policytest
  easymicro test --coverage tests.yaml
  easymicro test --against production/easymicro.yaml -o junit tests.yaml > report.xml`,
		Args:              argRange(1, math.MaxInt, "files of policy tests, or directories with some"),
		ValidArgsFunction: completeManifests,
		RunE:              c.run,
	}
	cmd.Flags().StringVar(&c.options.Against, "against", "", "`FILE` with the older manifest that nobody_new compares with")
	cmd.Flags().BoolVar(&c.options.Coverage, "coverage", false, "list the rules that no case meets")
	_ = cmd.MarkFlagFilename("against", "yaml", "yml")
	return cmd
}

func (c *policyTestCommand) run(cmd *cobra.Command, args []string) error {
	if cmd.Flags().Changed("config") {
		return usageError("test uses the manifest that each file of policy tests names: write manifest: %s there, instead of -c", c.manifest)
	}
	c.options.Files = args
	began := time.Now()
	var suites []policytest.Suite
	err := policytest.Spawn(cmd.Context(), &c.options, func(s *policytest.Suite) {
		for i := range s.Problems {
			if p := &s.Problems[i]; p.File != s.File {
				p.File = fromHere(s.Manifest, p.File)
			}
		}
		for i := range s.Coverage {
			s.Coverage[i].Position = fromHere(s.Manifest, s.Coverage[i].Position)
		}
		suites = append(suites, *s)
		if c.format == formatText {
			c.text(s)
		}
	})
	if err != nil {
		return failed("%w", err)
	}
	took := time.Since(began)
	switch c.format {
	case formatJSON:
		err = writeJSON(c.out, map[string]any{"files": suites}, "  ")
	case formatJUnit:
		err = writeJUnit(c.out, suites)
	}
	if err != nil {
		return err
	}
	return c.verdict(suites, took)
}

// verdict sums up the run.
func (c *policyTestCommand) verdict(suites []policytest.Suite, took time.Duration) error {
	failures, problems, cases, virtual := 0, 0, 0, time.Duration(0)
	for i := range suites {
		failures, problems, cases = failures+suites[i].Failed(), problems+len(suites[i].Problems), cases+len(suites[i].Cases)
		for _, t := range suites[i].Cases {
			virtual += time.Duration(t.VirtualMS) * time.Millisecond
		}
	}
	var wrong []string
	if failures > 0 {
		wrong = append(wrong, fmt.Sprintf("%d of %s failed", failures, count(cases, "case")))
	}
	if problems > 0 {
		wrong = append(wrong, count(problems, "problem"))
	}
	if wrong != nil {
		return &exitError{code: ExitProblems, err: errors.New(strings.Join(wrong, ", "))}
	}
	if c.format == formatText {
		c.line("%s passed: %s of virtual time in %s", count(cases, "case"), span(virtual), took.Round(time.Millisecond))
	}
	return nil
}

func (c *policyTestCommand) text(s *policytest.Suite) {
	for _, p := range s.Problems {
		c.line("%s", p)
	}
	for i := range s.Cases {
		t := &s.Cases[i]
		place := config.Position{File: filepath.ToSlash(s.File), Line: t.Line}
		if len(t.Failures) == 0 {
			c.line("%s  %s: %s", c.paint(green, "ok    "), place, t.Name)
			continue
		}
		c.line("%s  %s: %s", c.paint(red, "FAILED"), place, t.Name)
		for _, p := range t.Failures {
			c.line("  %s", p)
		}
	}
	c.coverage(s)
}

func (c *policyTestCommand) coverage(s *policytest.Suite) {
	unmet := slices.DeleteFunc(slices.Clone(s.Coverage), func(r policytest.Coverage) bool { return r.Met > 0 })
	if len(s.Coverage) == 0 {
		return
	}
	c.line("%s: %d of %s met", s.File, len(s.Coverage)-len(unmet), count(len(s.Coverage), "rule"))
	for _, r := range unmet {
		mode := ""
		if r.Mode != string(config.Enforce) {
			mode = " (" + r.Mode + ")"
		}
		c.line("  not met: %s %s%s", r.Rule, r.Position, mode)
	}
}
