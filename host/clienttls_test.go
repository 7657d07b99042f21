package host_test

import (
	"crypto/tls"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
)

// tlsFront ends TLS before a host, of peers that have a certificate of the authority.
type tlsFront struct {
	*relay
	last    atomic.Value                  // the name of the last peer
	held    atomic.Pointer[chan struct{}] // handshakes wait until it is closed; nil: they do not
	waiting atomic.Int32                  // handshakes that wait
}

// hold has handshakes wait until release is called.
func (f *tlsFront) hold(t *testing.T) (release func()) {
	held := make(chan struct{})
	f.held.Store(&held)
	release = sync.OnceFunc(func() {
		f.held.Store(nil)
		close(held)
	})
	t.Cleanup(release)
	return release
}

func (f *tlsFront) await(*tls.ClientHelloInfo) (*tls.Config, error) {
	if held := f.held.Load(); held != nil {
		f.waiting.Add(1)
		<-*held
		f.waiting.Add(-1)
	}
	return nil, nil //nolint:nilnil // the configuration stays
}

func startTLSFront(t *testing.T, a *hosttest.Authority, name, to string) *tlsFront {
	t.Helper()
	f := new(tlsFront)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		GetConfigForClient: f.await, MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{a.Pair(t, name)}, ClientCAs: a.Pool, ClientAuth: tls.RequireAndVerifyClientCert,
	})
	must(t, err)
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
	ca := hosttest.NewAuthority(t)
	front := startTLSFront(t, ca, "billing.internal", far.Address)
	cert, key := ca.Issue(t, "host-1")
	h := hosttest.Start(t, fmt.Sprintf(`
services: [{name: Desk, handler: test.desk, uses: {till: till}}]
upstreams:
  - {name: till, service: Till, resolve: {endpoints: [%q]}, tls: {caFile: ca.pem, certFile: host.pem, keyFile: host.key, serverName: billing.internal}}
`, front.address), hosttest.Options{Registry: deskPlant(t).reg, Files: map[string]string{"ca.pem": ca.PEM, "host.pem": cert, "host.key": key}})
	answers := func(as string) {
		t.Helper()
		eventually(t, "the upstream answers "+as, func() bool {
			got, err := mul(t, h, 6, 7)
			return err == nil && got == 42 && front.last.Load() == as
		})
	}
	answers("host-1")

	cert, key = ca.Issue(t, "host-2")
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
		{"ca.pem", hosttest.NewAuthority(t).PEM, "add the CA that signed the server's certificate to caFile of tls"},
		{"ca.pem", ca.PEM, ""},
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
	ca := hosttest.NewAuthority(t)
	cert, _ := ca.Issue(t, "host-1")
	_, key := ca.Issue(t, "host-2")
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
