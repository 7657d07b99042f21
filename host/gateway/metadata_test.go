package gateway

import (
	"fmt"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/wire"
)

func TestHeadersBecomeTheDocumentedMetadata(t *testing.T) {
	b := &backend{}
	url := "http://" + serve(t, b, Options{}) + "/Arith/Mul"
	const trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	for _, tc := range []struct {
		name   string
		header []string
		want   wire.Metadata
	}{
		{"none", []string{"X-Custom: 1", "User-Agent: curl", "Cookie: a=b"}, nil},
		{
			"trace",
			[]string{"traceparent: " + trace, "tracestate: a=1", "tracestate: b=2", "baggage: k=v"},
			wire.Metadata{{"traceparent", trace}, {"tracestate", "a=1,b=2"}, {"baggage", "k=v"}},
		},
		{"bearer", []string{"Authorization: Bearer  t0ken"}, wire.Metadata{{"__AUTH", "t0ken"}}},
		{"bearer in lower case", []string{"Authorization: bearer t0ken"}, wire.Metadata{{"__AUTH", "t0ken"}}},
		{"raw", []string{"Authorization: t0ken"}, wire.Metadata{{"__AUTH", "t0ken"}}},
		{"meta", []string{"X-RPCX-Meta: b=2&a=1+x&b=3&c", "X-RPCX-Meta: d=4"}, wire.Metadata{{"b", "2"}, {"a", "1 x"}, {"c", ""}, {"d", "4"}}},
		{"meta of the other family", []string{"Easymicro-Meta: a=1", "X-RPCX-Meta: b=2"}, wire.Metadata{{"a", "1"}}},
		{"reserved", []string{"Easymicro-Meta: __AUTH=x&__ServerTimeout=1&--auth=x&x-em-code=OK&X_Em_Rule=r&x.em.host=h&" +
			"%20__AUTH=x&__rpcx_error__=e&easymicro_error__=e&X-Forwarded-For=1&caller=root&Caller=root&authorization=x&_one=1"}, wire.Metadata{{"_one", "1"}}},
		{
			"ours win",
			[]string{"Easymicro-Meta: traceparent=fake&__AUTH=fake", "traceparent: " + trace, "Authorization: Bearer t"},
			wire.Metadata{{"traceparent", trace}, {"__AUTH", "t"}},
		},
		{"case is no difference", []string{"Easymicro-Meta: Color=red&color=blue&COLOR=x&TraceParent=fake", "traceparent: " + trace}, wire.Metadata{{"Color", "red"}, {"traceparent", trace}}},
		{"reserved headers", []string{"X-Em-Caller: root", "X_em_caller: root", "__AUTH: x", "X-Em-Timeout: 1"}, nil},
	} {
		r := do(t, "POST", url, `{"a":1}`, tc.header...)
		f, _ := b.lastCall()
		if r.StatusCode != 200 {
			t.Errorf("%s: %d %s", tc.name, r.StatusCode, r.body)
		} else if d := cmp.Diff(tc.want, f.Metadata); d != "" {
			t.Errorf("%s: %s", tc.name, d)
		}
	}
}

func TestMetadataIsBounded(t *testing.T) {
	url := "http://" + serve(t, &backend{}, Options{}) + "/Arith/Mul"
	var many strings.Builder
	for i := range 65 {
		fmt.Fprintf(&many, "k%d=v&", i)
	}
	for name, meta := range map[string]string{"pairs": many.String(), "bytes": "k=" + strings.Repeat("v", 8<<10)} {
		r := do(t, "POST", url, "{}", "Easymicro-Meta: "+meta)
		if r.StatusCode != 413 || r.problem.Reason != "too_large" {
			t.Errorf("%s: %d %s", name, r.StatusCode, r.body)
		}
	}
	if r := do(t, "POST", url, "{}", "Authorization: a", "Authorization: b"); r.StatusCode != 400 {
		t.Errorf("two tokens: %d", r.StatusCode)
	}
}

