package host_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/discovery"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/wiretest"
)

func TestCertificatesOfClientsAreVerified(t *testing.T) {
	other := hosttest.NewAuthority(t)
	for _, tc := range []struct{ auth, client, advice string }{
		{"require", "ours", ""},
		{"require", "none", "clientAuth is require: the client must present a certificate"},
		{"require", "other", "the certificate of the client is not signed by a CA in clientCAFile"},
		{"require", "expired", "renew the certificate of the client"},
		{"request", "ours", ""},
		{"request", "none", ""},
		{"request", "other", "the certificate of the client is not signed by a CA in clientCAFile"},
	} {
		t.Run(tc.auth+" "+tc.client, func(t *testing.T) {
			log := new(logBuffer)
			s := startSecured(t, ", clientCAFile: ca.pem, clientAuth: "+tc.auth, hosttest.Options{Log: log})
			c := s.client(t, nil, "")
			switch tc.client {
			case "ours":
				c = s.client(t, s.ca, "client-1")
			case "other":
				c = s.client(t, other, "client-1")
			case "expired":
				c.Certificates = []tls.Certificate{s.ca.Pair(t, "client-1", func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })}
			}
			if tc.client == "other" { // Go's client sends none that does not fit
				c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &c.Certificates[0], nil }
			}
			_, err := s.mul(t.Context(), c)
			if (err == nil) != (tc.advice == "") {
				t.Errorf("%v", err)
			}
			if tc.advice != "" {
				eventually(t, "the log says "+tc.advice, func() bool {
					return strings.Contains(log.String(), tc.advice) && strings.Contains(log.String(), "reason=tls_handshake")
				})
			}
		})
	}
}

