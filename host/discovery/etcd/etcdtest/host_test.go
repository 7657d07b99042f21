package etcdtest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config/load"
	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/discovery/etcd/etcdtest"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire"
)

// errand is a handler that calls other hosts.
type errand struct{ arith registry.Client }

func (e *errand) Run(ctx context.Context, a *factors, r *product) error {
	return e.arith.Call(ctx, "Where", a, r)
}

// calling starts a host that finds Arith in the etcd at url and calls it.
func calling(t testing.TB, url string) *hosttest.Host {
	t.Helper()
	reg := registry.New()
	registry.Register("test.errand", struct{}{}, func(_ context.Context, _ struct{}, e registry.Env) (*registry.Service, error) {
		return registry.Receiver(&errand{e.Client("arith")}), nil
	}, registry.In(reg), registry.Uses("arith"), registry.Methods[errand]())
	return hosttest.Start(t, fmt.Sprintf(`
host: {name: caller}
services: [{name: Errand, handler: test.errand, uses: {arith: arith}}]
upstreams: [{name: arith, service: Arith, resolve: {etcd: main}, loadBalancer: {policy: roundRobin}}]
discovery: {etcd: [{name: main, endpoints: [%q]}]}
`, url), hosttest.Options{Registry: reg, Log: io.Discard})
}

// steady makes calls without a pause, and records the failures and the hosts that answered.
type steady struct {
	calls atomic.Int64
	stop  context.CancelFunc
	done  sync.WaitGroup

	mu   sync.Mutex
	errs []string
	on   map[string]int
}

func callSteadily(t testing.TB, h *hosttest.Host) *steady {
	t.Helper()
	s := &steady{on: map[string]int{}}
	ctx, stop := context.WithCancel(context.Background())
	s.stop = stop
	for range 4 {
		c := h.Dial()
		s.done.Go(func() {
			for ctx.Err() == nil {
				s.call(c)
				time.Sleep(time.Millisecond) // leave the cores to the hosts and etcd
			}
		})
	}
	t.Cleanup(func() { stop(); s.done.Wait() })
	return s
}

func (s *steady) call(c *wire.Conn) {
	var r product
	err := hosttest.CallJSON(context.Background(), c, "Errand", "Run", factors{A: 2, B: 3}, &r)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.calls.Add(1)
	s.on[r.On]++
	if err != nil && len(s.errs) < 10 {
		s.errs = append(s.errs, time.Now().Format("04:05.000 ")+err.Error())
	}
}

// answering returns the hosts that have answered since its last call.
func (s *steady) answering() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	var names []string
	for name := range s.on {
		names = append(names, name)
	}
	slices.Sort(names)
	s.on = map[string]int{}
	return names
}

// end stops the calls. None may have failed.
func (s *steady) end(t testing.TB) {
	t.Helper()
	s.stop()
	s.done.Wait()
	if len(s.errs) > 0 || s.calls.Load() == 0 {
		t.Errorf("of %d calls some failed:\n%s", s.calls.Load(), strings.Join(s.errs, "\n"))
	}
}

// registeredWithin waits until all hosts are in etcd again, and logs how long that took.
func registeredWithin(t testing.TB, d time.Duration, server *etcdtest.Server, hosts ...*hosttest.Host) {
	t.Helper()
	began := time.Now()
	soon(t, "the hosts are registered again", func() bool {
		keys := server.Keys()
		return !slices.ContainsFunc(hosts, func(h *hosttest.Host) bool { return keys["services/arith/"+h.Address] == "" })
	})
	if took := time.Since(began); took > slack*d {
		t.Errorf("registered again after %v, want %v at most", took, slack*d)
	}
}

func TestHostsServeEachOtherWhateverHappensToEtcd(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t)
	own := etcdtest.Proxy(t, server.Address()) // the first host's connection to etcd
	h1, _ := published(t, own.URL(), "h1", "Arith")
	h2, _ := published(t, server.URL(), "h2", "Arith")
	caller := calling(t, server.URL())
	soon(t, "a call is answered", func() bool {
		var r product
		return hosttest.CallJSON(t.Context(), caller.Dial(), "Errand", "Run", factors{}, &r) == nil
	})
	calls := callSteadily(t, caller)
	both := func(what string) {
		t.Helper()
		calls.answering()
		soon(t, "both hosts answer "+what, func() bool { return len(calls.answering()) == 2 })
	}
	both("at first")

	server.Stop()
	time.Sleep(outage(t)) // the test is about what happens meanwhile
	both("while etcd is unreachable")
	server.Restart(true)
	registeredWithin(t, backAfter, server, h1, h2)
	both("after etcd came back empty")

	server.Compact()
	server.RevokeLeases()
	server.Compact()
	registeredWithin(t, backAfter, server, h1, h2)
	both("after a compaction")

	own.Mute()
	time.Sleep(outage(t))
	own.Heal()
	registeredWithin(t, 15*time.Second, server, h1, h2) // keepalive detects a muted connection
	both("after one host was cut off")

	server.Wipe()
	registeredWithin(t, backAfter, server, h1, h2)
	both("after all keys were deleted")
	calls.end(t)
}