func TestReplyMetadataIsAHeaderWithoutReservedKeys(t *testing.T) {
	url := "http://" + serve(t, &backend{}, Options{}) + "/Arith/Meta"
	if r := do(t, "POST", url, "{}"); r.Header.Get("Easymicro-Meta") != "server=hi+this+is+server+md" {
		t.Errorf("plain: %v", r.Header)
	}
	if r := do(t, "POST", url, "{}", "X-RPCX-Version: 1"); r.Header.Get("X-Rpcx-Meta") != "server=hi+this+is+server+md" || r.Header.Get("Easymicro-Meta") != "" {
		t.Errorf("rpcx: %v", r.Header)
	}
}

func TestThePeerIsTheLastUntrustedHop(t *testing.T) {
	b := &backend{}
	own := "http://" + serve(t, b, Options{}) + "/Arith/Mul"
	behind := "http://" + serve(t, b, Options{TrustedProxies: []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8"),
	}}) + "/Arith/Mul"
	for _, tc := range []struct{ url, forwarded, want string }{
		{own, "", "127.0.0.1"},
		{own, "203.0.113.9", "127.0.0.1"},
		{behind, "", "127.0.0.1"},
		{behind, "203.0.113.9", "203.0.113.9"},
		{behind, "198.51.100.1, 203.0.113.9", "203.0.113.9"},
		{behind, "198.51.100.1, 203.0.113.9, 10.1.2.3", "203.0.113.9"},
		{behind, "203.0.113.9:4711, [fd00::1]:80", "203.0.113.9"},
		{behind, "2001:db8::7", "2001:db8::7"},
		{behind, "::ffff:203.0.113.9", "203.0.113.9"},
		{behind, "10.9.9.9, 10.1.2.3", "10.9.9.9"},
		{behind, "203.0.113.9, unknown, 10.1.2.3", "10.1.2.3"},
		{behind, "unknown", "127.0.0.1"},
		{behind, "203.0.113.9, , ,", "203.0.113.9"},
		{behind, "203.0.113.9, [fd00::1", "127.0.0.1"},
		{behind, "203.0.113.9, [[fd00::1]]", "127.0.0.1"},
		{behind, "203.0.113.9, [10.1.2.3]", "127.0.0.1"},
		{behind, "[2001:db8::7], fd00::1", "2001:db8::7"},
		{behind, "[2001:db8::7%eth0]:80", "2001:db8::7"},
		{behind, "198.51.100.1\nX-Forwarded-For: 203.0.113.9\nX-Forwarded-For: 10.1.2.3, 10.1.2.4", "203.0.113.9"},
		{behind, "203.0.113.9" + strings.Repeat(",10.1.2.3", maxHops), "10.1.2.3"},
		{behind, "203.0.113.9" + strings.Repeat(",10.1.2.3", maxHops-1), "203.0.113.9"},
	} {
		do(t, "POST", tc.url, "{}", strings.Split("X-Forwarded-For: "+tc.forwarded, "\n")...)
		if _, c := b.lastCall(); c.Peer().String() != tc.want || c.Transport() != "http" {
			t.Errorf("%q: peer %s, want %s", tc.forwarded, c.Peer(), tc.want)
		}
	}
}

func TestOnlyAValidTraceparentGivesATraceID(t *testing.T) {
	const id = "0af7651916cd43dd8448eb211c80319c"
	for in, want := range map[string]string{
		"00-" + id + "-b7ad6b7169203331-01":                       id,
		"01-" + id + "-b7ad6b7169203331-01-more":                  id,
		"00-" + strings.ToUpper(id) + "-b7ad6b7169203331-01":      "",
		"00-" + strings.Repeat("0", 32) + "-b7ad6b7169203331-01":  "",
		"00-" + id[:31] + "-b7ad6b7169203331-01":                  "",
		"":                                                        "",
		`00-0af7651916cd43dd8448eb211c8031"c-b7ad6b7169203331-01`: "",
	} {
		if got := traceID(in); got != want {
			t.Errorf("%q gives %q", in, got)
		}
	}
}