// Kubernetes replaces the files of a Secret by one link.
func TestASecretThatIsReplacedByALinkIsOneEdit(t *testing.T) {
	ca := hosttest.NewAuthority(t)
	dir := t.TempDir()
	secret := func(n int) {
		cert, key := ca.Issue(t, fmt.Sprintf("round-%d", n), func(c *x509.Certificate) { c.DNSNames = []string{"host.internal"} })
		data := filepath.Join(dir, fmt.Sprintf("..data_%d", n))
		must(t, os.Mkdir(data, 0o700))
		writeFile(t, filepath.Join(data, "tls.crt"), cert)
		writeFile(t, filepath.Join(data, "tls.key"), key)
		must(t, os.Symlink(filepath.Base(data), filepath.Join(dir, "..new")))
		must(t, os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data")))
	}
	secret(0)
	for _, name := range []string{"tls.crt", "tls.key"} {
		must(t, os.Symlink(filepath.Join("..data", name), filepath.Join(dir, name)))
	}
	h := hosttest.Start(t, fmt.Sprintf(`
listeners: [{name: main, address: "127.0.0.1:0", tls: {certFile: %q, keyFile: %q}}]
services: [{name: Arith, handler: test.arith}]
`, filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")), hosttest.Options{Registry: newPlant(t).reg})
	s := &secured{h, ca}
	for n := 1; n < 4; n++ {
		secret(n)
		if r := h.Revision(); r.Result != host.ResultApplied || r.Number != n+1 || len(r.Warnings) != 0 {
			t.Fatalf("r%d %s %v %v", r.Number, r.Result, r.Problems, r.Warnings)
		}
		if leaf, err := s.mul(t.Context(), s.client(t, nil, "")); err != nil || leaf.Subject.CommonName != fmt.Sprintf("round-%d", n) {
			t.Errorf("%v %v", leaf, err)
		}
	}
}

func TestTLSIsTurnedOnAndOffOnTheSameSocket(t *testing.T) {
	s := startSecured(t, "", hosttest.Options{})
	c := s.client(t, nil, "")
	_, err := s.mul(t.Context(), c)
	must(t, err)
	const block = ", tls: {certFile: host.pem, keyFile: host.key}"
	s.Edit("easymicro.yaml", block, "")
	if r := s.Revision(); r.Result != host.ResultApplied || !strings.Contains(fmt.Sprint(r.Changes), "listener main: tls removed") {
		t.Fatal(r.Problems, r.Changes)
	}
	if got, err := mulOverRPCX(t, s.Address, ""); err != nil || got != `{"C":42}` {
		t.Errorf("%s %v", got, err)
	}
	s.Edit("easymicro.yaml", `"127.0.0.1:0"`, `"127.0.0.1:0"`+block)
	if r := s.Revision(); r.Result != host.ResultApplied {
		t.Fatal(r.Problems)
	}
	_, err = s.mul(t.Context(), c)
	must(t, err)
}

func TestAPeerWithoutTLSIsToldThatItIsRequired(t *testing.T) {
	const text = "this port requires TLS"
	log := new(logBuffer)
	s := startSecured(t, "", hosttest.Options{Log: log})
	c, err := net.Dial("tcp", s.Address)
	must(t, err)
	defer c.Close()
	_, err = io.WriteString(c, mulOverHTTP)
	must(t, err)
	res, err := http.ReadResponse(bufio.NewReader(c), nil)
	must(t, err)
	body, err := io.ReadAll(res.Body)
	if res.StatusCode != http.StatusBadRequest || strings.TrimSpace(string(body)) != text || err != nil {
		t.Errorf("%s %q %v", res.Status, body, err)
	}
	if _, err := mulOverRPCX(t, s.Address, ""); err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("rpcx: %v", err)
	}
	endpoint, err := discovery.Static(s.Address)
	must(t, err)
	ours, err := client.New(client.Options{Resolver: endpoint})
	must(t, err)
	defer ours.Close()
	if err := ours.Call(t.Context(), "Arith", "Mul", args{6, 7}, new(reply)); err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("our client: %v", err)
	}
	eventually(t, "the log has advice", func() bool {
		return strings.Contains(log.String(), "reason=plain_on_tls_listener") && strings.Contains(log.String(), "the peer must use TLS")
	})
}

func TestAPeerWithTLSIsToldThatThePortDoesNotUseIt(t *testing.T) {
	log := new(logBuffer)
	h := hosttest.Start(t, "services: [{name: Arith, handler: test.arith}]\n", hosttest.Options{Registry: newPlant(t).reg, Log: log})
	_, err := http.Get("https://" + h.Address + "/Arith/Mul")
	if err == nil || !strings.Contains(err.Error(), "server gave HTTP response to HTTPS client") {
		t.Error(err)
	}
	eventually(t, "the log has advice", func() bool {
		return strings.Contains(log.String(), "reason=tls_on_plain_listener") && strings.Contains(log.String(), "the peer uses TLS and must not")
	})
}

// Peers that send half a handshake are cut off in time, and hold up nobody.
func TestAHandshakeThatDoesNotEndIsCutOff(t *testing.T) {
	s := startSecured(t, "", hosttest.Options{})
	var stuck []net.Conn
	for i := range 50 {
		c, err := net.Dial("tcp", s.Address)
		must(t, err)
		defer c.Close()
		if i%2 == 0 {
			_, err = io.WriteString(c, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03")
			must(t, err)
		}
		stuck = append(stuck, c)
	}
	for range 20 {
		_, err := s.mul(t.Context(), s.client(t, nil, ""))
		must(t, err)
	}
	for _, c := range stuck {
		must(t, c.SetReadDeadline(time.Now().Add(patience)))
		if _, err := io.ReadAll(c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatal("a peer that does not finish its handshake is not cut off")
		}
	}
}

func TestAdminAndHealthUseTLS(t *testing.T) {
	ca := hosttest.NewAuthority(t)
	cert, key := ca.Issue(t, "localhost")
	h := hosttest.Start(t, fmt.Sprintf(`
services: [{name: Arith, handler: test.arith}]
host: {shutdown: {drainDelay: 0s}}
admin: {tls: {certFile: host.pem, keyFile: host.key}}
health: {address: %q, tls: {certFile: host.pem, keyFile: host.key, clientCAFile: ca.pem, clientAuth: require}}
`, wiretest.Address(t)), hosttest.Options{Registry: newPlant(t).reg, Files: map[string]string{"host.pem": cert, "host.key": key, "ca.pem": ca.PEM}})
	get := func(c *tls.Config, address, path string) (*http.Response, string, error) {
		client := web(c, false)
		defer client.CloseIdleConnections()
		res, err := client.Get("https://" + address + path)
		if err != nil {
			return nil, "", err
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		return res, string(body), err
	}
	plain := &tls.Config{RootCAs: ca.Pool, ServerName: "localhost"}
	res, body, err := get(plain, h.AdminAddr().String(), "/metrics")
	if err != nil || res.StatusCode != http.StatusOK || !strings.HasPrefix(h.AdminURL(), "https://") {
		t.Fatalf("%v %v %s", res, err, h.AdminURL())
	}
	for _, listener := range []string{"admin", "health"} {
		if !strings.Contains(body, `easymicro_tls_not_after_timestamp_seconds{listener="`+listener+`"}`) {
			t.Errorf("no end of the certificate of %s in the metrics", listener)
		}
	}
	if _, _, err := get(plain, h.HealthAddr().String(), "/livez"); err == nil {
		t.Error("health answers a client without a certificate")
	}
	known := plain.Clone()
	known.Certificates = []tls.Certificate{ca.Pair(t, "kubelet")}
	if res, _, err := get(known, h.HealthAddr().String(), "/livez"); err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("%v %v", res, err)
	}
	next, nextKey := ca.Issue(t, "localhost", func(c *x509.Certificate) { c.Subject.CommonName = "next" })
	h.Write("host.pem", next)
	h.Write("host.key", nextKey)
	eventually(t, "admin has the new certificate", func() bool {
		res, _, err := get(plain, h.AdminAddr().String(), "/livez")
		must(t, err)
		return res.TLS.PeerCertificates[0].Subject.CommonName == "next"
	})
}

func TestAPeerCannotWriteLongLinesIntoTheLog(t *testing.T) {
	log := new(logBuffer)
	s := startSecured(t, "", hosttest.Options{Log: log})
	c := s.client(t, nil, "")
	for range 200 {
		c.NextProtos = append(c.NextProtos, strings.Repeat("\x01", 255))
	}
	if _, err := tls.Dial("tcp", s.Address, c); err == nil {
		t.Fatal("the handshake succeeds")
	}
	eventually(t, "the handshake is in the log", func() bool { return strings.Contains(log.String(), "reason=tls_handshake") })
	for line := range strings.Lines(log.String()) {
		if len(line) > 1<<10 {
			t.Errorf("%d bytes: %.200s", len(line), line)
		}
	}
}