func TestAHostThatEndsIsWithdrawnFirstAndLosesNoCall(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t)
	h1, _ := published(t, server.URL(), "h1", "Arith")
	h2, _ := published(t, server.URL(), "h2", "Arith")
	caller := calling(t, server.URL())
	registeredWithin(t, patience, server, h1, h2)
	calls := callSteadily(t, caller)
	for i := range 3 {
		next, _ := published(t, server.URL(), fmt.Sprint("n", i), "Arith")
		registeredWithin(t, patience, server, next)
		h1.Drain()
		soon(t, "the draining host's key is deleted", func() bool { return server.Keys()["services/arith/"+h1.Address] == "" })
		h1.Stop()
		h1, h2 = h2, next
	}
	calls.end(t)
}

func TestWhatIsPublishedFollowsTheManifest(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t)
	h, _ := published(t, server.URL(), "h1", "Arith", "Secret")
	is := func(what string, keys ...string) {
		t.Helper()
		soon(t, what, func() bool {
			var got []string
			for key := range server.Keys() {
				got = append(got, strings.TrimSuffix(strings.TrimPrefix(key, "services/"), "/"+h.Address))
			}
			slices.Sort(got)
			return slices.Equal(got, keys)
		})
	}
	apply := func(from, to string) {
		t.Helper()
		h.Edit("easymicro.yaml", from, to)
		if r := h.Revision(); r.Result != host.ResultApplied {
			t.Fatalf("%v %s", r.Problems, r.Error)
		}
	}
	is("all services are published", "arith", "secret")
	apply("{name: Secret,", "{name: Secret, publish: false,")
	is("one is taken back", "arith")
	apply("{name: Arith,", "{name: Arith, aliases: [Maths], metadata: {weight: \"7\"},")
	is("an alias comes", "arith", "maths")
	soon(t, "metadata is published", func() bool {
		return strings.Contains(server.Keys()["services/arith/"+h.Address], `"weight":"7"`)
	})
	apply("leaseTTL: 2s", "leaseTTL: 3s")
	is("another lease keeps all", "arith", "maths")
	apply("register: {leaseTTL: 3s}", "prefix: other/")
	is("nothing is published without register")
}

func TestTheStatusShowsDiscovery(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t)
	h, _ := published(t, server.URL(), "h1", "Arith")
	caller := calling(t, server.URL())
	registeredWithin(t, patience, server, h)
	soon(t, "a call is answered", func() bool {
		var r product
		return hosttest.CallJSON(t.Context(), caller.Dial(), "Errand", "Run", factors{}, &r) == nil
	})
	s, err := h.Admin.Status(t.Context())
	if err != nil || len(s.Discovery) != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	if d := s.Discovery[0]; !d.Connected || !d.Registered || d.Lease == "" || d.RegisteredSince.IsZero() || len(d.Instances) != 1 {
		t.Errorf("%+v", d)
	}
	if s, err = caller.Admin.Status(t.Context()); err != nil || len(s.Upstreams) != 1 || len(s.Upstreams[0].Endpoints) != 1 {
		t.Fatalf("%+v, %v", s, err)
	}
	if e := s.Upstreams[0].Endpoints[0]; e.Address != h.Address || e.State != "ready" {
		t.Errorf("%+v", e)
	}
}

func TestAHostThatRequiresEtcdDoesNotStartWithoutIt(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t)
	server.Stop()
	open := func(required bool) *host.Host {
		t.Helper()
		path := filepath.Join(t.TempDir(), "easymicro.yaml")
		write(t, path, fmt.Sprintf("services: []\nlisteners: [{name: main, address: \"127.0.0.1:0\"}]\nadmin: {address: \"\"}\n"+
			"discovery:\n  etcd:\n    - name: main\n      endpoints: [%q]\n      required: %t\n", server.URL(), required))
		set, files, err := host.LoadFiles(path, load.Options{})
		if err != nil {
			t.Fatal(err)
		}
		h, err := host.Open(t.Context(), set, host.Options{Registry: registry.New(), Source: files})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	err := open(true).Run(t.Context())
	if err == nil || !strings.Contains(err.Error(), "easymicro.yaml:8:") || !strings.Contains(err.Error(), server.URL()) {
		t.Errorf("%v: does not name the unreachable etcd and its position", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	h := open(false)
	ran := make(chan error, 1)
	go func() { ran <- h.Run(ctx) }()
	soon(t, "the host that does not require etcd listens", func() bool { return h.Addr("main") != nil })
	cancel()
	if err := <-ran; err != nil {
		t.Error(err)
	}
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func TestTwoLiveHostsWithOneNameAreReported(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t)
	h1, _ := published(t, server.URL(), "same", "Arith")
	h2, _ := published(t, server.URL(), "same", "Arith")
	soon(t, "both tell of the other", func() bool {
		a, errA := h1.Admin.Status(t.Context())
		b, errB := h2.Admin.Status(t.Context())
		return errors.Join(errA, errB) == nil && a.Discovery[0].Duplicate == h2.Address && b.Discovery[0].Duplicate == h1.Address
	})
}
