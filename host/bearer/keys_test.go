package bearer_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host/bearer"
)

func TestKeysThatCannotVerifyAreRefused(t *testing.T) {
	for _, tc := range []struct{ text, want string }{
		{``, "is not a JSON Web Key Set"},
		{`{"keys": [], "keys": []}`, "is not a JSON Web Key Set"},
		{`{"keys": []}`, "no key that verifies"},
		{`{"keys": [{"kty": "oct"}]}`, "keys[0].kty: oct is a shared secret"},
		{`{"keys": [{"kty": "new"}]}`, "no key that verifies"},
		{`{"keys": [{"kty": "EC", "d": "AQ"}]}`, "keys[0].d: is a private key"},
		{`{"keys": [{"kty": "EC", "use": "enc"}]}`, "no key that verifies"},
		{`{"keys": [{"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}]}`, "are not a point of P-256"},
		{`{"keys": [{"kty": "RSA", "n": "AQAB", "e": "AQAB"}]}`, "keys[0].n: has 17 bits"},
		{`{"keys": [{"kty": "OKP", "crv": "Ed25519", "x": "AQ"}]}`, "keys[0].x: is not 32 bytes"},
		{`{"keys": [` + strings.Repeat(`{"kty": "new"},`, 100) + `{"kty": "new"}]}`, "has 101 keys"},
		{`{"keys": [` + ed + `, ` + ed + `]}`, "keys[1].kid: an earlier key has the same"},
		{`{"keys": [` + strings.Replace(ed, `{`, `{"alg": "HS256", `, 1) + `]}`, "keys[0].alg: does not go with the key"},
	} {
		if _, err := bearer.ParseKeys([]byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%.80s: %v, want %q", tc.text, err, tc.want)
		}
	}
}

const ed = `{"kty": "OKP", "kid": "a", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}`

// FuzzCaller proves that no text without a signature names a caller.
func FuzzCaller(f *testing.F) {
	keys, err := bearer.ParseKeys([]byte(`{"keys": [` + ed + `]}`))
	if err != nil {
		f.Fatal(err)
	}
	v := bearer.New(keys, nil, bearer.Options{Issuer: "i", Audience: "a", CallerClaim: "sub"})
	f.Add("eyJhbGciOiJub25lIn0.eyJpc3MiOiJpIiwiYXVkIjoiYSIsInN1YiI6InMiLCJleHAiOjk5OTk5OTk5OTl9.")
	f.Add("eyJhbGciOiJFZERTQSIsImtpZCI6ImEifQ.e30.AAAA")
	f.Add(strings.Repeat("a", 16<<10+1))
	f.Fuzz(func(t *testing.T, token string) {
		if caller, _, err := v.Caller(t.Context(), netip.Addr{}, token); err == nil {
			t.Errorf("%q is accepted as %q", token, caller)
		}
	})
}
