package host_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
)

// secured is a host whose listener uses TLS, and what its clients know.
type secured struct {
	*hosttest.Host
	ca *hosttest.Authority
}

const securedManifest = `
listeners: [{name: main, address: "127.0.0.1:0", tls: {certFile: host.pem, keyFile: host.key%s}}]
services: [{name: Arith, handler: test.arith}]
`

// startSecured runs a host with a certificate for host.internal. more are further fields of tls.
func startSecured(t *testing.T, more string, o hosttest.Options) *secured {
	t.Helper()
	ca := hosttest.NewAuthority(t)
	cert, key := ca.Issue(t, "host.internal")
	o.Registry = newPlant(t).reg
	o.Files = map[string]string{"ca.pem": ca.PEM, "host.pem": cert, "host.key": key}
	return &secured{hosttest.Start(t, fmt.Sprintf(securedManifest, more), o), ca}
}

// client is the configuration of a client that trusts the authority of the host and has the certificate of a name, or none.
func (s *secured) client(t *testing.T, by *hosttest.Authority, name string) *tls.Config {
	t.Helper()
	c := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: "host.internal", RootCAs: s.ca.Pool}
	if name != "" {
		c.Certificates = []tls.Certificate{by.Pair(t, name)}
	}
	return c
}

// mul calls over rpcx, on a connection of its own.
func (s *secured) mul(ctx context.Context, c *tls.Config) (leaf *x509.Certificate, err error) {
	nc, err := (&tls.Dialer{Config: c}).DialContext(ctx, "tcp", s.Address)
	if err != nil {
		return nil, err
	}
	conn := wire.NewConn(nc, wire.ConnOptions{})
	defer conn.Close()
	var r reply
	if err := hosttest.CallJSON(ctx, conn, "Arith", "Mul", args{6, 7}, &r); err != nil {
		return nil, err
	}
	if r.C != 42 {
		return nil, fmt.Errorf("6 × 7 is %d", r.C)
	}
	return nc.(*tls.Conn).ConnectionState().PeerCertificates[0], nil
}

// web is an HTTP client. Close its idle connections.
func web(c *tls.Config, http2 bool) *http.Client {
	p := new(http.Protocols)
	p.SetHTTP1(!http2)
	p.SetHTTP2(http2)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: c.Clone(), Protocols: p}, Timeout: patience}
}

// post calls Mul over HTTP and returns the protocol of the response.
func (s *secured) post(c *http.Client) (string, error) {
	res, err := c.Post("https://"+s.Address+"/Arith/Mul", "application/json", strings.NewReader(`{"A":6,"B":7}`))
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err != nil || strings.TrimSpace(string(body)) != `{"C":42}` {
		return "", fmt.Errorf("%s %s %w", res.Status, body, err)
	}
	return res.Proto, nil
}

// postAs calls Mul over HTTP, with a token if it is not empty, and returns the body of the response.
func (s *secured) postAs(t *testing.T, c *tls.Config, token string) (string, error) {
	t.Helper()
	client := web(c, true)
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://"+s.Address+"/Arith/Mul", strings.NewReader(`{"A":6,"B":7}`))
	must(t, err)
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return string(body), err
}

func TestAListenerWithTLSServesRPCXAndHTTPOnOnePort(t *testing.T) {
	s := startSecured(t, "", hosttest.Options{})
	c := s.client(t, nil, "")
	_, err := s.mul(t.Context(), c)
	must(t, err)
	for _, http2 := range []bool{false, true} {
		client := web(c, http2)
		for range 3 { // the connection is used again
			got, err := s.post(client)
			if want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[http2]; err != nil || got != want {
				t.Errorf("%s, %v; want %s", got, err, want)
			}
		}
		client.CloseIdleConnections()
	}
	nc, err := tls.Dial("tcp", s.Address, c) // without ALPN
	must(t, err)
	defer nc.Close()
	_, err = io.WriteString(nc, strings.Replace(mulOverHTTP, "Host: h", "Host: localhost", 1))
	must(t, err)
	if got, err := io.ReadAll(nc); err != nil || !strings.Contains(string(got), `{"C":42}`) {
		t.Errorf("%q %v", got, err)
	}
	for version, ok := range map[uint16]bool{tls.VersionTLS11: false, tls.VersionTLS12: true, tls.VersionTLS13: true} {
		old := c.Clone()
		old.MinVersion, old.MaxVersion = tls.VersionTLS10, version
		if _, err := s.mul(t.Context(), old); (err == nil) != ok {
			t.Errorf("%s: %v", tls.VersionName(version), err)
		}
	}
}

