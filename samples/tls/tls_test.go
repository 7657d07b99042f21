package tls_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/cmd/easymicro/cli"
	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	_ "github.com/easymicro/easymicro/samples"
)

const patience = 20 * time.Second

// sample holds the stock and the shop, and the command that makes their certificates.
type sample struct {
	*testing.T
	stock, shop *hosttest.Host
	certs, pki  string
}

func start(t *testing.T) *sample {
	t.Helper()
	dir := t.TempDir()
	s := &sample{T: t, certs: filepath.Join(dir, "certs.exe"), pki: filepath.Join(dir, "pki")}
	s.run("go", "build", "-o", s.certs, "./certs")
	s.run(s.certs, "-dir", s.pki)
	s.copy(dir, "stock.yaml")
	s.stock = hosttest.StartFile(t, filepath.Join(dir, "stock.yaml"), hosttest.Options{})
	s.copy(dir, "policies.yaml")
	s.copy(dir, "easymicro.yaml", `["127.0.0.1:8973"]}`, `["`+s.stock.Address+`"]}`, "      register: {}  ", "      # register: {}")
	s.shop = hosttest.StartFile(t, filepath.Join(dir, "easymicro.yaml"), hosttest.Options{})
	return s
}

func (s *sample) run(name string, args ...string) {
	s.Helper()
	if out, err := exec.CommandContext(s.Context(), name, args...).CombinedOutput(); err != nil {
		s.Fatalf("%s %s: %v\n%s", name, args, err, out)
	}
}

// copy copies a file with replacements.
func (s *sample) copy(dir, name string, replacements ...string) {
	s.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		s.Fatal(err)
	}
	for i := 0; i < len(replacements); i += 2 {
		if bytes.Count(text, []byte(replacements[i])) != 1 {
			s.Fatalf("%s does not have %q once", name, replacements[i])
		}
	}
	if err := os.WriteFile(filepath.Join(dir, name), []byte(strings.NewReplacer(replacements...).Replace(string(text))), 0o600); err != nil {
		s.Fatal(err)
	}
}

// file returns the path of a file that the command has made.
func (s *sample) file(name string) string { return filepath.Join(s.pki, name) }

// client returns an HTTP client with the certificate of a name as it is now. Close its idle connections.
func (s *sample) client(name string) (*http.Client, error) {
	ca, err := os.ReadFile(s.file("ca.pem"))
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca)
	pair, err := tls.LoadX509KeyPair(s.file(name+".pem"), s.file(name+".key"))
	if err != nil {
		return nil, err
	}
	return &http.Client{Timeout: patience, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{MinVersion: tls.VersionTLS13, RootCAs: roots, Certificates: []tls.Certificate{pair}}, ForceAttemptHTTP2: true,
	}}, nil
}

