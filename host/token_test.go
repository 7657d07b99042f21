package host_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

const identifyingManifest = `
auth: {identify: [token], tokens: {file: tokens.yaml}}
services: [{name: Arith, handler: test.arith}]
policies: {rules: [{name: members, match: {service: Arith}, access: {allow: [{caller: partner}]}}], watch: {debounce: 20ms}}
`

func tokensFile(token string, more string) string {
	return "- {caller: partner, sha256: " + tokenOf("", token).SHA256 + more + "}\n"
}

// with calls Arith.Mul over rpcx with what __AUTH says.
func with(t *testing.T, h *hosttest.Host, auth string) *code.Error {
	t.Helper()
	req := wire.Frame{Service: "Arith", Method: "Mul", Codec: wire.JSON, Payload: []byte("{}")}
	if auth != "" {
		req.Metadata.Set(wire.MetaAuth, auth)
	}
	return code.From(h.Dial().Do(t.Context(), &req, new(wire.Frame)))
}

func TestTheTokenIdentifiesTheCallerAndItsFileIsLive(t *testing.T) {
	h := hosttest.Start(t, identifyingManifest, hosttest.Options{
		Registry: newPlant(t).reg, Files: map[string]string{"tokens.yaml": tokensFile("first", "")},
	})
	check := func(auth string, want code.Code, status int) {
		t.Helper()
		if e := with(t, h, auth); e == nil && want != code.OK || e != nil && e.Code != want {
			t.Errorf("%q over rpcx: %v, want %v", auth, e, want)
		}
		var headers []string
		if auth != "" {
			headers = []string{"Authorization", auth}
		}
		if res, body := h.Post("/Arith/Mul", "{}", headers...); res.StatusCode != status {
			t.Errorf("%q over HTTP: %s %s, want %d", auth, res.Status, body, status)
		}
	}
	check("Bearer first", code.OK, 200)
	check("Bearer second", code.Unauthenticated, 401)
	check("", code.PermissionDenied, 403) // anonymous, and not a member
	if e := with(t, h, "first"); e != nil {
		t.Errorf("the bare token over rpcx: %v", e)
	}

	h.Write("tokens.yaml", tokensFile("second", ""))
	if r := h.Revision(); r.Result != host.ResultApplied || r.Changes.Class() != "live" {
		t.Fatalf("%s, %s %v", r.Result, r.Changes.Class(), r.Problems)
	}
	check("Bearer first", code.Unauthenticated, 401)
	check("Bearer second", code.OK, 200)

	h.Write("tokens.yaml", tokensFile("second", ", expires: "+time.Now().Add(-time.Hour).UTC().Format(time.RFC3339)))
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatalf("%s %v", r.Result, r.Problems)
	}
	check("Bearer second", code.Unauthenticated, 401)

	h.Edit("easymicro.yaml", "identify: [token]", "identify: []")
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatalf("%s %v", r.Result, r.Problems)
	}
	check("Bearer second", code.PermissionDenied, 403) // tokens are no longer checked
}

func TestTheOperatorsTokenIsLive(t *testing.T) {
	h := hosttest.Start(t, "admin: {tokenFile: admin.token}\nservices: [{name: Arith, handler: test.arith}]\n",
		hosttest.Options{Registry: newPlant(t).reg, Files: map[string]string{"admin.token": "first\n"}})
	reload := func(token string) error {
		_, err := (&admin.Client{Address: h.AdminAddr().String(), Token: token}).Reload(t.Context(), false)
		return err
	}
	if err := reload("first"); err != nil {
		t.Errorf("with the token: %v", err)
	}
	h.Revision() // that of the reload
	h.Write("admin.token", "second\n")
	if r := h.Revision(); r.Result != host.ResultApplied || strings.Contains(strings.Join(r.Changes.Lines(), " "), "second") {
		t.Errorf("%s %v %v", r.Result, r.Changes.Lines(), r.Problems)
	}
	var refused *admin.Error
	if err := reload("first"); !errors.As(err, &refused) {
		t.Errorf("with the old token: %v", err)
	}
	if err := reload("second"); err != nil {
		t.Errorf("with the new token: %v", err)
	}
}

