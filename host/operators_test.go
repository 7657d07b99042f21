package host_test

import (
	"errors"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/host/state"
)

const operatedManifest = `
admin: {tokens: {file: admin-tokens.yaml}}
host: {state: {dir: state}}
services: [{name: Arith, handler: test.arith}]
policies: {watch: {debounce: 20ms}, files: [policies.yaml]}
`

func adminToken(name, role, token, more string) string {
	return "- {name: " + name + ", role: " + role + ", sha256: " + tokenOf("", token).SHA256 + more + "}\n"
}

func startOperated(t *testing.T, tokens string) (*hosttest.Host, *logBuffer) {
	t.Helper()
	log := new(logBuffer)
	return hosttest.Start(t, operatedManifest, hosttest.Options{Registry: newPlant(t).reg, Log: log, Files: map[string]string{
		"admin-tokens.yaml": tokens, "policies.yaml": "rules: [{name: few, match: {service: Arith}, rateLimit: {rate: 500}}]\n",
	}}), log
}

func operator(h *hosttest.Host, token string) *admin.Client {
	return &admin.Client{Address: h.AdminAddr().String(), Token: token}
}

// adminCode returns the code with which the admin API refuses a token, or "".
func adminCode(t *testing.T, err error) string {
	t.Helper()
	var e *admin.Error
	if err != nil && !errors.As(err, &e) {
		t.Fatal(err)
	}
	if e == nil {
		return ""
	}
	return e.Code
}

func TestAdminTokensAreLiveAndTheirNamesAreKept(t *testing.T) {
	t.Parallel()
	ann := adminToken("ann", "operate", "ann-1", "")
	h, log := startOperated(t, ann+adminToken("grafana", "read", "read", ""))
	check := func(token, read, operate string) {
		t.Helper()
		_, err := operator(h, token).Status(t.Context())
		if got := adminCode(t, err); got != read {
			t.Errorf("%s reads: %q, want %q", token, got, read)
		}
		_, err = operator(h, token).Drain(t.Context())
		if got := adminCode(t, err); got != operate {
			t.Errorf("%s operates: %q, want %q", token, got, operate)
		}
	}
	check("ann-1", "", "")
	check("read", "", admin.CodeForbidden)
	check("", admin.CodeUnauthenticated, admin.CodeUnauthenticated)
	if s, err := operator(h, "read").Status(t.Context()); err != nil || s.Drained == nil || s.Drained.Who != "ann" {
		t.Errorf("%+v %v, want drained by ann", s, err)
	}

	h.Write("admin-tokens.yaml", ann+adminToken("ann", "operate", "ann-2", "")+adminToken("grafana", "operate", "read", "")) // rotation
	r := h.Revision()
	if lines := strings.Join(r.Changes.Lines(), "\n"); r.Result != host.ResultApplied || r.Changes.Class() != "live" ||
		!strings.Contains(lines, "admin token of ann added, role operate (admin-tokens.yaml:2)") || !strings.Contains(lines, "admin token of grafana: role read → operate") {
		t.Errorf("%s %v %s", r.Result, r.Problems, lines)
	}
	check("ann-1", "", "")
	check("ann-2", "", "")
	check("read", "", "")

	h.Write("policies.yaml", "rules: []\n")
	h.Revision()
	h.Write("admin-tokens.yaml", adminToken("ann", "operate", "ann-2", ""))
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Errorf("%s %v", r.Result, r.Problems)
	}
	check("ann-1", admin.CodeUnauthenticated, admin.CodeUnauthenticated)
	rolled, err := operator(h, "ann-2").Rollback(t.Context(), admin.RollbackRequest{Revision: 2})
	must(t, err)
	if rolled.Who != "ann" {
		t.Errorf("rolled back by %q", rolled.Who)
	}
	check("ann-1", admin.CodeUnauthenticated, admin.CodeUnauthenticated) // a rollback brings no token back
	check("ann-2", "", "")

	res, err := http.Get(h.AdminURL() + "/api/v1/status?token=ann-2") // a secret in a URL helps nobody
	must(t, err)
	_ = res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("with a token in the query string: %s", res.Status)
	}
	h.Stop()
	entries, err := state.Read(filepath.Join(h.Dir, "state")).Audit.Entries()
	must(t, err)
	for _, e := range entries {
		if e.Who != "ann" && e.Who != "grafana" {
			t.Errorf("%+v in the audit log", e)
		}
	}
	if len(entries) < 2 {
		t.Errorf("%v in the audit log", entries)
	}
	if text := log.String(); !strings.Contains(text, "admin request refused") || !strings.Contains(text, "operator=grafana") || !strings.Contains(text, "peer=127.0.0.1") ||
		strings.Contains(text, "ann-2") {
		t.Error(text)
	}
	must(t, filepath.WalkDir(filepath.Join(h.Dir, "state"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, token := range []string{"ann-1", "ann-2", "read"} {
			if strings.Contains(string(data), tokenOf("", token).SHA256) {
				t.Errorf("%s has the hash of a token", path)
			}
		}
		return err
	}))
}

// With widening: warn, which is the default, an edit that removes all tokens is applied on loopback.
func TestAnEditThatLocksOutOrLetsInIsRejectedOrWarnedOf(t *testing.T) {
	t.Parallel()
	h, _ := startOperated(t, adminToken("ann", "operate", "ann-1", ""))
	edit := func(name, text, result, message string) {
		t.Helper()
		h.Write(name, text)
		r := h.Revision()
		if told := r.Problems.Error() + r.Warnings.Error(); r.Result != result || !strings.Contains(told, message) {
			t.Errorf("%s %s, want %s %s", r.Result, told, result, message)
		}
	}
	for _, bad := range []string{"[]\n", "", "{}\n", "- {name: ann, role: operate, sha256: ann-1}\n"} {
		edit("admin-tokens.yaml", bad, host.ResultRejected, "admin-tokens.yaml:1:")
		if _, err := operator(h, "ann-1").Status(t.Context()); err != nil {
			t.Errorf("after %q: %v", bad, err)
		}
	}
	edit("admin-tokens.yaml", adminToken("ann", "read", "ann-1", ""), host.ResultApplied, "admin-tokens.yaml:1:3: no token can operate")
	soon := time.Now().Add(time.Hour).UTC().Format(time.RFC3339)
	edit("admin-tokens.yaml", adminToken("ann", "operate", "ann-1", ", expires: "+soon), host.ResultApplied, "admin token of ann expires on "+soon)
	const tokens = "admin: {tokens: {file: admin-tokens.yaml}}"
	open := strings.Replace(operatedManifest, tokens, "admin: {}", 1)
	edit("easymicro.yaml", open+"# \n", host.ResultApplied, "wider: everyone on this machine may now use the admin API")
	if _, err := operator(h, "").Drain(t.Context()); err != nil {
		t.Error(err)
	}
	edit("easymicro.yaml", operatedManifest, host.ResultApplied, "")
	edit("easymicro.yaml", strings.Replace(operatedManifest, "policies: {", "policies: {widening: refuse, ", 1), host.ResultApplied, "")
	edit("easymicro.yaml", open+"# again\n", host.ResultRejected, "policies.widening is refuse")
	if _, err := operator(h, "").Status(t.Context()); adminCode(t, err) != admin.CodeUnauthenticated {
		t.Errorf("without a token: %v", err)
	}
}