// The files are replaced one after the other, as most programs do that renew certificates.
func TestACertificateIsReplacedUnderLoadWithoutALostCall(t *testing.T) {
	s := startSecured(t, "", hosttest.Options{})
	c := s.client(t, nil, "")
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	var calls atomic.Int64
	caller := func(call func() error) {
		callers.Go(func() {
			for ctx.Err() == nil {
				if err := call(); err != nil && ctx.Err() == nil {
					t.Error(err)
					stop()
				}
				calls.Add(1)
			}
		})
	}
	resuming := c.Clone()
	resuming.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	long, err := (&tls.Dialer{Config: c}).DialContext(t.Context(), "tcp", s.Address)
	must(t, err)
	kept := wire.NewConn(long, wire.ConnOptions{})
	defer kept.Close()
	caller(func() error { return hosttest.CallJSON(t.Context(), kept, "Arith", "Mul", args{6, 7}, new(reply)) })
	for _, conf := range []*tls.Config{c, resuming} {
		caller(func() error { _, err := s.mul(t.Context(), conf); return err })
	}
	for _, http2 := range []bool{false, true} {
		client := web(c, http2)
		defer client.CloseIdleConnections()
		caller(func() error { _, err := s.post(client); return err })
	}
	rounds := 10
	if testing.Short() {
		rounds = 3
	}
	for i := range rounds {
		name := fmt.Sprintf("round-%d", i)
		cert, key := s.ca.Issue(t, name, func(c *x509.Certificate) { c.DNSNames = []string{"host.internal"} })
		s.Write("host.pem", cert)
		s.Write("host.key", key)
		before := calls.Load()
		eventually(t, "new connections get the certificate "+name, func() bool {
			leaf, err := s.mul(t.Context(), c)
			return err == nil && leaf.Subject.CommonName == name && calls.Load() > before+50
		})
	}
	stop()
	callers.Wait()
}

func TestSessionsAreResumedAfterTheCertificateHasChanged(t *testing.T) {
	s := startSecured(t, ", clientCAFile: ca.pem, clientAuth: require", hosttest.Options{})
	c := s.client(t, s.ca, "client-1")
	c.ClientSessionCache = tls.NewLRUClientSessionCache(10)
	resumed := func() bool {
		t.Helper()
		nc, err := tls.Dial("tcp", s.Address, c)
		must(t, err)
		defer nc.Close()
		_, err = io.WriteString(nc, strings.Replace(mulOverHTTP, "Host: h", "Host: localhost", 1))
		must(t, err)
		_, err = io.ReadAll(nc) // tickets come with it
		must(t, err)
		return nc.ConnectionState().DidResume
	}
	if resumed() || !resumed() {
		t.Fatal("the second connection does not resume the session of the first")
	}
	cert, key := s.ca.Issue(t, "host.internal")
	s.Write("host.pem", cert)
	s.Write("host.key", key)
	eventually(t, "the pair is in force", func() bool {
		leaf, err := s.mul(t.Context(), s.client(t, s.ca, "client-2"))
		block, _ := pem.Decode([]byte(cert))
		return err == nil && bytes.Equal(leaf.Raw, block.Bytes)
	})
	if !resumed() {
		t.Error("the session is lost with the certificate")
	}
	s.Write("ca.pem", hosttest.NewAuthority(t).PEM)
	if r := s.Revision(); r.Result != host.ResultApplied {
		t.Fatal(r.Problems)
	}
	eventually(t, "a session of a client that is no longer trusted is not resumed", func() bool {
		_, err := s.mul(t.Context(), c)
		return err != nil
	})
}

