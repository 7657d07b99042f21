package etcdtest_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/discovery/etcd/etcdtest"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	_ "github.com/easymicro/easymicro/samples"
)

type (
	factors struct {
		A int `json:"a"`
		B int `json:"b"`
	}
	product struct {
		C  int    `json:"c"`
		On string `json:"on,omitempty"`
	}
)

// maths is the handler of the hosts. It counts its calls and returns the name of its host.
type maths struct {
	on      string
	calls   atomic.Int64
	entered chan struct{}
	release chan struct{}
}

func (m *maths) Mul(_ context.Context, a *factors, r *product) error {
	m.calls.Add(1)
	r.C = a.A * a.B
	return nil
}

func (m *maths) Where(_ context.Context, _ *factors, r *product) error {
	r.On = m.on
	return nil
}

func (m *maths) Wait(ctx context.Context, _ *factors, r *product) error {
	m.entered <- struct{}{}
	select {
	case <-m.release:
	case <-ctx.Done():
		return ctx.Err()
	}
	r.On = m.on
	return nil
}

// published starts a host that publishes its services in the etcd at url.
func published(t testing.TB, url, name string, services ...string) (*hosttest.Host, *maths) {
	t.Helper()
	m := &maths{on: name, entered: make(chan struct{}, 1000), release: make(chan struct{})}
	reg := registry.New()
	registry.Plain(m, registry.In(reg), registry.As("test.maths"))
	var list []string
	for _, s := range services {
		list = append(list, "{name: "+s+", handler: test.maths}")
	}
	h := hosttest.Start(t, fmt.Sprintf(`
host: {name: %s, shutdown: {drainDelay: 300ms, gracePeriod: 20s}}
discovery: {etcd: [{name: main, endpoints: [%q], register: {leaseTTL: 2s}}]}
services: [%s]
`, name, url, strings.Join(list, ", ")), hosttest.Options{Registry: reg, Log: io.Discard})
	return h, m
}

// leading starts a gateway for the etcd at url. With healthy 0 it drops lost endpoints at once.
func leading(t testing.TB, url, services string, healthy int, more string) *hosttest.Host {
	t.Helper()
	return hosttest.Start(t, fmt.Sprintf(`
host: {name: gw}
discovery: {etcd: [{name: main, endpoints: [%q], staleness: {minHealthyPercent: %d}}]}
gateway: {remote: {etcd: main, services: %s}}
%s`, url, healthy, services, more), hosttest.Options{Log: io.Discard})
}

// soon polls until ok returns true.
func soon(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}

func answers(h *hosttest.Host, path string) func() bool {
	return func() bool {
		r, _, err := h.TryPost(path, `{"a":1,"b":1}`)
		return err == nil && r.StatusCode == http.StatusOK
	}
}

func TestAGatewayFollowsWhatHostsPublish(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t)
	gw := leading(t, server.URL(), `[Arith, "Or*"]`, 0, "")
	soon(t, "what does not exist is not found, once etcd has answered", func() bool {
		r, _ := gw.Post("/Arith/Mul", `{}`)
		return r.StatusCode == http.StatusNotFound
	})
	own := etcdtest.Proxy(t, server.Address()) // the second host's connection to etcd
	published(t, server.URL(), "h1", "Arith", "Secret")
	published(t, own.URL(), "h2", "Orders")
	soon(t, "Arith appears", answers(gw, "/Arith/Mul"))
	soon(t, "Orders appears", answers(gw, "/Orders/Mul"))
	r, body := gw.Post("/Arith/mul", `{"a":73,"b":1500}`, "Easymicro-Version", "1.1", "Easymicro-SerializeType", "1", "Easymicro-Messageid", "1",
		"Content-Type", "application/x-www-form-urlencoded")
	if r.StatusCode != 200 || body != `{"c":109500}` {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	for path, want := range map[string]string{
		"/Order/Mul": "did you mean Orders?", "/Secret/Mul": `"unknown service Secret"`, "/Secrt/Mul": `"unknown service Secrt"`,
	} {
		if r, body := gw.Post(path, `{}`); r.StatusCode != 404 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, r.StatusCode, body)
		}
	}
	own.Cut() // as if it had been killed: it does not withdraw, and the lease expires
	soon(t, "Orders vanishes with its lease", func() bool {
		r, _ := gw.Post("/Orders/Mul", `{}`)
		return r.StatusCode == 404
	})
	if r, body := gw.Post("/Arith/Mul", `{"a":1,"b":1}`); r.StatusCode != http.StatusOK {
		t.Errorf("Arith has disappeared, too: %d %s", r.StatusCode, body)
	}
	own.Heal()
	soon(t, "Orders is back", answers(gw, "/Orders/Mul"))
}

