package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/easymicro/easymicro/host/hosttest"
	_ "github.com/easymicro/easymicro/samples"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// screen collects the output of the collector.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
	more chan struct{}
}

func (s *screen) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case s.more <- struct{}{}:
	default:
	}
	return s.text.Write(p)
}

func (s *screen) wait(t *testing.T, want *regexp.Regexp) []string {
	t.Helper()
	for deadline := time.After(20 * time.Second); ; {
		s.mu.Lock()
		text := s.text.String()
		s.mu.Unlock()
		if m := want.FindStringSubmatch(text); m != nil {
			return m
		}
		select {
		case <-s.more:
		case <-deadline:
			t.Fatalf("no %s on the screen:\n%s", want, text)
		}
	}
}

// start runs a collector on a free port.
func start(t *testing.T) (*screen, string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	s := &screen{more: make(chan struct{}, 1)}
	ran := make(chan error, 1)
	go func() { ran <- run(ctx, "127.0.0.1:0", s) }()
	t.Cleanup(func() {
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
	})
	return s, s.wait(t, regexp.MustCompile(`receiving spans at (http://\S+)`))[1]
}

func TestATraceIsPrintedAsATree(t *testing.T) {
	s, url := start(t)
	h := hosttest.Start(t, `
host: {name: front}
services: [{name: Arith, handler: samples.arith}]
telemetry: {traces: {otlpEndpoint: "`+url+`", sampleRatio: 100%}}
policies: {rules: [{name: few, match: {service: Arith}, rateLimit: {rate: 1, per: 1h, burst: 1}}]}
`, hosttest.Options{})
	h.Post("/Arith/Mul", `{"a":6,"b":7}`)
	h.Post("/Arith/Mul", `{"a":6,"b":7}`)
	s.wait(t, regexp.MustCompile(`(?m)^trace [0-9a-f]{32}\nArith/Mul +Arith serves it on front over http +\S+s  OK$`))
	s.wait(t, regexp.MustCompile(`(?m)^Arith/Mul .* RESOURCE_EXHAUSTED by few@r1$`))
}

func TestMalformedBatchesAreRefused(t *testing.T) {
	_, url := start(t)
	for _, path := range []string{"/v1/traces", "/"} {
		res, err := http.Post(url+path, "application/x-protobuf", strings.NewReader("no spans"))
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusBadRequest {
			t.Errorf("%s: %s", path, res.Status)
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
