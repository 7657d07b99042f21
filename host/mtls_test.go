package host_test

import (
	"crypto/tls"
	"crypto/x509"
	"net/url"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire/code"
)

const mtlsManifest = `
listeners: [{name: main, address: "127.0.0.1:0", tls: {certFile: host.pem, keyFile: host.key, clientCAFile: ca.pem, clientAuth: request}}]
auth: {identify: [mtls, token], mtls: {callerFrom: san.uri}, tokens: {file: tokens.yaml}}
services: [{name: Arith, handler: test.arith}]
policies:
  rules:
    - {name: known, match: {service: Arith}, access: {allow: [{caller: "spiffe://example/web"}, {caller: web.internal}, {caller: web}, {caller: partner}]}}
`

func TestACertificateIdentifiesItsCaller(t *testing.T) {
	ca := hosttest.NewAuthority(t)
	cert, key := ca.Issue(t, "host.internal")
	h := hosttest.Start(t, mtlsManifest, hosttest.Options{Registry: newPlant(t).reg, Files: map[string]string{
		"ca.pem": ca.PEM, "host.pem": cert, "host.key": key, "tokens.yaml": tokensFile("batch-token", ""),
	}})
	s := &secured{h, ca}
	named := func(uri, dns, cn string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.Subject.CommonName, c.DNSNames = cn, nil
			if uri != "" {
				u, err := url.Parse(uri)
				must(t, err)
				c.URIs = []*url.URL{u}
			}
			if dns != "" {
				c.DNSNames = []string{dns}
			}
		}
	}
	bearing := func(change func(*x509.Certificate)) *tls.Config {
		c := s.client(t, nil, "")
		c.Certificates = []tls.Certificate{ca.Pair(t, "client", change)}
		return c
	}
	web := bearing(named("spiffe://example/web", "web.internal", "web"))
	for _, from := range []string{"san.uri", "san.dns", "cn"} {
		if from != "san.uri" {
			h.Edit("easymicro.yaml", "callerFrom: "+map[string]string{"san.dns": "san.uri", "cn": "san.dns"}[from], "callerFrom: "+from)
			if r := h.Revision(); r.Result != host.ResultApplied {
				t.Fatal(r.Problems)
			}
		}
		if _, err := s.mul(t.Context(), web); err != nil {
			t.Errorf("%s: %v", from, err)
		}
		if got, err := s.postAs(t, web, ""); err != nil || !strings.Contains(got, `{"C":42}`) {
			t.Errorf("%s over HTTP: %s %v", from, got, err)
		}
		_, err := s.mul(t.Context(), bearing(named("spiffe://example/other", "other.internal", "other")))
		if e := code.From(err); e == nil || e.Code != code.PermissionDenied {
			t.Errorf("%s: another certificate: %v", from, err)
		}
	}
	h.Edit("easymicro.yaml", "callerFrom: cn", "callerFrom: san.dns")
	must(t, h.Revision().Problems.Err())
	for _, c := range []*tls.Config{s.client(t, nil, ""), bearing(named("", "", "cn")), bearing(named("", "*.internal", "cn"))} {
		if _, err := s.mul(t.Context(), c); code.From(err).Code != code.PermissionDenied {
			t.Errorf("a caller without a name: %v", err)
		}
		if got, err := s.postAs(t, c, "batch-token"); err != nil || !strings.Contains(got, `{"C":42}`) {
			t.Errorf("the token of a caller without a name: %s %v", got, err)
		}
		if got, err := s.postAs(t, c, "bad-token"); err != nil || !strings.Contains(got, "UNAUTHENTICATED") {
			t.Errorf("a bad token of a caller without a name: %s %v", got, err)
		}
	}
	if got, err := s.postAs(t, web, "bad-token"); err != nil || !strings.Contains(got, `{"C":42}`) {
		t.Errorf("the certificate comes first: %s %v", got, err)
	}
}
