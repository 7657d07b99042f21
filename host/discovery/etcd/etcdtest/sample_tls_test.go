package etcdtest_test

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/discovery/etcd/etcdtest"
	"github.com/easymicro/easymicro/host/hosttest"
)

// tlsSample holds the hosts of samples/tls, and the command that makes their certificates.
type tlsSample struct {
	*testing.T
	dir, certs    string
	shop, gateway *hosttest.Host
}

func startTLSSample(t *testing.T) *tlsSample {
	t.Helper()
	server := etcdtest.Start(t)
	s := &tlsSample{T: t, dir: t.TempDir()}
	s.certs = filepath.Join(s.dir, "certs.exe")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", s.certs, "./samples/tls/certs")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s.renew()
	s.copy("policies.yaml")
	s.copy("stock.yaml")
	s.copy("easymicro.yaml", `["127.0.0.1:8973"]}`, `["`+s.start("stock.yaml").Address+`"]}`, "http://127.0.0.1:2379", server.URL())
	s.copy("gateway.yaml", "http://127.0.0.1:2379", server.URL())
	s.shop, s.gateway = s.start("easymicro.yaml"), s.start("gateway.yaml")
	return s
}

// renew makes new certificates.
func (s *tlsSample) renew() {
	s.Helper()
	if out, err := exec.CommandContext(s.Context(), s.certs, "-dir", filepath.Join(s.dir, "pki")).CombinedOutput(); err != nil {
		s.Fatalf("%v\n%s", err, out)
	}
}

// copy copies a file with replacements.
func (s *tlsSample) copy(name string, replacements ...string) {
	s.Helper()
	text, err := os.ReadFile(filepath.Join(root, "samples", "tls", name))
	if err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(strings.NewReplacer(replacements...).Replace(string(text))), 0o600); err != nil {
		s.Fatal(err)
	}
}

func (s *tlsSample) start(name string) *hosttest.Host {
	return hosttest.StartFile(s.T, filepath.Join(s.dir, name), hosttest.Options{Log: io.Discard})
}

// client returns an HTTP client with the certificate of a name. Close its idle connections.
func (s *tlsSample) client(name string) *http.Client {
	s.Helper()
	file := func(name string) string { return filepath.Join(s.dir, "pki", name) }
	ca, err := os.ReadFile(file("ca.pem"))
	if err != nil {
		s.Fatal(err)
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	pair, err := tls.LoadX509KeyPair(file(name+".pem"), file(name+".key"))
	if err != nil {
		s.Fatal(err)
	}
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, Certificates: []tls.Certificate{pair}}, MaxIdleConnsPerHost: sampleCallers,
	}}
}

// look calls the shop through the gateway, and returns what is wrong with the response.
func (s *tlsSample) look(c *http.Client) error {
	res, err := c.Post("https://"+s.gateway.Address+"/Shop/Look", "application/json", strings.NewReader(`{"name":"tea"}`))
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err == nil && strings.TrimSpace(string(body)) != `{"left":1000}` {
		err = errors.New(res.Status + " " + string(body))
	}
	return err
}

// The hosts, with the certificates of the gateway and of the shop replaced while calls pass through both.
func TestTheGatewayOfTheSampleTLSCallsHostsOverTLS(t *testing.T) {
	s := startTLSSample(t)
	web, stock := s.client("web"), s.client("stock")
	defer web.CloseIdleConnections()
	defer stock.CloseIdleConnections()
	soon(t, "the shop appears", func() bool { return s.look(web) == nil })
	if err := s.look(stock); err == nil || !strings.Contains(err.Error(), "spiffe://example/stock denied by visitors") {
		t.Errorf("another client: %v", err)
	}

	var calls atomic.Int64
	var lost []string
	var mu sync.Mutex
	var all sync.WaitGroup
	done := make(chan struct{})
	for range sampleCallers {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := s.look(web); err != nil {
					mu.Lock()
					lost = append(lost, err.Error())
					mu.Unlock()
				}
				calls.Add(1)
			}
		})
	}
	for range 3 {
		before := calls.Load()
		soon(t, "calls", func() bool { return calls.Load() > before+200 })
		s.renew()
		for _, h := range []*hosttest.Host{s.shop, s.gateway} {
			soon(t, "the new files are in force", func() bool {
				a := h.Revision()
				return a.Result == host.ResultApplied && len(a.Warnings) == 0
			})
		}
	}
	before := calls.Load()
	soon(t, "calls", func() bool { return calls.Load() > before+200 })
	close(done)
	all.Wait()
	if len(lost) > 0 {
		t.Errorf("%d of %d calls were lost, the first: %s", len(lost), calls.Load(), lost[0])
	}
	t.Logf("%d calls", calls.Load())

	s.gateway.Edit("gateway.yaml", "serverName: shop.internal", "serverName: other.internal")
	soon(t, "a host of another name is refused", func() bool {
		err := s.look(web)
		return err != nil && strings.Contains(err.Error(), "no endpoint of Shop can be reached")
	})
}
