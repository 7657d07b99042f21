package config_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config"
)

func TestTheKeysOfSignedTokensAreAFileOrASecureURL(t *testing.T) {
	for _, tc := range []struct{ keys, want string }{
		{`jwksFile: a.json`, ""},
		{`jwksURL: "https://id.example/keys?v=1"`, ""},
		{`jwksURL: "https://id.example/keys", tls: {caFile: ca.pem}`, ""},
		{`jwksURL: "http://127.0.0.1:8080/keys"`, ""},
		{`jwksURL: "http://[::1]/keys"`, ""},
		{`jwksURL: "http://localhost/keys"`, ""},
		{`callerClaim: sub`, "auth.jwt: needs the keys of the issuer: set jwksFile or jwksURL"},
		{`jwksFile: a.json, jwksURL: "https://id.example/keys"`, "auth.jwt.jwksURL: sets the keys beside jwksFile: only one of them is allowed"},
		{`jwksFile: a.json, tls: {caFile: ca.pem}`, "auth.jwt.tls: is for jwksURL, which is not set: remove it"},
		{`jwksURL: "http://127.0.0.1/keys", tls: {caFile: ca.pem}`, "auth.jwt.tls: is not used: jwksURL is http://"},
		{`jwksURL: "http://id.example/keys"`, "auth.jwt.jwksURL: http:// lets anyone on the way replace the keys: use https://"},
		{`jwksURL: "http://127.0.0.1.id.example/keys"`, "auth.jwt.jwksURL: http:// lets anyone"},
		{`jwksURL: "https://me:secret@id.example/keys"`, "auth.jwt.jwksURL: contains credentials"},
		{`jwksURL: "https://id.example/keys#a"`, "auth.jwt.jwksURL: must not have a fragment (#)"},
		{`jwksURL: "ftp://id.example/keys"`, "auth.jwt.jwksURL: ftp:// is not supported: use https://"},
		{`jwksURL: "file:///etc/keys.json"`, `auth.jwt.jwksURL: "file:///etc/keys.json" is not a URL: want https://HOST/PATH`},
		{`jwksURL: keys.json`, `auth.jwt.jwksURL: "keys.json" is not a URL`},
		{`jwksURL: "https:keys"`, `auth.jwt.jwksURL: "https:keys" is not a URL`},
		{`jwksURL: "https://"`, `auth.jwt.jwksURL: "https://" is not a URL`},
	} {
		text := fmt.Sprintf("services: [{name: Arith, handler: samples.arith}]\nauth: {identify: [jwt], jwt: {issuer: i, audience: a, %s}}\n", tc.keys)
		m, problems := config.DecodeManifest("m.yaml", []byte(text), nil)
		problems = append(problems, (&config.Set{Manifest: m}).Validate()...)
		switch got := problems.Error(); {
		case tc.want == "" && len(problems) > 0, !strings.Contains(got, tc.want), strings.Contains(got, "me:secret"):
			t.Errorf("%s: %v, want %q", tc.keys, got, tc.want)
		case tc.want != "" && !strings.Contains(got, "m.yaml:2:"):
			t.Errorf("%s: %v does not name the line", tc.keys, got)
		}
	}
}
