package host_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire/code"
)

const remoteKeys = `
auth: {identify: [jwt], jwt: {jwksURL: %q, issuer: "https://id.example", audience: orders%s}}
services: [{name: Arith, handler: test.arith}]
policies: {rules: [{name: members, match: {service: Arith}, access: {allow: [{caller: partner}]}}], watch: {debounce: 20ms}, autoRollback: off}
`

// provider serves a JWKS; without a text it fails.
type provider struct{ text atomic.Pointer[string] }

func (p *provider) serve(text string) { p.text.Store(&text) }

func (p *provider) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	if text := p.text.Load(); text != nil {
		_, _ = io.WriteString(w, *text)
		return
	}
	w.WriteHeader(http.StatusServiceUnavailable)
}

func TestKeysMayComeFromAURL(t *testing.T) {
	t.Parallel()
	s, other, p := newSigner(t), newSigner(t), new(provider)
	server := httptest.NewTLSServer(p)
	defer server.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	manifest := func(url string) string { return fmt.Sprintf(remoteKeys, url, ", tls: {caFile: ca.pem}") }
	h := hosttest.Start(t, manifest(server.URL), hosttest.Options{Registry: newPlant(t).reg, Files: map[string]string{"ca.pem": ca}})
	good := "Bearer " + s.token(t, jwt.SigningMethodES256, "a", s.ec, nil)

	if e := with(t, h, good); e == nil || e.Code != code.Unavailable || e.Reason != code.ReasonNoKeys || e.RetryAfter == 0 {
		t.Errorf("without keys: %v", e)
	}
	if res, body := h.Post("/Arith/Mul", "{}", "Authorization", good); res.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("without keys over HTTP: %s %s", res.Status, body)
	}
	if e := with(t, h, ""); e == nil || e.Code != code.PermissionDenied {
		t.Errorf("without a token: %v", e)
	}
	if status := status(t, h); status.KeySource == nil || !strings.Contains(status.KeySource.Error, "503") || !strings.Contains(status.Warnings.Error(), "auth.jwt.jwksURL") {
		t.Errorf("status: %+v %v", status.KeySource, status.Warnings)
	}

	p.serve(s.jwks(t))
	accepted := func(what, token string) {
		t.Helper()
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
			e := with(t, h, token)
			if e == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Fatalf("%s: %v", what, e)
			}
		}
	}
	accepted("once there are keys", good)
	if status := status(t, h); status.KeySource.Keys != 2 || status.KeySource.FetchedAt.IsZero() || status.KeySource.Error != "" {
		t.Errorf("status: %+v", status.KeySource)
	}
	h.Write("easymicro.yaml", manifest("https://127.0.0.1:1/keys"))
	if r := h.Revision(); r.Result != host.ResultRejected || !strings.Contains(fmt.Sprint(r.Problems), "easymicro.yaml:2:") || !strings.Contains(fmt.Sprint(r.Problems), "delivers no keys") {
		t.Errorf("a URL without keys: %s %v", r.Result, r.Problems)
	}
	if e := with(t, h, good); e != nil {
		t.Errorf("with the keys before: %v", e)
	}
	h.Write("easymicro.yaml", manifest(server.URL+"/v2"))
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Errorf("another URL: %s %v", r.Result, r.Problems)
	}
	p.serve(strings.ReplaceAll(other.jwks(t), `"kid": "a"`, `"kid": "new"`))
	accepted("by a new key", "Bearer "+other.token(t, jwt.SigningMethodES256, "new", other.ec, nil))
	if e := with(t, h, good); e == nil || e.Code != code.Unauthenticated {
		t.Errorf("by a removed key: %v", e)
	}
	if metrics := scrape(t, h); !strings.Contains(metrics, "\neasymicro_jwks_last_success_timestamp_seconds 1.") {
		t.Error("the metrics lack the last fetch")
	}
}

func TestCallersThatAnotherURLTurnsAwayUndoTheEdit(t *testing.T) {
	t.Parallel()
	s, other, p, q := newSigner(t), newSigner(t), new(provider), new(provider)
	p.serve(s.jwks(t))
	q.serve(other.jwks(t))
	first, second := httptest.NewServer(p), httptest.NewServer(q)
	defer first.Close()
	defer second.Close()
	manifest := func(url string) string {
		return strings.Replace(fmt.Sprintf(remoteKeys, url, ""), "autoRollback: off", "autoRollback: {minRequests: 20}", 1)
	}
	h := hosttest.Start(t, manifest(first.URL), hosttest.Options{Registry: newPlant(t).reg})
	good := "Bearer " + s.token(t, jwt.SigningMethodES256, "a", s.ec, nil)
	h.Write("easymicro.yaml", manifest(second.URL))
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatalf("%s %v", r.Result, r.Problems)
	}
	first.Close() // the keys of the revision to return to are still there
	refused := 0
	for deadline := time.Now().Add(time.Minute); with(t, h, good) != nil; refused++ {
		if time.Now().After(deadline) {
			t.Fatalf("%d calls were refused, and the edit was not undone", refused)
		}
	}
	if r := h.Revision(); r.Source != host.SourceAutoRollback {
		t.Errorf("%+v", r)
	}
}
