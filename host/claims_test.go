package host_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/golang-jwt/jwt/v5"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire/code"
)

const claimsManifest = `
auth: {identify: [jwt], jwt: {jwksFile: jwks.json, issuer: "https://id.example", audience: orders, claims: {tenant: org, groups: groups, "no": number}}}
services: [{name: Arith, handler: test.arith}]
policies: {files: [p.yaml], watch: {debounce: 20ms}, autoRollback: off}
`

const claimsRules = `rules:
  - {name: each-tenant, match: {service: Arith}, rateLimit: {rate: 1, per: 24h, burst: 2, key: identity.tenant}}
  - {name: no-umbrella, match: {service: Arith, identity: {tenant: umbrella}}, access: {deny: [{caller: "*"}]}}
  - {name: admins, match: {service: Arith, identity: {groups: "*\"admin\"*", "no": "7"}}, access: {deny: [{caller: "*"}]}}
`

func TestRulesMatchAndKeyByClaimsOfSignedTokens(t *testing.T) {
	s := newSigner(t)
	h := hosttest.Start(t, claimsManifest, hosttest.Options{
		Registry: newPlant(t).reg, Files: map[string]string{"p.yaml": claimsRules, "jwks.json": s.jwks(t)},
	})
	// call makes a call over rpcx, or over HTTP, and returns the code and the message.
	overHTTP := false
	call := func(claims jwt.MapClaims) string {
		t.Helper()
		token := "Bearer " + s.token(t, jwt.SigningMethodES256, "a", s.ec, claims)
		if overHTTP = !overHTTP; overHTTP {
			res, body := h.Post("/Arith/Mul", "{}", "Authorization", token)
			if res.StatusCode == http.StatusOK {
				return ""
			}
			return body
		}
		if e := with(t, h, token); e != nil {
			return e.Code.String() + " " + e.Message
		}
		return ""
	}
	org := func(value any) jwt.MapClaims { return jwt.MapClaims{"org": value} }
	for _, c := range []struct {
		claims jwt.MapClaims
		want   string // in the answer; empty: the call succeeds
	}{
		{org("acme"), ""},
		{jwt.MapClaims{"org": "acme", "sub": "another"}, ""},
		{org("acme"), "each-tenant"},
		{org("other"), ""}, // it has a bucket of its own
		{org([]string{"other"}), ""},
		{org("other"), "each-tenant"},
		{org("umbrella"), "no-umbrella"},
		{nil, ""}, // tokens without the claim share a bucket, and match no pattern
		{org(""), ""},
		{org(nil), "each-tenant"},
		{org(map[string]any{"id": 7}), "the claim org of the token must be a string, a number, a boolean or a list of these"},
		{org(strings.Repeat("x", 256)), "the claim org of the token is longer than 255 bytes"},
		{jwt.MapClaims{"org": "third", "groups": []string{"dev", "admin"}, "number": 7}, "admins"},
		{jwt.MapClaims{"org": "third", "groups": []string{"dev", "administrator"}, "number": 7}, ""},
		{jwt.MapClaims{"org": "third", "groups": []string{"dev", "admin"}, "number": "8"}, ""},
	} {
		if got := call(c.claims); c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%v: %s, want %q", c.claims, got, c.want)
		}
	}

	h.Write("p.yaml", strings.Replace(claimsRules, "identity: {tenant: umbrella}", "identity: {tenant: [umbrella, evil]}", 1))
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatalf("%s %v", r.Result, r.Problems)
	}
	for range 2 {
		if got := call(org("acme")); !strings.Contains(got, "each-tenant") {
			t.Errorf("after an edit the tenant has its tokens again: %s", got)
		}
		if got := call(org("evil")); !strings.Contains(got, "no-umbrella") {
			t.Errorf("after an edit: %s", got)
		}
	}

	h.Write("p.yaml", strings.Replace(claimsRules, "tenant: umbrella", "tennant: umbrella", 1))
	if r := h.Revision(); r.Result != host.ResultRejected || !strings.Contains(r.Problems.Error(), "auth.jwt.claims names no claim tennant (did you mean tenant?)") {
		t.Errorf("%s %v", r.Result, r.Problems)
	}
}

