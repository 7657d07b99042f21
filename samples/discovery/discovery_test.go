package discovery_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/discovery"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	_ "github.com/easymicro/easymicro/samples"
	sample "github.com/easymicro/easymicro/samples/discovery"
	"github.com/easymicro/easymicro/wire/client"
)

const patience = 20 * time.Second

// start runs a host of the sample without an etcd: it keeps serving. Behaviour with an etcd is tested in
// host/discovery/etcd/etcdtest.
func start(t *testing.T, manifest string) *hosttest.Host {
	t.Helper()
	text, err := os.ReadFile(manifest)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"127.0.0.1:2379", "drainDelay: 2s", "leaseTTL: 3s"} {
		if strings.Count(string(text), want) != 1 {
			t.Fatalf("%s does not have %q once", manifest, want)
		}
	}
	return hosttest.Start(t, strings.NewReplacer("127.0.0.1:2379", "127.0.0.1:1", "drainDelay: 2s", "drainDelay: 300ms").
		Replace(string(text)), hosttest.Options{})
}

func TestTheSecondManifestIsWithoutProblemsToo(t *testing.T) {
	set, err := load.Load("second.yaml", load.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range host.Check(set, registry.Default()) {
		t.Error(p)
	}
}

// calls collects the results of callers until they are stopped.
type calls struct {
	first, second, failed atomic.Int64
	lastError             atomic.Value
	stop                  context.CancelFunc
	all                   sync.WaitGroup
}

func begin(t *testing.T, c *client.Client, callers int) *calls {
	ctx, stop := context.WithCancel(t.Context())
	got := &calls{stop: stop}
	for range callers {
		got.all.Go(func() {
			for ctx.Err() == nil {
				answer, err := client.Call[sample.Answer](t.Context(), c, "Echo", "Say", sample.Text{Text: "hello"})
				switch {
				case err != nil:
					got.failed.Add(1)
					got.lastError.Store(err)
				case answer.Host == "first":
					got.first.Add(1)
				case answer.Host == "second":
					got.second.Add(1)
				}
			}
		})
	}
	t.Cleanup(got.end)
	return got
}

func (c *calls) end() { c.stop(); c.all.Wait() }

// rises waits until a count has increased.
func (c *calls) rises(t *testing.T, what string, count *atomic.Int64) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for before := count.Load(); count.Load() < before+50; {
		if time.Now().After(deadline) {
			t.Fatalf("%s does not answer; of %d errors the last: %v", what, c.failed.Load(), c.lastError.Load())
		}
		time.Sleep(time.Millisecond)
	}
}

// With endpoints from a file instead of etcd: hosts are added and removed under load, and no call is lost.
func TestHostsAreRemovedOneByOneWithoutALostCall(t *testing.T) {
	one, two := start(t, "easymicro.yaml"), start(t, "second.yaml")
	nodes := filepath.Join(t.TempDir(), "nodes.yaml")
	write := func(addresses ...string) {
		t.Helper()
		text := "endpoints:\n"
		for _, a := range addresses {
			text += "- address: " + a + "\n"
		}
		if err := os.WriteFile(nodes, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(one.Address, two.Address)
	c, err := client.New(client.Options{Resolver: discovery.File(nodes, discovery.FileOptions{})})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	got := begin(t, c, 16)
	got.rises(t, "the first host", &got.first)
	got.rises(t, "the second host", &got.second)

	one.Stop()
	got.rises(t, "the second host, alone", &got.second)
	three := start(t, "easymicro.yaml")
	write(three.Address, two.Address)
	got.rises(t, "the first host's successor", &got.first)
	two.Stop()
	got.rises(t, "the first host's successor, alone", &got.first)
	four := start(t, "second.yaml")
	write(three.Address, four.Address)
	got.rises(t, "the second host's successor", &got.second)
	got.end()
	if n := got.failed.Load(); n > 0 {
		t.Errorf("%d calls were lost, the last: %v", n, got.lastError.Load())
	}
}