func TestHashesOfTokensShowNowhere(t *testing.T) {
	hashes := []string{tokenOf("", "first").SHA256, tokenOf("", "second").SHA256}
	log := new(logBuffer)
	h := hosttest.Start(t, `
host: {state: {dir: state}}
auth: {identify: [token], tokens: {file: tokens.yaml}}
telemetry: {logs: {level: debug}}
services: [{name: Arith, handler: test.arith}]
policies: {watch: {debounce: 20ms}}
`, hosttest.Options{Registry: newPlant(t).reg, Log: log, Files: map[string]string{"tokens.yaml": tokensFile("first", "")}})
	h.Write("tokens.yaml", strings.Replace(tokensFile("second", ""), hashes[1], strings.ToUpper(hashes[1]), 1))
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatalf("%+v", r)
	}
	h.Write("tokens.yaml", tokensFile("first", "")+tokensFile("first", "")) // twice the same: it is rejected
	if r := h.Revision(); r.Result != host.ResultRejected {
		t.Fatalf("%+v", r)
	}
	_, err := h.Admin.Drain(t.Context())
	must(t, err)
	shown := log.String()
	for _, path := range []string{
		"status", "services", "rules", "explain?service=Arith&method=Mul", "revisions", "revisions/1", "revisions/2", "revisions/1/files", "revisions/2/files", "refusals", "top",
		"shadow", "override", "breakers", "diff", "config",
	} {
		res, err := http.Get("http://" + h.AdminAddr().String() + "/api/v1/" + path)
		must(t, err)
		body, err := io.ReadAll(res.Body)
		must(t, errors.Join(err, res.Body.Close()))
		if res.StatusCode != 200 && path != "diff" {
			t.Errorf("%s: %s %s", path, res.Status, body)
		}
		shown += string(body)
	}
	audit, err := os.ReadFile(filepath.Join(h.Dir, "state", "audit.jsonl"))
	must(t, err)
	shown = strings.ToLower(shown + string(audit))
	for _, hash := range hashes {
		if i := strings.Index(shown, hash); i >= 0 {
			t.Errorf("a hash shows: %s", shown[max(0, i-200):i+64])
		}
	}
	if !strings.Contains(shown, "sha256: …") {
		t.Error("the token file is not shown")
	}
}

func TestASecretShowsNowhere(t *testing.T) {
	const canary = "canary-6f1c7d2e"
	log, s := new(logBuffer), newSigner(t)
	h := hosttest.Start(t, `
auth: {identify: [jwt, token], tokens: {file: tokens.yaml}, jwt: {jwksFile: jwks.json, issuer: "https://id.example", audience: orders}}
admin: {tokenFile: admin.token}
telemetry: {logs: {level: debug}}
services:
  - {name: Arith, handler: test.arith, accessLog: true}
  - {name: Crash, handler: test.crash, accessLog: true}
policies:
  rules:
    - {name: few, match: {service: Arith}, rateLimit: {rate: 1, burst: 3, key: caller}}
  watch: {debounce: 20ms}
`, hosttest.Options{Registry: newPlant(t).reg, Log: log, Files: map[string]string{
		"tokens.yaml": tokensFile(canary, ""), "admin.token": canary + "-admin\n", "jwks.json": s.jwks(t),
	}})
	secrets, signed := []string{canary}, []string{
		s.token(t, jwt.SigningMethodES256, "a", s.ec, jwt.MapClaims{"note": canary}),
		s.token(t, jwt.SigningMethodES256, "a", s.ec, jwt.MapClaims{"iss": canary}),
		s.token(t, jwt.SigningMethodES256, "a", s.ec, jwt.MapClaims{"aud": canary}),
		s.token(t, jwt.SigningMethodES256, "a", s.ec, jwt.MapClaims{"sub": canary + "*"}),
		s.token(t, jwt.SigningMethodES256, "a", s.ec, jwt.MapClaims{"exp": canary}),
		s.token(t, jwt.SigningMethodES256, canary, s.ec, nil),
	}
	for _, token := range signed {
		secrets = append(secrets, strings.Split(token, ".")[1:]...)
	}
	var told strings.Builder
	for range 6 {
		for _, auth := range append([]string{"Bearer " + canary, "Bearer " + canary + "x", canary + "\x00"}, signed...) {
			if e := with(t, h, auth); e != nil {
				told.WriteString(e.Error())
			}
		}
		for _, path := range []string{"/Arith/Mul", "/Crash/Panic", "/Nope/Nope"} {
			for _, token := range append([]string{canary, canary + "x"}, signed...) {
				res, body := h.Post(path, "{}", "Authorization", "Bearer "+token)
				told.WriteString(body)
				must(t, res.Header.Write(&told))
			}
		}
	}
	h.Write("tokens.yaml", "- {caller: partner, sha256: "+canary+"}\n") // the token itself in place of its hash
	if r := h.Revision(); r.Result != host.ResultRejected {
		t.Errorf("%s", r.Result)
	}
	client := &admin.Client{Address: h.AdminAddr().String(), Token: canary + "-admin"}
	for _, ask := range []func() (any, error){
		func() (any, error) { return client.Status(t.Context()) },
		func() (any, error) { return client.Services(t.Context()) },
		func() (any, error) { return client.Rules(t.Context()) },
		func() (any, error) { return client.Revisions(t.Context()) },
		func() (any, error) { return client.Refusals(t.Context(), admin.RefusalQuery{}) },
		func() (any, error) {
			return client.Explain(t.Context(), admin.ExplainQuery{Service: "Arith", Method: "Mul"})
		},
	} {
		answer, err := ask()
		must(t, err)
		must(t, json.NewEncoder(&told).Encode(answer))
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+h.AdminAddr().String()+"/metrics", nil)
	must(t, err)
	req.Header.Set("Authorization", "Bearer "+canary+"-admin")
	res, err := http.DefaultClient.Do(req)
	must(t, err)
	must(t, res.Write(&told))
	h.Stop()
	for where, text := range map[string]string{"what it tells": told.String(), "the log": log.String()} {
		for _, secret := range secrets {
			if i := strings.Index(text, secret); i >= 0 {
				t.Errorf("%s has the secret: …%s…", where, text[max(0, i-200):min(len(text), i+60)])
			}
		}
		if len(text) < 1000 {
			t.Errorf("%s is too little to prove anything: %s", where, text)
		}
	}
}

