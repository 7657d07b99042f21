package host_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"fmt"
	"maps"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire/code"
)

const signedManifest = `
auth: {identify: [jwt, token], tokens: {file: tokens.yaml}, jwt: {jwksFile: jwks.json, issuer: "https://id.example", audience: orders}}
services: [{name: Arith, handler: test.arith}]
policies: {rules: [{name: members, match: {service: Arith}, access: {allow: [{caller: partner}]}}], watch: {debounce: 20ms}, autoRollback: off}
`

// signer makes tokens and the JWKS of its keys.
type signer struct {
	ec  *ecdsa.PrivateKey
	rsa *rsa.PrivateKey
}

func newSigner(t *testing.T) signer {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	return signer{ec, r}
}

func (s signer) jwks(t *testing.T) string {
	t.Helper()
	point, err := s.ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	b64 := base64.RawURLEncoding.EncodeToString
	return fmt.Sprintf(`{"keys": [{"kty": "EC", "kid": "a", "crv": "P-256", "x": %q, "y": %q}, {"kty": "RSA", "kid": "b", "n": %q, "e": %q}]}`,
		b64(point[1:33]), b64(point[33:]), b64(s.rsa.N.Bytes()), b64(big.NewInt(int64(s.rsa.E)).Bytes()))
}

// token signs good claims that changes change; nil removes one.
func (s signer) token(t *testing.T, method jwt.SigningMethod, kid string, key any, changes jwt.MapClaims) string {
	t.Helper()
	c := jwt.MapClaims{"iss": "https://id.example", "aud": "orders", "sub": "partner", "exp": time.Now().Add(time.Hour).Unix()}
	maps.Copy(c, changes)
	maps.DeleteFunc(c, func(_ string, v any) bool { return v == nil })
	token := jwt.NewWithClaims(method, c)
	token.Header["kid"] = kid
	text, err := token.SignedString(key)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestASignedTokenIdentifiesTheCaller(t *testing.T) {
	s, other := newSigner(t), newSigner(t)
	h := hosttest.Start(t, signedManifest, hosttest.Options{
		Registry: newPlant(t).reg, Files: map[string]string{"tokens.yaml": tokensFile("listed", ""), "jwks.json": s.jwks(t)},
	})
	es := func(changes jwt.MapClaims) string { return s.token(t, jwt.SigningMethodES256, "a", s.ec, changes) }
	good := es(nil)
	point, err := s.ec.PublicKey.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(good, ".")
	duplicate := base64.RawURLEncoding.EncodeToString([]byte(`{"sub":"partner","sub":"admin"}`))
	for name, tc := range map[string]struct{ token, want string }{
		"good":                    {good, ""},
		"a second time":           {good, ""},
		"PS256":                   {s.token(t, jwt.SigningMethodPS256, "b", s.rsa, nil), ""},
		"a list of audiences":     {es(jwt.MapClaims{"aud": []string{"other", "orders"}}), ""},
		"within the leeway":       {es(jwt.MapClaims{"exp": time.Now().Add(-10 * time.Second).Unix()}), ""},
		"of the list":             {"listed", ""},
		"not in the list":         {"junk", "unknown token"},
		"expired":                 {es(jwt.MapClaims{"exp": time.Now().Add(-time.Hour).Unix()}), "the token expired at "},
		"without exp":             {es(jwt.MapClaims{"exp": nil}), "needs iss, aud and exp"},
		"without aud":             {es(jwt.MapClaims{"aud": nil}), "needs iss, aud and exp"},
		"without iss":             {es(jwt.MapClaims{"iss": nil}), "needs iss, aud and exp"},
		"other issuer":            {es(jwt.MapClaims{"iss": "https://id.example.evil"}), "of another issuer"},
		"other audience":          {es(jwt.MapClaims{"aud": "order"}), "for another audience"},
		"not valid yet":           {es(jwt.MapClaims{"nbf": time.Now().Add(time.Hour).Unix()}), "not valid yet"},
		"issued later":            {es(jwt.MapClaims{"iat": time.Now().Add(time.Hour).Unix()}), "not valid yet"},
		"without sub":             {es(jwt.MapClaims{"sub": nil}), "no text as sub"},
		"sub is a list":           {es(jwt.MapClaims{"sub": []string{"partner"}}), "no text as sub"},
		"sub is a pattern":        {es(jwt.MapClaims{"sub": "part*"}), "no rule can match"},
		"sub is anonymous":        {es(jwt.MapClaims{"sub": "anonymous"}), "no rule can match"},
		"sub in capitals":         {es(jwt.MapClaims{"sub": nil, "SUB": "partner"}), "no text as sub"},
		"none":                    {s.token(t, jwt.SigningMethodNone, "a", jwt.UnsafeAllowNoneSignatureType, nil), "signature"},
		"HS256 by the public key": {s.token(t, jwt.SigningMethodHS256, "a", point, nil), "signature"},
		"algorithm of other key":  {s.token(t, jwt.SigningMethodRS256, "a", s.rsa, nil), "key of the token is unknown"},
		"unknown kid":             {s.token(t, jwt.SigningMethodES256, "../../dev/null", s.ec, nil), "key of the token is unknown"},
		"signed by another":       {s.token(t, jwt.SigningMethodES256, "a", other.ec, nil), "signature"},
		"other claims":            {parts[0] + "." + duplicate + "." + parts[2], "cannot be parsed"},
		"junk in base64":          {parts[0] + ".%%." + parts[2], "cannot be parsed"},
		"nested":                  {parts[0] + "." + base64.RawURLEncoding.EncodeToString([]byte(strings.Repeat("[", 3000))) + ".", "cannot be parsed"},
	} {
		e := with(t, h, "Bearer "+tc.token)
		switch {
		case tc.want == "" && e != nil:
			t.Errorf("%s: %v", name, e)
		case tc.want != "" && (e == nil || e.Code != code.Unauthenticated || !strings.Contains(e.Message, tc.want) || strings.Contains(e.Message, parts[2])):
			t.Errorf("%s: %v, want %q", name, e, tc.want)
		}
		status := 200
		if tc.want != "" {
			status = 401
		}
		if res, body := h.Post("/Arith/Mul", "{}", "Authorization", "Bearer "+tc.token); res.StatusCode != status {
			t.Errorf("%s over HTTP: %s %s", name, res.Status, body)
		}
	}

	h.Write("jwks.json", `{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}`)
	if r := h.Revision(); r.Result != host.ResultApplied || !strings.Contains(r.Warnings.Error(), "oct is a shared secret") ||
		!strings.Contains(r.Warnings.Error(), "the previous content stays in use") {
		t.Errorf("invalid keys: %s %v %v", r.Result, r.Problems, r.Warnings)
	}
	if e := with(t, h, good); e != nil {
		t.Errorf("with the keys before: %v", e)
	}
	h.Write("jwks.json", other.jwks(t))
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Errorf("other keys: %s %v", r.Result, r.Problems)
	}
	if e := with(t, h, good); e == nil || e.Code != code.Unauthenticated {
		t.Errorf("a token of the keys before: %v", e)
	}
	if e := with(t, h, other.token(t, jwt.SigningMethodES256, "a", other.ec, nil)); e != nil {
		t.Errorf("a token of the keys now: %v", e)
	}
}
