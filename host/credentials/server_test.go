package credentials_test

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host/credentials"
	"github.com/easymicro/easymicro/host/hosttest"
)

const manifest = `
listeners: [{name: main, address: "127.0.0.1:0", tls: {certFile: host.pem, keyFile: host.key}}]
services: [{name: Arith, handler: samples.arith}]
`

func TestACertificateIsUsedOnceItIsValid(t *testing.T) {
	ca, dir := hosttest.NewAuthority(t), t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	read := func(running *credentials.Server, want string) *credentials.Server {
		t.Helper()
		set, err := load.Load(filepath.Join(dir, "easymicro.yaml"), load.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s, warnings, err := credentials.ServerTLS(set, set.Manifest.ServerTLS()[0], running)
		if err != nil {
			t.Fatal(err)
		}
		if got := warnings.Error(); !strings.Contains(got, want) || want == "" && len(warnings) > 0 {
			t.Errorf("warnings %q, want %q", got, want)
		}
		return s
	}
	cert, key := ca.Issue(t, "host.internal")
	write("easymicro.yaml", manifest)
	write("host.pem", cert)
	write("host.key", key)
	first := read(nil, "")

	from := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	cert, key = ca.Issue(t, "host.internal", func(c *x509.Certificate) { c.NotBefore = from })
	write("host.pem", cert)
	write("host.key", key)
	at := from.UTC().Format(time.RFC3339)
	if alone := read(nil, "is not valid before "+at+": clients refuse it until then"); !alone.Current(time.Now()).Leaf.NotBefore.Equal(from) {
		t.Error("the only certificate is not used")
	}
	waits := "is not valid before " + at + ": the previous one stays in use until then"
	second := read(first, waits)
	second = read(second, waits) // after an edit of something else
	write("host.key", strings.Replace(key, "EC PRIVATE KEY", "EC PRIVATE", 1))
	kept := read(second, "host.key")
	for name, s := range map[string]*credentials.Server{"the new pair": second, "a key that does not fit": kept} {
		if s.Current(from.Add(-time.Second)) != first.Certificate {
			t.Errorf("%s: the previous certificate is not used before", name)
		}
		if got := s.Current(from).Leaf.NotBefore; !got.Equal(from) {
			t.Errorf("%s: the certificate used then is valid from %s", name, got)
		}
	}
}