func TestOtherCallersHaveNoClaims(t *testing.T) {
	s := newSigner(t)
	manifest := strings.NewReplacer("[jwt]", "[jwt, token], tokens: {file: tokens.yaml}").Replace(claimsManifest)
	h := hosttest.Start(t, manifest, hosttest.Options{Registry: newPlant(t).reg, Files: map[string]string{
		"tokens.yaml": tokensFile("listed", ""), "jwks.json": s.jwks(t),
		"p.yaml": "rules:\n- {name: some, match: {service: Arith, identity: {tenant: \"*\"}}, access: {deny: [{caller: \"*\"}]}}\n" +
			"- {name: known, match: {service: Arith}, rateLimit: {rate: 100, key: identity.tenant, onMissingKey: refuse}}",
	}})
	for name, auth := range map[string]string{"token": "listed", "anonymous": "", "jwt": s.token(t, jwt.SigningMethodES256, "a", s.ec, nil)} {
		if e := with(t, h, auth); e == nil || e.Code != code.InvalidArgument || !strings.Contains(e.Message, "identity.tenant is required") {
			t.Errorf("%s: %v", name, e)
		}
	}
	if e := with(t, h, s.token(t, jwt.SigningMethodES256, "a", s.ec, jwt.MapClaims{"org": "x"})); e == nil || e.Code != code.PermissionDenied {
		t.Errorf("with the claim: %v", e)
	}
}

func TestExplainAnswersForTheClaimsOfACaller(t *testing.T) {
	s := newSigner(t)
	h := hosttest.Start(t, claimsManifest, hosttest.Options{
		Registry: newPlant(t).reg, Files: map[string]string{"p.yaml": claimsRules, "jwks.json": s.jwks(t)},
	})
	explain := func(q admin.ExplainQuery) string {
		q.Service, q.Method = "Arith", "Mul"
		x, err := h.Admin.Explain(t.Context(), q)
		if err != nil {
			return err.Error()
		}
		var lines []string
		for _, k := range x.Kinds {
			for _, r := range k.Applies {
				lines = append(lines, "+ "+r.Rule+": "+r.State)
			}
			for _, r := range k.Losers {
				lines = append(lines, "- "+r.Rule+": "+r.Reason)
			}
		}
		return strings.Join(lines, "\n")
	}
	if e := with(t, h, s.token(t, jwt.SigningMethodES256, "a", s.ec, jwt.MapClaims{"org": "acme"})); e != nil {
		t.Fatal(e)
	}
	claims := func(pairs ...string) map[string]string {
		m := map[string]string{}
		for i := 0; i < len(pairs); i += 2 {
			m[pairs[i]] = pairs[i+1]
		}
		return m
	}
	for _, c := range []struct {
		q    admin.ExplainQuery
		want string
	}{
		{admin.ExplainQuery{Caller: "partner", Identity: claims("tenant", "acme")}, "+ each-tenant: 1 of 2 tokens"},
		{admin.ExplainQuery{Caller: "partner", Identity: claims("tenant", "acme")}, "- no-umbrella: identity.tenant umbrella does not match acme"},
		{admin.ExplainQuery{Caller: "partner", Identity: claims("tenant", "umbrella")}, "+ no-umbrella: "},
		{admin.ExplainQuery{Caller: "partner"}, "- no-umbrella: identity.tenant umbrella matches only callers with this claim (give --identity-claim tenant=VALUE)"},
		{admin.ExplainQuery{Caller: "partner", Identity: claims("tennant", "acme")}, `callers have no claim "tennant" here`},
		{admin.ExplainQuery{Identity: claims("tenant", "acme")}, "anonymous callers have no claims"},
	} {
		if got := explain(c.q); !strings.Contains(got, c.want) {
			t.Errorf("%+v:\n%s\nwant %s", c.q, got, c.want)
		}
	}
	if refusals := strings.TrimSpace(explain(admin.ExplainQuery{})); strings.Contains(refusals, "+ no-umbrella") {
		t.Errorf("anonymous: %s", refusals)
	}
}