// look calls the shop, which calls the stock, and returns what is wrong with the response.
func look(c *http.Client, at string) error {
	res, err := c.Post("https://"+at+"/Shop/Look", "application/json", strings.NewReader(`{"name":"tea"}`))
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

// inSync waits until both hosts use the newest files.
func (s *sample) inSync() {
	s.Helper()
	for _, h := range []*hosttest.Host{s.stock, s.shop} {
		want, err := load.Load(filepath.Join(h.Dir, map[*hosttest.Host]string{s.stock: "stock.yaml", s.shop: "easymicro.yaml"}[h]), load.Options{})
		if err != nil {
			s.Fatal(err)
		}
		for deadline := time.Now().Add(patience); ; {
			same := true
			for name, text := range want.Contents {
				same = same && bytes.Equal(h.Set().Contents[name], text)
			}
			if same {
				break
			}
			if time.Now().After(deadline) {
				s.Fatalf("%s does not use the new files", h.Dir)
			}
			h.Revision()
		}
	}
}

func TestTheOtherManifestsAreWithoutProblemsToo(t *testing.T) {
	s := &sample{T: t}
	dir := t.TempDir()
	s.run("go", "run", "./certs", "-dir", filepath.Join(dir, "pki"))
	for _, name := range []string{"stock.yaml", "gateway.yaml"} {
		s.copy(dir, name)
		set, err := load.Load(filepath.Join(dir, name), load.Options{})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range host.Check(set, registry.Default()) {
			t.Error(p)
		}
	}
}

func TestCallersAreWhatTheirCertificatesSay(t *testing.T) {
	s := start(t)
	for name, want := range map[string]string{"web": "", "stock": `"detail":"spiffe://example/stock denied by customers@r1"`} {
		c, err := s.client(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := look(c, s.shop.Address); want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v", name, err)
		}
		c.CloseIdleConnections()
	}
	for name, want := range map[string]string{"shop": "", "web": "spiffe://example/web denied by shop-only@r1"} {
		var out, stderr bytes.Buffer
		exit := cli.Run(t.Context(), []string{
			"call", "Stock.Left", `{"name":"tea"}`, "--address", s.stock.Address,
			"--ca", s.file("ca.pem"), "--cert", s.file(name + ".pem"), "--key", s.file(name + ".key"), "--server-name", "stock.internal",
		}, cli.IO{In: strings.NewReader(""), Out: &out, Err: &stderr})
		if ok := exit == cli.ExitOK && strings.TrimSpace(out.String()) == `{"left":1000}`; ok != (want == "") || !strings.Contains(stderr.String(), want) {
			t.Errorf("%s: %d %s %s", name, exit, out.String(), stderr.String())
		}
	}
}

// load calls the shop without a pause from goroutines that keep their connection, and from others that connect with the newest
// certificate for each call.
type loading struct {
	calls  atomic.Int64
	mu     sync.Mutex
	lost   []string
	stop   context.CancelFunc
	joined sync.WaitGroup
}

func (s *sample) load() *loading {
	l := new(loading)
	var ctx context.Context
	ctx, l.stop = context.WithCancel(context.Background())
	for i := range 8 {
		l.joined.Go(func() {
			var c *http.Client
			for ctx.Err() == nil {
				for c == nil || i%2 == 0 {
					next, err := s.client("web")
					if err == nil { // otherwise the certificate is new and the key is old
						c = next
						break
					}
				}
				if err := look(c, s.shop.Address); err != nil {
					l.mu.Lock()
					l.lost = append(l.lost, fmt.Sprintf("%s %v", time.Now().Format("05.000"), err))
					l.mu.Unlock()
				}
				l.calls.Add(1)
				if i%2 == 0 {
					c.CloseIdleConnections()
				}
			}
			c.CloseIdleConnections()
		})
	}
	s.Cleanup(l.end)
	return l
}

func (l *loading) end() {
	l.stop()
	l.joined.Wait()
}

// meets waits for calls that begin after now.
func (l *loading) meets(t *testing.T) {
	t.Helper()
	for more, deadline := l.calls.Load()+100, time.Now().Add(patience); l.calls.Load() < more; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the calls have come to a standstill")
		}
	}
}

// The steps of the README.
func TestCertificatesAndCAsAreReplacedUnderLoad(t *testing.T) {
	s := start(t)
	first, err := s.client("web")
	if err != nil {
		t.Fatal(err)
	}
	if err := look(first, s.shop.Address); err != nil {
		t.Fatal(err)
	}
	first.CloseIdleConnections()
	l := s.load()
	for range 3 {
		l.meets(t)
		s.run(s.certs, "-dir", s.pki)
		s.inSync()
	}
	l.meets(t)
	s.run(s.certs, "-dir", s.pki, "-new-ca")
	s.inSync()
	l.meets(t)
	s.run(s.certs, "-dir", s.pki)
	s.inSync()
	l.meets(t)
	l.end()
	if len(l.lost) > 0 {
		t.Fatalf("%d of %d calls were lost, the first: %s", len(l.lost), l.calls.Load(), l.lost[0])
	}
	t.Logf("%d calls, none lost", l.calls.Load())

	l = s.load()
	text, err := os.ReadFile(s.file("ca.pem"))
	if err != nil {
		t.Fatal(err)
	}
	newest, _ := pem.Decode(text)
	if err := os.WriteFile(s.file("ca.pem.new"), pem.EncodeToMemory(newest), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.file("ca.pem.new"), s.file("ca.pem")); err != nil {
		t.Fatal(err)
	}
	s.inSync()
	l.meets(t)
	l.end()
	if len(l.lost) > 0 {
		t.Errorf("%d of %d calls were lost without the old CA, the first: %s", len(l.lost), l.calls.Load(), l.lost[0])
	}
	if err := look(first, s.shop.Address); err == nil || !strings.Contains(err.Error(), "unknown") {
		t.Errorf("a certificate of the old CA: %v", err)
	}
	first.CloseIdleConnections()
}
