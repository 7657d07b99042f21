package jwt_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	_ "github.com/easymicro/easymicro/samples"
)

// sample is the host of the sample, and the command that makes keys and tokens.
type sample struct {
	*testing.T
	host         *hosttest.Host
	tokens, keys string
}

func start(t *testing.T) *sample {
	t.Helper()
	dir := t.TempDir()
	s := &sample{T: t, tokens: filepath.Join(dir, "tokens.exe"), keys: filepath.Join(dir, "keys")}
	s.run("go", "build", "-o", s.tokens, "./tokens")
	s.run(s.tokens, "-dir", s.keys)
	for _, name := range []string{"easymicro.yaml", "policies.yaml"} {
		text, err := os.ReadFile(name)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	s.host = hosttest.StartFile(t, filepath.Join(dir, "easymicro.yaml"), hosttest.Options{})
	return s
}

func (s *sample) run(name string, args ...string) {
	s.Helper()
	if out, err := exec.CommandContext(s.Context(), name, args...).CombinedOutput(); err != nil {
		s.Fatalf("%s %s: %v\n%s", name, args, err, out)
	}
}

func (s *sample) read(name string) string {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(s.keys, name))
	if err != nil {
		s.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// wants calls a method with a token, and checks the response.
func (s *sample) wants(token, method string, status int, text string) {
	s.Helper()
	req, err := http.NewRequestWithContext(s.Context(), http.MethodPost, "http://"+s.host.Address+"/Arith/"+method, strings.NewReader(`{"a":6,"b":2}`))
	if err != nil {
		s.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		s.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || res.StatusCode != status || !strings.Contains(string(body), text) {
		s.Errorf("%s %s (%v), want %d and %s", res.Status, body, err, status, text)
	}
}

func TestCallersAreIdentifiedByTheirTokens(t *testing.T) {
	s := start(t)
	s.wants(s.read("web.jwt"), "Mul", http.StatusOK, `{"c":12}`)
	s.wants(s.read("web.jwt"), "Div", http.StatusForbidden, "web denied by callers@r1")
	s.wants(s.read("batch.jwt"), "Div", http.StatusOK, `{"c":3}`)
	s.run(s.tokens, "-dir", s.keys, "-for", "-1m")
	s.wants(s.read("web.jwt"), "Mul", http.StatusUnauthorized, "the token expired at")
}

// The old key and the new one are both in use until the file has the new one only.
func TestKeysAreReplacedWithoutARefusedCall(t *testing.T) {
	s := start(t)
	old := s.read("web.jwt")
	s.run(s.tokens, "-dir", s.keys, "-new-key")
	if a := s.host.Revision(); a.Error != "" || len(a.Problems) > 0 {
		t.Fatalf("%+v", a)
	}
	s.wants(old, "Mul", http.StatusOK, `{"c":12}`)
	s.run(s.tokens, "-dir", s.keys)
	if s.read("web.jwt") == old {
		t.Error("no new token")
	}
	s.wants(s.read("web.jwt"), "Mul", http.StatusOK, `{"c":12}`)
}

func TestTheKeysMayComeFromAURL(t *testing.T) {
	s := start(t)
	provider := httptest.NewServer(http.FileServer(http.Dir(s.keys)))
	defer provider.Close()
	s.host.Edit("easymicro.yaml", "jwksFile: keys/jwks.json", `jwksURL: "`+provider.URL+`/jwks.json"`)
	if a := s.host.Revision(); a.Error != "" || len(a.Problems) > 0 {
		t.Fatalf("%+v", a)
	}
	s.wants(s.read("web.jwt"), "Mul", http.StatusOK, `{"c":12}`)
	s.run(s.tokens, "-dir", s.keys, "-new-key")
	s.run(s.tokens, "-dir", s.keys)
	s.wants(s.read("web.jwt"), "Mul", http.StatusOK, `{"c":12}`)
}

func TestEachTenantIsLimitedApart(t *testing.T) {
	s := start(t)
	s.host.Edit("policies.yaml", "rate: 100, per: 1s, burst: 200", "rate: 1, per: 10h, burst: 2")
	if a := s.host.Revision(); a.Error != "" || len(a.Problems) > 0 {
		t.Fatalf("%+v", a)
	}
	web, batch := s.read("web.jwt"), s.read("batch.jwt")
	s.wants(web, "Mul", http.StatusOK, `{"c":12}`)
	s.wants(web, "Mul", http.StatusOK, `{"c":12}`)
	s.wants(web, "Mul", http.StatusTooManyRequests, "tenants@r2")
	s.wants(batch, "Mul", http.StatusOK, `{"c":12}`)
}

func TestExplainShowsTheRulesOfATenant(t *testing.T) {
	s := start(t)
	for tenant, applies := range map[string]bool{"acme": true, "globex": false} {
		e, err := s.host.Admin.Explain(t.Context(), admin.ExplainQuery{Service: "Arith", Method: "Mul", Caller: "web", Identity: map[string]string{"tenant": tenant}})
		if err != nil {
			t.Fatal(err)
		}
		text, err := json.Marshal(e)
		if err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(string(text), `"applies":[{"rule":"acme-mul"`); got != applies {
			t.Errorf("%s: acme-mul applies: %v\n%s", tenant, got, text)
		}
	}
}
