package policytest_test

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
	"github.com/easymicro/easymicro/host/policytest"
	_ "github.com/easymicro/easymicro/samples" // the handlers of the manifest
)

// A package of handlers tests its policies like this, with `go test` and without the command.
func TestPolicies(t *testing.T) { policytest.Test(t, "tests.yaml") }

// test returns what easymicro test prints about the sample in a copy of the repository, after an edit of the policies.
func test(t *testing.T, code int, old, edited string, flags ...string) string {
	t.Helper()
	root := t.TempDir()
	dir := filepath.Join(root, "samples", "policytest")
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	policies := filepath.Join(dir, "policies.yaml")
	text, err := os.ReadFile(policies)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(policies, []byte(strings.Replace(string(text), old, edited, 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	var out, errs bytes.Buffer
	args := append([]string{"test", "samples/policytest"}, flags...)
	if got := cli.Run(t.Context(), args, cli.IO{In: strings.NewReader(""), Out: &out, Err: &errs}); got != code {
		t.Fatalf("exits with %d, want %d: %s%s", got, code, &out, &errs)
	}
	return out.String()
}

func TestThePageShowsWhatTheCommandPrints(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(page), "```")
	took := regexp.MustCompile(`in [0-9.]+m?s\n`)
	_, want, _ := strings.Cut(blocks[1], "samples/policytest\n")
	if got := test(t, cli.ExitOK, "", "", "--coverage"); took.ReplaceAllString(got, "") != took.ReplaceAllString(want, "") {
		t.Errorf("got\n%s\nthe page has\n%s", got, want)
	}
}

func TestThePageShowsWhatAnEditLeadsTo(t *testing.T) {
	page, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Split(string(page), "```")[3]
	if got := test(t, cli.ExitProblems, "burst: 6", "burst: 5"); !strings.Contains(got, want[1:]) {
		t.Errorf("got\n%s\nthe page has\n%s", got, want)
	}
}
