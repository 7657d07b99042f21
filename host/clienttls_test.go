package host_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := new(authority)
	var der []byte
	der, a.key = certify(t, "ca", nil)
	var err error
	a.cert, err = x509.ParseCertificate(der)
	must(t, err)
	a.pem = inPEM("CERTIFICATE", der)
	return a
}

// issue is a certificate of a name, and its key.
func (a *authority) issue(t *testing.T, name string, shape ...func(*x509.Certificate)) (cert, key string) {
	t.Helper()
	der, private := certify(t, name, a, shape...)
	keyDER, err := x509.MarshalECPrivateKey(private)
	must(t, err)
	return inPEM("CERTIFICATE", der), inPEM("EC PRIVATE KEY", keyDER)
}

func certify(t *testing.T, name string, by *authority, shape ...func(*x509.Certificate)) ([]byte, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	for _, f := range shape {
		f(c)
	}
	parent, signer := c, key
	if by == nil {
		c.IsCA, c.BasicConstraintsValid, c.KeyUsage = true, true, x509.KeyUsageCertSign
	} else {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, signer)
	must(t, err)
	return der, key
}

func inPEM(kind string, der []byte) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

// tlsFront ends TLS before a host, of peers that have a certificate of the authority.
type tlsFront struct {
	*relay
	last atomic.Value // the name of the last peer
}

func startTLSFront(t *testing.T, a *authority, name, to string) *tlsFront {
	t.Helper()
	cert, key := a.issue(t, name)
	pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
	must(t, err)
	pool := x509.NewCertPool()
	pool.AddCert(a.cert)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{pair}, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert,
	})
	must(t, err)
	f := new(tlsFront)
	f.relay = relayed(t, ln, to, f.letIn)
	return f
}

func (f *tlsFront) letIn(c net.Conn) bool {
	in := c.(*tls.Conn)
	if in.Handshake() != nil {
		return false
	}
	f.last.Store(in.ConnectionState().PeerCertificates[0].Subject.CommonName)
	return true
}

func TestAnUpstreamIsCalledOverTLSWithCertificatesThatChange(t *testing.T) {
	t.Parallel()
	far, _ := startTill(t, 0)
	ca := newAuthority(t)
	front := startTLSFront(t, ca, "billing.internal", far.Address)
	cert, key := ca.issue(t, "host-1")
	h := hosttest.Start(t, fmt.Sprintf(`
services: [{name: Desk, handler: test.desk, uses: {till: till}}]
upstreams:
  - {name: till, service: Till, resolve: {endpoints: [%q]}, tls: {caFile: ca.pem, certFile: host.pem, keyFile: host.key, serverName: billing.internal}}
`, front.address), hosttest.Options{Registry: deskPlant(t).reg, Files: map[string]string{"ca.pem": ca.pem, "host.pem": cert, "host.key": key}})
	answers := func(as string) {
		t.Helper()
		eventually(t, "the upstream answers "+as, func() bool {
			got, err := mul(t, h, 6, 7)
			return err == nil && got == 42 && front.last.Load() == as
		})
	}
	answers("host-1")

	cert, key = ca.issue(t, "host-2")
	h.Write("host.pem", cert) // and not yet the key
	r := h.Revision()
	if len(r.Warnings) != 1 || r.Result != host.ResultApplied || !strings.Contains(r.Warnings[0].String(), "host.pem and host.key do not match") ||
		!strings.Contains(r.Warnings[0].String(), "stays in use") {
		t.Errorf("%s %v %v", r.Result, r.Problems, r.Warnings)
	}
	front.cut()
	answers("host-1")
	h.Write("host.key", key)
	if r := h.Revision(); r.Result != host.ResultApplied || len(r.Warnings) != 0 {
		t.Errorf("%s %v %v", r.Result, r.Problems, r.Warnings)
	}
	answers("host-2")

	for _, tc := range []struct{ file, text, want string }{
		{"ca.pem", newAuthority(t).pem, "add the CA that signed the server's certificate to caFile of tls"},
		{"ca.pem", ca.pem, ""},
	} {
		h.Write(tc.file, tc.text)
		if r := h.Revision(); r.Result != host.ResultApplied {
			t.Fatal(r.Problems)
		}
		if tc.want != "" {
			eventually(t, "the error says "+tc.want, func() bool {
				_, err := mul(t, h, 6, 7)
				return err != nil && strings.Contains(err.Error(), tc.want)
			})
		}
	}
	answers("host-2")
	h.Edit("easymicro.yaml", "serverName: billing.internal", "serverName: other.internal")
	h.Revision()
	eventually(t, "the error speaks of the name", func() bool {
		_, err := mul(t, h, 6, 7)
		return err != nil && strings.Contains(err.Error(), "set serverName of tls to a name in the server's certificate")
	})
}

func TestTheTLSFilesOfEtcdAreCheckedAtTheirPlace(t *testing.T) {
	ca := newAuthority(t)
	cert, _ := ca.issue(t, "host-1")
	_, key := ca.issue(t, "host-2")
	for _, tc := range []struct{ tls, want string }{
		{"{caFile: empty.pem}", "discovery.etcd[0].tls.caFile: empty.pem contains no PEM certificate"},
		{"{caFile: none.pem}", "discovery.etcd[0].tls.caFile: none.pem cannot be read: "},
		{"{certFile: host.pem, keyFile: host.key}", "discovery.etcd[0].tls.certFile: host.pem and host.key do not match"},
	} {
		dir := t.TempDir()
		for name, text := range map[string]string{"empty.pem": "hello", "host.pem": cert, "host.key": key} {
			writeFile(t, filepath.Join(dir, name), text)
		}
		m, problems := config.DecodeManifest("easymicro.yaml",
			[]byte("services: []\ndiscovery:\n  etcd:\n    - {name: main, endpoints: ['https://127.0.0.1:1'], tls: "+tc.tls+"}\n"), nil)
		must(t, problems.Err())
		h, err := host.Open(t.Context(), &config.Set{Manifest: m, Dir: dir}, host.Options{Registry: newPlant(t).reg})
		if err == nil {
			h.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "easymicro.yaml:4:") {
			t.Errorf("%s: %v", tc.tls, err)
		}
	}
}
