package etcdtest_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/discovery/etcd"
	"github.com/easymicro/easymicro/host/discovery/etcd/etcdtest"
	"github.com/easymicro/easymicro/policies"
	"github.com/easymicro/easymicro/samples/discovery"
	"github.com/easymicro/easymicro/wire/client"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

const (
	root          = "../../../.."
	sampleCallers = 16
	keepalive     = 13 * time.Second // interval and timeout, by default
)

// built is the binary built from the repository.
func built(t *testing.T) string {
	t.Helper()
	program := filepath.Join(t.TempDir(), "easymicro")
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./cmd/easymicro")
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return program
}

// sampleHost is a host of samples/discovery in its own process, with its manifest unchanged but for the etcd.
type sampleHost struct {
	t                          *testing.T
	program, manifest, address string
	cmd                        *exec.Cmd
	output                     bytes.Buffer
}

func newSampleHost(t *testing.T, program, manifest, etcdAddress string) *sampleHost {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "samples", "discovery", manifest))
	if err != nil {
		t.Fatal(err)
	}
	if strings.Count(string(text), "127.0.0.1:2379") != 1 {
		t.Fatalf("%s does not name the etcd once", manifest)
	}
	path := filepath.Join(t.TempDir(), manifest)
	if err := os.WriteFile(path, bytes.Replace(text, []byte("127.0.0.1:2379"), []byte(etcdAddress), 1), 0o600); err != nil {
		t.Fatal(err)
	}
	h := &sampleHost{t: t, program: program, manifest: path, address: wiretest.Address(t)}
	t.Cleanup(func() {
		if h.cmd != nil {
			_ = h.cmd.Process.Kill()
			_ = h.cmd.Wait()
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s", manifest, h.output.String())
		}
	})
	return h
}

// start runs the host, at the same address each time.
func (h *sampleHost) start() {
	h.t.Helper()
	cmd := exec.Command(h.program, "serve", "-c", h.manifest, "--listen", h.address, "--admin-listen", "127.0.0.1:0")
	cmd.Stdout, cmd.Stderr = &h.output, &h.output
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.cmd = cmd
}

// end sends the host a signal and waits for its end.
func (h *sampleHost) end(by os.Signal) {
	h.t.Helper()
	if err := h.cmd.Process.Signal(by); err != nil {
		h.t.Fatal(err)
	}
	err := h.cmd.Wait()
	h.cmd = nil
	if by != os.Kill && err != nil {
		h.t.Errorf("%s ended with %v", filepath.Base(h.manifest), err)
	}
}

// sampleLoad makes calls without a pause from sampleCallers goroutines.
type sampleLoad struct {
	client *client.Client
	mu     sync.Mutex
	on     map[string]int // calls by host that answered
	lost   []string
	last   time.Time // when a call was last lost
}

func callSample(t *testing.T, o client.Options) *sampleLoad {
	t.Helper()
	c, err := client.New(o)
	if err != nil {
		t.Fatal(err)
	}
	l := &sampleLoad{client: c, on: map[string]int{}}
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for range sampleCallers {
		all.Go(func() {
			for ctx.Err() == nil {
				l.call()
			}
		})
	}
	t.Cleanup(func() {
		stop()
		all.Wait()
		_ = c.Close()
	})
	return l
}

func (l *sampleLoad) call() {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	answer, err := client.Call[discovery.Answer](ctx, l.client, "Echo", "Say", discovery.Text{Text: "hello"})
	l.mu.Lock()
	defer l.mu.Unlock()
	if err == nil {
		l.on[answer.Host]++
		return
	}
	l.last = time.Now()
	l.lost = append(l.lost, fmt.Sprintf("%s: %v (%s)", l.last.Format("04:05.000"), err, code.From(err).Reason))
}

// forget resets the counts by host.
func (l *sampleLoad) forget() {
	l.mu.Lock()
	defer l.mu.Unlock()
	clear(l.on)
}

// answered reports whether all these hosts have answered since forget.
func (l *sampleLoad) answered(hosts ...string) func() bool {
	return func() bool {
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, h := range hosts {
			if l.on[h] < sampleCallers {
				return false
			}
		}
		return true
	}
}

// losses returns the number of calls lost since its last call, and when the last one was.
func (l *sampleLoad) losses() ([]string, time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	lost := l.lost
	l.lost = nil
	return lost, l.last
}

// Tests the claims of samples/discovery/README.md.
func TestTheSampleDiscoveryKeepsItsPromises(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("no such signals")
	}
	t.Parallel()
	program, server := built(t), etcdtest.Start(t)
	first := newSampleHost(t, program, "easymicro.yaml", server.Address())
	second := newSampleHost(t, program, "second.yaml", server.Address())
	first.start()
	second.start()

	hosts := cluster(t, etcd.Options{Endpoints: []string{server.URL()}})
	guard, err := policies.ClientGuard([]config.Rule{{
		Name: "echo-calls", Match: config.Match{Upstream: config.Patterns{"Echo"}}, Retry: &config.Retry{MaxAttempts: 3},
	}})
	if err != nil {
		t.Fatal(err)
	}
	watch(t, hosts, "Echo").want(first.address, second.address)
	plain := callSample(t, client.Options{Resolver: hosts})
	failover := callSample(t, client.Options{Resolver: hosts, Guard: guard, Idempotent: []string{"Say"}})
	both := func(names ...string) {
		t.Helper()
		plain.forget() // from before the host ended
		failover.forget()
		soon(t, fmt.Sprint(names, " answer all"), plain.answered(names...))
		soon(t, fmt.Sprint(names, " answer all who fail over"), failover.answered(names...))
	}
	noneLost := func(when string) {
		t.Helper()
		for kind, l := range map[string]*sampleLoad{"": plain, " with failover": failover} {
			if lost, _ := l.losses(); len(lost) > 0 {
				t.Errorf("%s, %d calls were lost%s: %s", when, len(lost), kind, strings.Join(lost[:min(len(lost), 5)], "\n"))
			}
		}
	}
	both("first", "second")
	noneLost("before anything happened")

	killed := time.Now()
	second.end(os.Kill)
	within(t, keepalive+patience, "a second without an error", func() bool {
		plain.mu.Lock()
		defer plain.mu.Unlock()
		return time.Since(killed) > time.Second && time.Since(plain.last) > time.Second
	})
	if lost, last := plain.losses(); len(lost) > 0 {
		t.Logf("%d calls were lost, the last %s after the kill", len(lost), last.Sub(killed))
		if last.Sub(killed) > keepalive {
			t.Errorf("errors for longer than a keepalive time: %s", strings.Join(lost, "\n"))
		}
	}
	noneLost("when a host was killed")
	both("first")
	second.start()
	both("first", "second")
	noneLost("when the host was started again")

	for name, h := range map[string]*sampleHost{"first": first, "second": second} {
		h.end(syscall.SIGTERM)
		noneLost(name + " was stopped")
		h.start()
		both("first", "second")
		noneLost(name + " was started again")
	}
}