func TestOtherWaysOfHTTPCallersAreNamed(t *testing.T) {
	h := hosttest.Start(t, `
services: [{name: Mirror, handler: test.mirror}]
auth: {identify: [token], tokens: {file: tokens.yaml}}
`, hosttest.Options{Registry: mirrors(), Files: map[string]string{
		"tokens.yaml": tokensFile("secret", ""),
	}})
	res, body := h.Post("/Mirror/Refused", "{}", "Authorization", "Basic d2ViOnNlY3JldA==")
	if res.StatusCode != 401 || !strings.Contains(body, "scheme Basic is not supported, use a bearer token") || strings.Contains(body, "d2Vi") {
		t.Errorf("%s %s", res.Status, body)
	}
}

func TestBytesOfAnotherProtocolAreLoggedWithWhatIsSpoken(t *testing.T) {
	var log logBuffer
	h := hosttest.Start(t, `
listeners: [{name: main, address: "127.0.0.1:0", protocols: [rpcx]}]
services: [{name: Mirror, handler: test.mirror}]
`, hosttest.Options{Registry: mirrors(), Log: &log})
	if res, err := http.Post(h.URL+"/Mirror/Refused", "", strings.NewReader("{}")); err == nil {
		_ = res.Body.Close()
		t.Fatalf("HTTP was answered: %s", res.Status)
	}
	h.Stop()
	if text := log.String(); !strings.Contains(text, "connection rejected") || !strings.Contains(text, "speaks=[rpcx]") {
		t.Error(text)
	}
}

func TestRulesForACallerWhoseTokenWentAreWarnedOf(t *testing.T) {
	h := hosttest.Start(t, identifyingManifest, hosttest.Options{
		Registry: newPlant(t).reg, Files: map[string]string{"tokens.yaml": tokensFile("first", "")},
	})
	h.Edit("tokens.yaml", "caller: partner", "caller: patrner")
	r := h.Revision()
	if r.Result != host.ResultApplied || len(r.Warnings) != 1 ||
		!strings.HasSuffix(r.Warnings[0].String(), "access.allow[0].caller: no token is for a caller partner: it matches no call (did you mean patrner?)") {
		t.Errorf("%s %v, warnings %v", r.Result, r.Problems, r.Warnings)
	}
}
