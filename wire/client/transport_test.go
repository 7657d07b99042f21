package client

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"math/big"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

func TestUnixSocketsAreEndpoints(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, handler: mul}
	s.serve(ln)
	t.Cleanup(s.kill)
	names := newNames()
	names.set("Arith", Endpoint{Network: "unix", Address: path})
	if err := six(t.Context(), newClient(t, Options{Resolver: names})); err != nil {
		t.Error(err)
	}
}

// certified is a certificate for names, and the pool that trusts it.
func certified(t *testing.T, names ...string) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: names[0]}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, cert, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

func TestTLSServerNameDefaultsToTheHostOfTheAddress(t *testing.T) {
	cert, pool := certified(t, "localhost", "billing.internal")
	asked := make(chan string, 10)
	inner, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{t: t, handler: mul}
	s.serve(tls.NewListener(inner, &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		asked <- h.ServerName
		return &cert, nil
	}}))
	t.Cleanup(s.kill)
	_, port, _ := net.SplitHostPort(inner.Addr().String())
	for _, tc := range []struct {
		host, name, asked string
		ok                bool
	}{
		{"localhost", "", "localhost", true},
		{"127.0.0.1", "billing.internal", "billing.internal", true},
		{"127.0.0.1", "other.internal", "other.internal", false},
	} {
		names := serving(net.JoinHostPort(tc.host, port))
		conf := &tls.Config{RootCAs: pool, ServerName: tc.name}
		c := newClient(t, Options{Resolver: names, TLS: conf, ConnectTimeout: 10 * time.Second})
		err := six(t.Context(), c)
		if (err == nil) != tc.ok {
			t.Errorf("%s as %q: %v", tc.host, tc.name, err)
		}
		if !tc.ok {
			wantError(t, err, code.Unavailable, code.ReasonNoEndpoint)
		}
		if got := <-asked; got != tc.asked {
			t.Errorf("asked for %q, want %q", got, tc.asked)
		}
		_ = c.Close()
	}
}

func TestStalledTLSHandshakesCountTowardsConnectTimeout(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c := newClient(t, Options{Resolver: serving(ln.Addr().String()), TLS: &tls.Config{}, ConnectTimeout: 50 * time.Millisecond})
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	wantError(t, six(ctx, c), code.Unavailable, code.ReasonNoEndpoint)
}
