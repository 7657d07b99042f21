package host_test

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
)

// Every edit of an upstream makes a client, and closes the one before: with its connections, and what looks for endpoints.
func TestStormsOfEditsOfUpstreamsLeaveNothingBehind(t *testing.T) {
	reloads := 1000
	if testing.Short() || raceEnabled {
		reloads = 200
	}
	one, _ := startTill(t, 0)
	two, _ := startTill(t, 1000)
	p := deskPlant(t)
	manifest := func(n int) string {
		address := []string{one.Address, two.Address}[n%2]
		text := fmt.Sprintf(`
listeners: [{name: main, address: "127.0.0.1:0"}]
admin: {address: ""}
services: [{name: Desk, handler: test.desk, uses: {till: till%d}}, {name: Other, handler: test.desk, uses: {till: till}}]
upstreams:
  - {name: till%d, service: Till, resolve: {endpoints: [%q]}, connection: {connectTimeout: 20s}}
  - {name: till, service: Till, resolve: {endpoints: [%q]}, connection: {connectTimeout: 20s, poolSize: %d}}
policies: {rules: [{name: out, match: {upstream: "till*"}, timeout: 30s, circuitBreaker: {consecutiveFailures: 1000}}]}
`, n%3, n%3, address, address, 1+n%4)
		if n%10 == 9 { // opened, and then taken back: another listener has the address
			text = strings.Replace(text, `"127.0.0.1:0"}]`, fmt.Sprintf(`"127.0.0.1:0"}, {name: taken, address: %q}]`, one.Address), 1)
		}
		return text
	}
	h := serving(t, p.reg, manifest(0))
	var calls atomic.Int64
	var first atomic.Pointer[error]
	stop := make(chan struct{})
	var callers sync.WaitGroup
	for i := range 4 {
		c, err := wire.Dial(t.Context(), "tcp", h.Addr("main").String(), wire.ConnOptions{})
		must(t, err)
		t.Cleanup(func() { _ = c.Close() })
		service := []string{"Desk", "Other"}[i%2]
		callers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if err := hosttest.CallJSON(t.Context(), c, service, "Mul", args{2, 3}, new(reply)); err != nil {
					first.CompareAndSwap(nil, &err)
				}
				calls.Add(1)
			}
		})
	}
	eventually(t, "all callers call", func() bool { return calls.Load() > 100 })
	goroutines := runtime.NumGoroutine()
	for n := 1; n <= reloads; n++ {
		if _, err := h.Apply(t.Context(), setOf(t, fmt.Sprint(n), manifest(n))); (err != nil) != (n%10 == 9) {
			t.Fatalf("edit %d: %v", n, err)
		}
	}
	eventually(t, "no goroutine is left behind", func() bool { return runtime.NumGoroutine() <= goroutines+30 })
	close(stop)
	callers.Wait()
	if err := first.Load(); err != nil {
		t.Errorf("of %d calls one failed: %v", calls.Load(), *err)
	}
	for _, far := range []*hosttest.Host{one, two} {
		eventually(t, "no connection is left behind", func() bool {
			s, err := far.Admin.Status(t.Context())
			return err == nil && s.Listeners[0].Connections <= 5
		})
	}
	t.Logf("%d reloads, %d calls", reloads, calls.Load())
}
