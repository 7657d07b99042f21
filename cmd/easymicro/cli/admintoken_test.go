package cli_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
	"github.com/easymicro/easymicro/host/hosttest"
)

// A refused token is explained by what was passed, and what may be passed instead.
func TestCommandsUseTheTokenThatIsGiven(t *testing.T) {
	entry := func(name, role, token string) string {
		sum := sha256.Sum256([]byte(token))
		return "- {name: " + name + ", role: " + role + ", sha256: " + hex.EncodeToString(sum[:]) + "}\n"
	}
	h := hosttest.Start(t, "admin: {tokens: {file: admin-tokens.yaml}}\nservices: [{name: Arith, handler: test.desk}]\n", hosttest.Options{
		Files: map[string]string{"admin-tokens.yaml": entry("ann", "operate", "of-ann") + entry("grafana", "read", "reads")},
	})
	dir := t.TempDir()
	for name, text := range map[string]string{
		"easymicro.yaml": "services: []\n", "own.yaml": "admin: {tokenFile: other}\nservices: []\n", "other": "other\n", "ann": "of-ann\n", "reads": "reads", "empty": "\n",
		"admin-tokens.yaml": entry("ann", "all", "x"),
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Chdir(dir)
	for _, tc := range []struct {
		args, variable string
		exit           int
		want           string
	}{
		{"status --admin-token-file reads", "", 0, "Arith"},
		{"status", "reads", 0, "Arith"},
		{"reload --admin-token-file ann", "reads", 0, ""},
		{"drain --admin-token-file reads", "", cli.ExitAnswered, "this needs the role operate, and the token of grafana has the role read: pass one that may with --admin-token-file"},
		{"status", "", cli.ExitAnswered, "the admin token is missing or wrong: pass yours with --admin-token-file or EASYMICRO_ADMIN_TOKEN_FILE"},
		{"status --admin-token-file other", "", cli.ExitAnswered, "the admin token is missing or wrong: check --admin-token-file"},
		{"status -c own.yaml", "", cli.ExitAnswered, "admin.tokenFile of the manifest has another one: pass yours with --admin-token-file"},
		{"status -c own.yaml --admin-token-file ann", "", 0, "Arith"},
		{"status --admin-token-file empty", "", cli.ExitFailed, "--admin-token-file: empty is empty"},
		{"status --admin-token-file none", "", cli.ExitFailed, "--admin-token-file: none"},
		{"validate admin-tokens.yaml", "", cli.ExitProblems, `admin-tokens.yaml:1:21: [0].role: "all" is not one of read, operate`},
	} {
		t.Setenv("EASYMICRO_ADMIN_TOKEN_FILE", tc.variable)
		var out bytes.Buffer
		args := append(strings.Fields(tc.args), "--admin", h.AdminAddr().String())
		exit := cli.Run(t.Context(), args, cli.IO{In: strings.NewReader(""), Out: &out, Err: &out})
		if exit != tc.exit || !strings.Contains(out.String(), tc.want) || strings.Contains(out.String(), "of-ann") {
			t.Errorf("%s\n%s\nexit %d, want %d and %q", tc.args, out.String(), exit, tc.exit, tc.want)
		}
	}
}
