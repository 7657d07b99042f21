// Package hosttest runs a host on loopback for tests, from the text of a manifest or from the files of one.
package hosttest

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/spf13/pflag"

	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/machine"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
)

// patience is how long anything in a test may take before the test fails.
const patience = 30 * time.Second

// Options say how a test wants its host. The zero value is the handlers of registry.Default and ports of the system's
// choice for the first listener and for admin.
type Options struct {
	Registry *registry.Registry
	Files    map[string]string // beside the manifest, by relative path
	Log      io.Writer         // default: the test's log
	Heap     *machine.Heap     // nil: host.memory has no effect
}

// Host is a running host of a test. It is stopped, and its Run checked, when the test ends.
type Host struct {
	*host.Host
	Dir     string // of the manifest
	Address string // of the first listener
	URL     string // of its HTTP
	Admin   *admin.Client

	t         testing.TB
	stop      context.CancelFunc
	ran       chan error
	stopped   sync.Once
	revisions chan host.Attempt
}

// Start runs a host from the text of a manifest, written to a folder of its own.
func Start(t testing.TB, manifest string, o Options) *Host {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "easymicro.yaml"), manifest)
	for name, text := range o.Files {
		write(t, filepath.Join(dir, name), text)
	}
	return StartFile(t, filepath.Join(dir, "easymicro.yaml"), o)
}

// StartFile runs a host from a manifest on disk.
func StartFile(t testing.TB, path string, o Options) *Host {
	t.Helper()
	flags := pflag.NewFlagSet("test", pflag.ContinueOnError)
	for _, name := range []string{"listen", "admin-listen"} {
		flags.String(name, "", "")
		if err := flags.Set(name, "127.0.0.1:0"); err != nil {
			t.Fatal(err)
		}
	}
	set, files, err := host.LoadFiles(path, load.Options{Flags: flags})
	if err != nil {
		t.Fatalf("load %s:\n%v", path, err)
	}
	if o.Log == nil {
		o.Log = t.Output()
	}
	h := &Host{Dir: filepath.Dir(path), t: t, ran: make(chan error, 1), revisions: make(chan host.Attempt, 10_000)}
	ready := make(chan struct{})
	h.Host, err = host.Open(t.Context(), set, host.Options{
		Registry: o.Registry, Logger: slog.New(slog.NewTextHandler(o.Log, nil)), Source: files, Version: "test", Heap: o.Heap,
		OnReady:   func(*host.Host) { close(ready) },
		OnAttempt: func(r host.Attempt) { h.revisions <- r },
	})
	if err != nil {
		t.Fatalf("open %s:\n%v", path, err)
	}
	<-h.revisions // that of the start
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	h.stop = stop
	go func() { h.ran <- h.Run(ctx) }()
	select {
	case <-ready:
	case err := <-h.ran:
		t.Fatalf("run %s: %v", path, err)
	}
	t.Cleanup(h.Stop)
	h.Address = h.Addr(set.Manifest.Listeners[0].Name).String()
	h.URL = "http://" + h.Address
	h.Admin = &admin.Client{Address: h.AdminAddr().String()}
	return h
}

// StartCopy runs the manifest of a folder from a copy of the folder, so that the test may edit its files. Pairs of texts are
// what the manifest says there, which must stand once, and what it says in the copy.
func StartCopy(t testing.TB, folder string, o Options, pairs ...string) *Host {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(folder)); err != nil {
		t.Fatal(err)
	}
	if len(pairs)%2 != 0 {
		t.Fatalf("pairs of texts are wanted: %q has none to replace it", pairs[len(pairs)-1])
	}
	path := filepath.Join(dir, "easymicro.yaml")
	for i := 0; i < len(pairs); i += 2 {
		write(t, path, replaced(t, path, pairs[i], pairs[i+1]))
	}
	return StartFile(t, path, o)
}

// Drain begins to drain the host, as SIGTERM does.
func (h *Host) Drain() { h.stop() }

// Stop drains the host and waits for the end of Run.
func (h *Host) Stop() {
	h.stopped.Do(func() {
		h.stop()
		select {
		case err := <-h.ran:
			if err != nil {
				h.t.Errorf("run: %v", err)
			}
		case <-time.After(3 * patience):
			h.t.Error("the host does not stop")
		}
		http.DefaultClient.CloseIdleConnections()
	})
}

// Write saves a file of the set by rename, as editors do.
func (h *Host) Write(name, text string) {
	h.t.Helper()
	path := filepath.Join(h.Dir, name)
	write(h.t, path+".tmp~", text)
	if err := os.Rename(path+".tmp~", path); err != nil {
		h.t.Fatal(err)
	}
}

// Edit replaces a text in a file of the set, where it must stand once, and saves the file by rename.
func (h *Host) Edit(name, from, to string) {
	h.t.Helper()
	h.Write(name, replaced(h.t, filepath.Join(h.Dir, name), from, to))
}

// replaced is the text of a file with another text where one must stand once.
func replaced(t testing.TB, path, from, to string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(text), from); n != 1 {
		t.Fatalf("%s has %q %d times", filepath.Base(path), from, n)
	}
	return strings.Replace(string(text), from, to, 1)
}

// Revision waits for the outcome of the next attempt to change what runs.
func (h *Host) Revision() host.Attempt {
	h.t.Helper()
	select {
	case r := <-h.revisions:
		return r
	case <-time.After(patience):
		h.t.Fatal("no revision came")
		return host.Attempt{}
	}
}

// Post calls a method over HTTP with a JSON body and returns the answer with its body read, without the line end.
func (h *Host) Post(path, body string, headers ...string) (*http.Response, string) {
	h.t.Helper()
	res, text, err := h.TryPost(path, body, headers...)
	if err != nil {
		h.t.Fatal(err)
	}
	return res, text
}

// TryPost is Post for calls that may fail, and for goroutines of their own.
func (h *Host) TryPost(path, body string, headers ...string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.URL+path, bytes.NewReader([]byte(body)))
	if err != nil {
		return nil, "", err
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	return res, strings.TrimSuffix(string(text), "\n"), err
}

// Dial opens a calling connection over rpcx, closed when the test ends.
func (h *Host) Dial() *wire.Conn {
	h.t.Helper()
	c, err := wire.Dial(h.t.Context(), "tcp", h.Address, wire.ConnOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	h.t.Cleanup(func() { _ = c.Close() })
	return c
}

// CallJSON calls a method over rpcx with the JSON codec and decodes the answer into reply.
func CallJSON(ctx context.Context, c *wire.Conn, service, method string, args, reply any) error {
	payload, err := json.Marshal(args)
	if err != nil {
		return err
	}
	var res wire.Frame
	if err := c.Do(ctx, &wire.Frame{Service: service, Method: method, Codec: wire.JSON, Payload: payload}, &res); err != nil {
		return err
	}
	return json.Unmarshal(res.Payload, reply)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
