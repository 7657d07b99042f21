package cli_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
)

// A terminal is asked, and only yes applies.
func TestApplyAsksOnATerminal(t *testing.T) {
	h := hosttest.Start(t, "services: [{name: Desk, handler: test.desk}]\npolicies: {files: [p.yaml]}\n", hosttest.Options{
		Registry: registry.Default(), Files: map[string]string{"p.yaml": "rules: [{name: a, match: {service: Desk}, timeout: 1s}]\n"},
	})
	path := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(path, []byte("rules: [{name: a, match: {service: Desk}, timeout: 2s}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		answer   string
		code     int
		revision int
	}{{"\n", cli.ExitFailed, 1}, {"no\n", cli.ExitFailed, 1}, {"Yes\n", cli.ExitOK, 2}} {
		ours, theirs := openTerminal(t)
		if _, err := io.WriteString(ours, c.answer); err != nil {
			t.Fatal(err)
		}
		var out, errs strings.Builder
		code := cli.Run(t.Context(), []string{"apply", path, "--admin", h.AdminAddr().String()}, cli.IO{In: theirs, Out: &out, Err: &errs})
		if code != c.code || !strings.Contains(errs.String(), "Apply? [y/N] ") || !strings.Contains(out.String(), "~ < a: timeout 1s → 2s (p.yaml:1)") {
			t.Errorf("%q exits with %d\n%s%s", c.answer, code, out.String(), errs.String())
		}
		if c.code != cli.ExitOK && !strings.Contains(errs.String(), "easymicro: nothing was applied") {
			t.Errorf("%q: %s", c.answer, errs.String())
		}
		if s, err := h.Admin.Status(t.Context()); err != nil || s.Policies.Running.Revision != c.revision {
			t.Errorf("%q: r%d, %v", c.answer, s.Policies.Running.Revision, err)
		}
	}
}

// Files that the host rejects when it plans an apply are in its history; those of a preview are not.
func TestAnApplyThatIsRejectedIsInTheHistory(t *testing.T) {
	h := hosttest.Start(t, "services: [{name: Desk, handler: test.desk}]\npolicies: {files: [p.yaml]}\n", hosttest.Options{
		Registry: registry.Default(), Files: map[string]string{"p.yaml": "rules: [{name: a, match: {service: Desk}, timeout: 1s}]\n"},
	})
	path := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(path, []byte("rules: [{name: a, match: {service: Desk}, timeot: 2s}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for flag, want := range map[string]int{"--dry-run": 0, "--yes": 1} {
		before, err := h.Admin.Revisions(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		var errs strings.Builder
		if code := cli.Run(t.Context(), []string{"apply", path, flag, "-m", "ticket 7", "--admin", h.AdminAddr().String()}, cli.IO{Out: io.Discard, Err: &errs}); code != cli.ExitProblems {
			t.Errorf("%s exits with %d: %s", flag, code, errs.String())
		}
		list, err := h.Admin.Revisions(t.Context())
		if err != nil || len(list) != len(before)+want || want == 1 && (list[0].Why != "ticket 7" || len(list[0].Problems) != 1) {
			t.Errorf("%s: %d attempts, %v: %+v", flag, len(list), err, list[0])
		}
	}
}

// A terminal is asked about the forecast even with --yes, and then sends the answer.
func TestApplyAsksAboutTheForecast(t *testing.T) {
	h := hosttest.Start(t, "services: [{name: Desk, handler: test.desk}]\npolicies: {files: [p.yaml], autoRollback: {minRequests: 1}}\n", hosttest.Options{
		Registry: registry.Default(), Files: map[string]string{"p.yaml": "rules: [{name: a, match: {service: Desk}, timeout: 1s}]\n"},
	})
	h.Post("/Desk/Mul", `{"a": 2, "b": 3}`)
	path := filepath.Join(t.TempDir(), "p.yaml")
	if err := os.WriteFile(path, []byte("rules: [{name: a, match: {service: Desk}, access: {allow: [{caller: web}]}}]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	const question = "The forecast exceeds policies.autoRollback.maxNewRefusals. Apply all the same? [y/N] "
	for _, c := range []struct {
		answer, flag string
		code         int
		asked        int
	}{{"\n", "--yes", cli.ExitFailed, 1}, {"no\n", "--prune", cli.ExitFailed, 1}, {"", "--dry-run", cli.ExitOK, 0}, {"y\n", "--yes", cli.ExitOK, 1}} {
		ours, theirs := openTerminal(t)
		if _, err := io.WriteString(ours, c.answer); err != nil {
			t.Fatal(err)
		}
		var out, errs strings.Builder
		code := cli.Run(t.Context(), []string{"apply", path, c.flag, "--admin", h.AdminAddr().String()}, cli.IO{In: theirs, Out: &out, Err: &errs})
		if code != c.code || strings.Count(errs.String(), question) != c.asked || strings.Contains(errs.String(), "Apply? ") {
			t.Errorf("%q %s exits with %d\n%s%s", c.answer, c.flag, code, out.String(), errs.String())
		}
	}
	if s, err := h.Admin.Status(t.Context()); err != nil || s.Policies.Running.Revision != 2 {
		t.Errorf("%+v, %v", s.Policies.Running, err)
	}
}
