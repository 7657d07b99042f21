package policies_test

import (
	"net/netip"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/easymicro/easymicro/policies"
)

type metadata map[string]string

func (m metadata) Get(key string) string { return m[key] }

func TestKeysAreShownByTheirParts(t *testing.T) {
	c := policies.Call{Caller: "web", Peer: netip.MustParseAddr("10.0.0.7"), Metadata: metadata{
		"tenant": "acme", "odd": "a, metadata.x=b", "line": "a\nb\x1b[2J", "turn": "a\u202eb", "blank": " ",
	}}
	for _, tc := range []struct {
		parts string
		want  string
	}{
		{"caller", "caller=web"},
		{"peer", "peer=10.0.0.7"},
		{"metadata.tenant", "metadata.tenant=acme"},
		{"metadata.none", "metadata.none=(none)"},
		{"peer/56", "peer/56=10.0.0.7"},
		{"method", "method=Arith/Mul"},
		{"caller metadata.tenant", "caller=web, metadata.tenant=acme"},
		{"metadata.odd", `metadata.odd="a, metadata.x=b"`},
		{"metadata.line", `metadata.line="a\nb\x1b[2J"`},
		{"metadata.turn", `metadata.turn="a\u202eb"`},
		{"metadata.blank", `metadata.blank=" "`},
	} {
		if got := policies.KeyText(strings.Fields(tc.parts), mul, &c); got != tc.want {
			t.Errorf("%s: %s, want %s", tc.parts, got, tc.want)
		}
	}
}

func TestAPeerOfIPv6IsShownAsItsNetwork(t *testing.T) {
	c := policies.Call{Peer: netip.MustParseAddr("2001:db8:1:2ff:3::4")}
	for part, want := range map[string]string{"peer": "2001:db8:1:2ff::/64", "peer/64": "2001:db8:1:2ff::/64", "peer/56": "2001:db8:1:200::/56", "peer/128": "2001:db8:1:2ff:3::4"} {
		if got := policies.KeyText([]string{part}, mul, &c); got != part+"="+want {
			t.Errorf("%s, want %s", got, want)
		}
	}
	if got := policies.KeyText([]string{"peer"}, mul, &policies.Call{}); got != "peer=(none)" {
		t.Error(got)
	}
}

func TestKeysThatDifferAreShownAsTwo(t *testing.T) {
	long := strings.Repeat("ü", 100)
	for _, tc := range []struct{ name, a, b string }{
		{"tenant", long + "a", long + "b"},
		{"tenant", "\xff\xfe", "\xfe\xff"},
		{"tenant", "", "(none)"},
		{"x-api-key", "k-1", "k-2"},
		{"tenant", "a b", `"a b"`},
	} {
		part := []string{"metadata." + tc.name}
		show := func(v string) string {
			return policies.KeyText(part, mul, &policies.Call{Metadata: metadata{tc.name: v}})
		}
		a, b := show(tc.a), show(tc.b)
		if a == b || a != show(tc.a) {
			t.Errorf("%q and %q are both %s", tc.a, tc.b, a)
		}
		for _, text := range []string{a, b} {
			if !utf8.ValidString(text) || len(text) > 160 {
				t.Errorf("%q is shown as %q", tc.a, text)
			}
		}
	}
}

func TestKeysThatMayBeSecretAreNotShown(t *testing.T) {
	const secret = "s3cr3t-value"
	for _, name := range []string{
		"authorization", "Authorization", "__AUTH", "x-api-key", "apikey", "X-Auth", "token", "x-access-token", "cookie", "session_id", "client.secret", "pwd",
	} {
		text := policies.KeyText([]string{"metadata." + name}, mul, &policies.Call{Metadata: metadata{name: secret}})
		if strings.Contains(text, secret) || !strings.Contains(text, "(hidden #") {
			t.Errorf("%s: %s", name, text)
		}
	}
	for _, value := range []string{"Bearer " + secret, "basic " + secret, "eyJhbGciOi." + secret + ".sig"} {
		if text := policies.KeyText([]string{"metadata.who"}, mul, &policies.Call{Metadata: metadata{"who": value}}); strings.Contains(text, secret) {
			t.Errorf("%s: %s", value, text)
		}
	}
	for _, name := range []string{"tenant", "x-author", "monkey", "passenger", "keyboard"} {
		if text := policies.KeyText([]string{"metadata." + name}, mul, &policies.Call{Metadata: metadata{name: "acme"}}); !strings.HasSuffix(text, "=acme") {
			t.Errorf("%s: %s", name, text)
		}
	}
}