func TestAGatewayKeepsServingWhileEtcdIsUnreachable(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t)
	published(t, server.URL(), "h1", "Arith")
	gw := leading(t, server.URL(), `["*"]`, 50, "")
	soon(t, "Arith appears", answers(gw, "/Arith/Mul"))
	server.Stop()
	for range 100 {
		if r, body := gw.Post("/Arith/Mul", `{}`); r.StatusCode != 200 {
			t.Fatalf("%d %s", r.StatusCode, body)
		}
	}
	server.Restart(true)
	published(t, server.URL(), "h2", "Orders")
	soon(t, "Orders appears in the empty etcd", answers(gw, "/Orders/Mul"))
	soon(t, "Arith is there again", answers(gw, "/Arith/Mul"))
}

// callers call through the gateway until done is closed, and return the number of calls and the failures.
func callers(gw *hosttest.Host, n int, path string, done <-chan struct{}) (calls int64, failures []string) {
	transport := &http.Transport{MaxIdleConnsPerHost: n}
	defer transport.CloseIdleConnections()
	var all sync.WaitGroup
	var count atomic.Int64
	var mu sync.Mutex
	for range n {
		all.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				count.Add(1)
				if why := post(transport, gw.URL+path); why != "" {
					mu.Lock()
					failures = append(failures, why)
					mu.Unlock()
				}
			}
		})
	}
	all.Wait()
	return count.Load(), failures
}

// post returns what is wrong with a response; "" if nothing.
func post(transport *http.Transport, url string) string {
	req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(`{"a":6,"b":7}`))
	if err != nil {
		return err.Error()
	}
	res, err := transport.RoundTrip(req)
	if err != nil {
		return err.Error()
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	switch {
	case err != nil:
		return err.Error()
	case string(body) != "{\"c\":42}\n":
		return fmt.Sprintf("%d %s", res.StatusCode, body)
	}
	return ""
}

// Not parallel: it loads the whole machine, and other tests depend on timing.
func TestAHostDrainsBehindAGatewayWithoutALostCall(t *testing.T) {
	server := etcdtest.Start(t)
	h1, _ := published(t, server.URL(), "h1", "Arith")
	gw := leading(t, server.URL(), `["*"]`, 50, "")
	soon(t, "Arith appears", answers(gw, "/Arith/Mul"))
	done := make(chan struct{})
	var running sync.WaitGroup
	var calls int64
	var failures []string
	running.Go(func() { calls, failures = callers(gw, 32, "/Arith/Mul", done) })
	_, m2 := published(t, server.URL(), "h2", "Arith")
	soon(t, "the second host is called", func() bool { return m2.calls.Load() > 100 })
	h1.Stop() // as SIGTERM does
	after := m2.calls.Load()
	soon(t, "the second host keeps serving", func() bool { return m2.calls.Load() > after+100 })
	h3, m3 := published(t, server.URL(), "h3", "Arith")
	soon(t, "a third host is called", func() bool { return m3.calls.Load() > 100 })
	h3.Stop()
	close(done)
	running.Wait()
	if len(failures) > 0 {
		t.Errorf("%d of %d calls failed: %s", len(failures), calls, failures[0])
	}
	t.Logf("%d calls", calls)
}

// Not parallel either. No call may be lost. The gateway prefers endpoints with low latency, so hosts that are equally fast
// share the calls evenly. On a busy machine one of them may seem slow for a while; then another gateway, without that
// history, must find them equal.
func TestAThousandCallersThroughOneGatewayToThreeHosts(t *testing.T) {
	server := etcdtest.Start(t)
	var hosts [3]*maths
	for i := range hosts {
		_, hosts[i] = published(t, server.URL(), fmt.Sprintf("h%d", i), "Arith")
	}
	var shares [][3]int64
	for range 3 {
		got := thousandCallers(t, leading(t, server.URL(), `["*"]`, 50, ""), &hosts)
		t.Logf("calls by host: %v", got)
		if even(got) {
			return
		}
		shares = append(shares, got)
	}
	t.Errorf("not even, by whatever gateway: %v", shares)
}

func even(calls [3]int64) bool {
	const share = 1000.0 * callsEach / 3
	for _, n := range calls {
		if math.Abs(float64(n)-share) > evenWithin*share {
			return false
		}
	}
	return true
}

