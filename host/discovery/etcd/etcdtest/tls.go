package etcdtest

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"os"
	"path/filepath"
	"testing"

	"go.etcd.io/etcd/server/v3/embed"

	"github.com/easymicro/easymicro/host/hosttest"
)

// TLS makes a certificate. With the option, etcd serves it and requires one of the same CA of clients; the configuration is for clients.
func TLS(t testing.TB) (Option, *tls.Config) {
	t.Helper()
	ca := hosttest.NewAuthority(t)
	cert, key := ca.Issue(t, "etcdtest", func(c *x509.Certificate) { c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)} })
	dir := t.TempDir()
	certFile, keyFile, caFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem"), filepath.Join(dir, "ca.pem")
	must(t, os.WriteFile(certFile, []byte(cert), 0o600))
	must(t, os.WriteFile(keyFile, []byte(key), 0o600))
	must(t, os.WriteFile(caFile, []byte(ca.PEM), 0o600))
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	must(t, err)
	client := &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: ca.Pool, Certificates: []tls.Certificate{pair}}
	return func(s *Server) {
		s.scheme, s.tls = "https", client
		s.options = append(s.options, func(cfg *embed.Config) {
			cfg.ClientTLSInfo.CertFile, cfg.ClientTLSInfo.KeyFile = certFile, keyFile
			cfg.ClientTLSInfo.TrustedCAFile, cfg.ClientTLSInfo.ClientCertAuth = caFile, true
		})
	}, client
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
