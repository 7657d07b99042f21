package gateway

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/wire"
)

func TestMappedHeadersBecomeMetadata(t *testing.T) {
	b := &backend{}
	url := "http://" + serve(t, b, Options{
		Metadata: map[string]string{"x-tenant": "x-tenant", "Region": "X-Region"},
		Get:      []string{"Arith.Mul"},
		Routes:   []Route{{Path: "/v1/mul", Service: "Arith", Method: "Mul"}},
	})
	for _, tc := range []struct {
		name   string
		header []string
		want   wire.Metadata
		detail string // of a refusal
	}{
		{"none", nil, nil, ""},
		{"one", []string{"X-Tenant: acme"}, wire.Metadata{{"x-tenant", "acme"}}, ""},
		{"in another case", []string{"x-TENANT: acme"}, wire.Metadata{{"x-tenant", "acme"}}, ""},
		{"both", []string{"X-Tenant: acme", "X-Region: eu"}, wire.Metadata{{"Region", "eu"}, {"x-tenant", "acme"}}, ""},
		{"not mapped", []string{"X-Other: acme", "X_Tenant: acme"}, nil, ""},
		{"in Meta", []string{"Easymicro-Meta: X-Tenant=acme&region=eu"}, wire.Metadata{{"x-tenant", "acme"}, {"Region", "eu"}}, ""},
		{"in Meta of rpcx", []string{"X-RPCX-Meta: X-TENANT=acme"}, wire.Metadata{{"x-tenant", "acme"}}, ""},
		{"in Meta twice", []string{"Easymicro-Meta: X-Tenant=acme&x-tenant=other"}, wire.Metadata{{"x-tenant", "acme"}}, ""},
		{"in both, alike", []string{"X-Tenant: acme", "Easymicro-Meta: x-tenant=acme"}, wire.Metadata{{"x-tenant", "acme"}}, ""},
		{
			"in both, not alike",
			[]string{"X-Tenant: acme", "Easymicro-Meta: X-tenant=other"},
			nil,
			"the headers X-Tenant and Easymicro-Meta give x-tenant different values",
		},
		{"twice", []string{"X-Tenant: acme", "X-Tenant: other"}, nil, "more than one header X-Tenant"},
	} {
		for _, way := range [][2]string{{"POST", "/Arith/Mul"}, {"POST", "/v1/mul"}, {"GET", "/Arith/Mul?a=1"}} {
			r := do(t, way[0], url+way[1], `{"a":1}`, tc.header...)
			if tc.detail != "" {
				if r.StatusCode != 400 || r.problem.Detail != tc.detail {
					t.Errorf("%s: %d %s", tc.name, r.StatusCode, r.body)
				}
				continue
			}
			f, _ := b.lastCall()
			if d := cmp.Diff(tc.want, f.Metadata); r.StatusCode != 200 || d != "" {
				t.Errorf("%s, %s: %d %s", tc.name, way, r.StatusCode, d)
			}
		}
	}
}

func TestIdentityAndProtocolHeadersCannotBeMapped(t *testing.T) {
	for _, tc := range []struct{ name, header, want string }{
		{"x-tenant", "X-Tenant", ""},
		{"user", "User-Agent", ""},
		{"", "X-A", "the name \"\" must be"},
		{"a b", "X-A", "must be 1 to 128"},
		{"__AUTH", "X-A", "the name __AUTH is reserved"},
		{"x-em-code", "X-A", "reserved"},
		{"X_Em_Code", "X-A", "reserved"},
		{"caller", "X-A", "reserved"},
		{"Authorization", "X-A", "reserved"},
		{"x-forwarded-for", "X-A", "reserved"},
		{"easymicro-meta", "X-A", "reserved"},
		{"Traceparent", "X-A", "taken by traceparent"},
		{"a", "", "not a valid name of an HTTP header"},
		{"a", "X A", "not a valid name of an HTTP header"},
		{"a", "X-A: b", "not a valid name of an HTTP header"},
		{"a", "connection", "the header Connection is about the connection"},
		{"a", "te", "about the connection"},
		{"a", "Transfer-Encoding", "about the connection"},
		{"a", "Host", "about the connection"},
		{"a", "authorization", "the header Authorization is reserved"},
		{"a", "Cookie", "reserved"},
		{"a", "X-Forwarded-For", "reserved"},
		{"a", "X-Real-IP", "reserved"},
		{"a", "Easymicro-Meta", "reserved"},
		{"a", "X-RPCX-Meta", "reserved"},
		{"a", "X-Em-Caller", "reserved"},
		{"a", "traceparent", "already becomes the metadata traceparent"},
	} {
		problems := CheckMetadata(map[string]string{tc.name: tc.header})
		if tc.want == "" && len(problems) > 0 || tc.want != "" && (len(problems) != 1 || !strings.Contains(problems[0].Message, tc.want)) {
			t.Errorf("%q: %q: %v, want %q", tc.name, tc.header, problems, tc.want)
		}
	}
	for _, both := range []map[string]string{{"x-tenant": "X-A", "X_Tenant": "X-B"}, {"a": "X-A", "b": "x-a"}} {
		if problems := CheckMetadata(both); len(problems) != 1 {
			t.Errorf("%v: %v", both, problems)
		}
	}
}