// thousandCallers calls through a gateway from a thousand goroutines, and returns the number of calls to each host.
func thousandCallers(t *testing.T, gw *hosttest.Host, hosts *[3]*maths) (got [3]int64) {
	t.Helper()
	var before [3]int64
	for i, h := range hosts {
		before[i] = h.calls.Load()
	}
	soon(t, "all three are called", func() bool {
		answers(gw, "/Arith/Mul")()
		return hosts[0].calls.Load() > before[0] && hosts[1].calls.Load() > before[1] && hosts[2].calls.Load() > before[2]
	})
	for i, h := range hosts {
		before[i] = h.calls.Load()
	}
	transport := &http.Transport{MaxIdleConnsPerHost: 1000}
	defer transport.CloseIdleConnections()
	var all sync.WaitGroup
	var failed atomic.Int64
	for range 1000 {
		all.Go(func() {
			for range callsEach {
				if why := post(transport, gw.URL+"/Arith/Mul"); why != "" && failed.Add(1) == 1 {
					t.Error(why)
				}
			}
		})
	}
	all.Wait()
	for i, h := range hosts {
		got[i] = h.calls.Load() - before[i]
	}
	if sum := got[0] + got[1] + got[2]; failed.Load() > 0 || sum != 1000*callsEach {
		t.Errorf("%d failed, %d came to the hosts of %d", failed.Load(), sum, 1000*callsEach)
	}
	return got
}

func TestCallsThroughAGatewayEndInTime(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t)
	_, m := published(t, server.URL(), "h1", "Arith")
	server.Put("services/dead/127.0.0.1:1", "")
	gw := leading(t, server.URL(), `["*"]`, 50, `
policies:
  rules:
    - {name: short, match: {service: "*", method: Wait}, timeout: 100ms}
    - {name: fuse, match: {upstream: "dead"}, circuitBreaker: {consecutiveFailures: 3, openTimeout: 1m, scope: upstream}}
`)
	soon(t, "Arith appears", answers(gw, "/Arith/Mul"))
	if r, body := gw.Post("/Arith/Wait", `{}`); r.StatusCode != 504 || !strings.Contains(body, `"rule":"short@r1"`) {
		t.Errorf("%d %s", r.StatusCode, body)
	}
	<-m.entered
	for range 3 {
		if r, body := gw.Post("/dead/Mul", `{}`); r.StatusCode != 502 || !strings.Contains(body, `"reason":"no_endpoint"`) {
			t.Errorf("%d %s", r.StatusCode, body)
		}
	}
	r, body := gw.Post("/dead/Mul", `{}`)
	if r.StatusCode != 503 || r.Header.Get("Retry-After") == "" || !strings.Contains(body, `"rule":"fuse@r1"`) {
		t.Errorf("%d %s", r.StatusCode, body)
	}
}

// The manifests of samples/gatewayalone, with an etcd.
func TestTheSampleOfTheStandaloneGateway(t *testing.T) {
	t.Parallel()
	server := etcdtest.Start(t)
	const folder = "../../../../samples/gatewayalone/"
	start := func(name string) *hosttest.Host {
		text, err := os.ReadFile(folder + name)
		if err != nil {
			t.Fatal(err)
		}
		rules, err := os.ReadFile(folder + "policies.yaml")
		if err != nil {
			t.Fatal(err)
		}
		return hosttest.Start(t, strings.Replace(string(text), "http://127.0.0.1:2379", server.URL(), 1),
			hosttest.Options{Log: io.Discard, Files: map[string]string{"policies.yaml": string(rules)}})
	}
	maths, gw := start("easymicro.yaml"), start("gateway.yaml")
	soon(t, "Arith appears", answers(gw, "/Arith/Mul"))
	for _, path := range []string{"/Arith/Mul", "/Arith/mul", "/v1/mul"} {
		if r, body := gw.Post(path, `{"a":73,"b":1500}`); r.StatusCode != 200 || body != `{"c":109500}` {
			t.Errorf("%s: %d %s", path, r.StatusCode, body)
		}
	}
	maths.Stop()
	soon(t, "Arith has disappeared", func() bool {
		r, _ := gw.Post("/Arith/Mul", `{}`)
		return r.StatusCode == http.StatusBadGateway || r.StatusCode == http.StatusNotFound
	})
	start("easymicro.yaml")
	soon(t, "Arith is back", answers(gw, "/Arith/Mul"))
}
