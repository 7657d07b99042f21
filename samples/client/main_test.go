package main

import (
	"context"
	"log"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/easymicro/easymicro/host/discovery"
	"github.com/easymicro/easymicro/host/hosttest"
	_ "github.com/easymicro/easymicro/samples"
	"github.com/easymicro/easymicro/wire/wiretest"
)

const (
	patience = 30 * time.Second
	maxLines = 40
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestItIsShort(t *testing.T) {
	if n := strings.Count(read(t, "main.go"), "\n"); n > maxLines {
		t.Errorf("main.go has %d lines, and the page promises at most %d", n, maxLines)
	}
}

// The host serves without an etcd.
func TestItsHostNeedsNoEtcdToServe(t *testing.T) {
	manifest := strings.Replace(read(t, "easymicro.yaml"), "127.0.0.1:2379", "127.0.0.1:1", 1)
	h := hosttest.Start(t, manifest+"host: {shutdown: {drainDelay: 0s}}\n", hosttest.Options{})
	if res, body := h.Post("/Greeter/Greet", `{"name":"Ada"}`); res.StatusCode != 200 || body != `{"text":"Hello, Ada"}` {
		t.Errorf("%s %s", res.Status, body)
	}
}

// start runs the services of the sample, unpublished, at an address that stays the same across restarts.
func start(t *testing.T, address string) *hosttest.Host {
	t.Helper()
	services, _, ok := strings.Cut(read(t, "easymicro.yaml"), "discovery:")
	if !ok {
		t.Fatal("the manifest has no discovery")
	}
	return hosttest.Start(t, services+`
listeners: [{name: any, address: "127.0.0.1:0"}, {name: fixed, address: "`+address+`"}]
`, hosttest.Options{})
}

// lines collects the output of the program.
type lines chan string

func (l lines) Write(p []byte) (int, error) {
	l <- string(p)
	return len(p), nil
}

// wait reads until a line has the text.
func (l lines) wait(t *testing.T, text string) {
	t.Helper()
	for late := time.After(patience); ; {
		select {
		case line := <-l:
			if strings.Contains(line, text) {
				return
			}
		case <-late:
			t.Fatalf("it did not print %q", text)
		}
	}
}

func TestItFollowsItsRulesAndReconnects(t *testing.T) {
	address := wiretest.Address(t)
	h := start(t, address)
	hosts, err := discovery.Static(address)
	if err != nil {
		t.Fatal(err)
	}
	printed := make(lines, 10_000)
	log.SetOutput(printed)
	defer log.SetOutput(os.Stderr)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); greet(ctx, hosts) }()
	defer func() { cancel(); <-ended }()

	const answer = "Ciao, Ada [[lang it] [greeted anonymous]] <nil>" // with metadata in both directions
	printed.wait(t, answer)
	began := time.Now()
	for range 3 {
		printed.wait(t, answer)
	}
	if took := time.Since(began); took < 1300*time.Millisecond {
		t.Errorf("three calls within %s, at two a second", took)
	}

	h.Stop()
	printed.wait(t, "breaker closed → open 3 consecutive failures")
	printed.wait(t, "circuit breaker open by greeter-calls@r1")
	printed.wait(t, "breaker half_open → open")

	start(t, address)
	printed.wait(t, "breaker half_open → closed")
	printed.wait(t, answer)
}