func TestFilesThatDoNotFitKeepTheCertificate(t *testing.T) {
	s := startSecured(t, "", hosttest.Options{})
	c := s.client(t, nil, "")
	good, err := s.mul(t.Context(), c)
	must(t, err)
	cert, key := s.ca.Issue(t, "host.internal")
	old, oldKey := s.ca.Issue(t, "host.internal", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	for _, tc := range []struct {
		what       string
		files      [][2]string
		want, file string
	}{
		{"a certificate without its key", [][2]string{{"host.pem", cert}}, "host.pem and host.key do not match", "host.pem"},
		{"half a certificate", [][2]string{{"host.pem", cert[:100]}}, "host.pem and host.key do not match", "host.pem"},
		{"an expired pair", [][2]string{{"host.key", oldKey}, {"host.pem", old}}, "the certificate in host.pem expired on ", "host.pem"},
	} {
		for _, f := range tc.files {
			s.Write(f[0], f[1])
		}
		eventually(t, tc.what+" is in status", func() bool {
			status, err := s.Admin.Status(t.Context())
			must(t, err)
			for _, w := range status.Warnings {
				if strings.Contains(w.String(), tc.want) && strings.Contains(w.String(), "the previous content stays in use") {
					return true
				}
			}
			return false
		})
		if leaf, err := s.mul(t.Context(), c); err != nil || !leaf.Equal(good) {
			t.Errorf("%s: %v", tc.what, err)
		}
	}
	must(t, os.Remove(filepath.Join(s.Dir, "host.key")))
	eventually(t, "the missing file is a problem", func() bool {
		status, err := s.Admin.Status(t.Context())
		must(t, err)
		last := status.Policies.LastAttempt
		return last.Result == host.ResultRejected && strings.Contains(fmt.Sprint(last.Problems), "host.key")
	})
	if leaf, err := s.mul(t.Context(), c); err != nil || !leaf.Equal(good) {
		t.Errorf("without a file: %v", err)
	}
	s.Write("host.key", key)
	s.Write("host.pem", cert)
	eventually(t, "a good pair is in force", func() bool {
		leaf, err := s.mul(t.Context(), c)
		return err == nil && !leaf.Equal(good)
	})
}

func TestACertificateThatIsNotValidYetWaits(t *testing.T) {
	s := startSecured(t, "", hosttest.Options{})
	c := s.client(t, nil, "")
	good, err := s.mul(t.Context(), c)
	must(t, err)
	from := time.Now().Add(24 * time.Hour).Truncate(time.Second)
	cert, key := s.ca.Issue(t, "host.internal", func(c *x509.Certificate) { c.NotBefore = from })
	s.Write("host.pem", cert)
	s.Write("host.key", key)
	want := "the certificate in host.pem is not valid before " + from.UTC().Format(time.RFC3339) + ": the previous one stays in use until then"
	eventually(t, "a warning", func() bool {
		warnings := s.Revision().Warnings
		return len(warnings) == 1 && strings.Contains(warnings[0].String(), want)
	})
	leaf, err := s.mul(t.Context(), c)
	must(t, err)
	if !leaf.Equal(good) {
		t.Error("the previous certificate is not used")
	}
}

func TestACAThatIsNoLongerTrustedIsDroppedEvenIfTheCertificateIsKept(t *testing.T) {
	s := startSecured(t, ", clientCAFile: ca.pem, clientAuth: require", hosttest.Options{})
	c := s.client(t, s.ca, "client-1")
	_, err := s.mul(t.Context(), c)
	must(t, err)
	cert, _ := s.ca.Issue(t, "host.internal")
	s.Write("host.pem", cert) // without its key
	eventually(t, "the certificate is kept", func() bool { return len(s.Revision().Warnings) > 0 })
	other := hosttest.NewAuthority(t)
	s.Write("ca.pem", other.PEM)
	eventually(t, "clients of the new CA are admitted, and those of the old one are not", func() bool {
		_, renewed := s.mul(t.Context(), s.client(t, other, "client-1"))
		_, old := s.mul(t.Context(), c)
		return renewed == nil && old != nil
	})
}
