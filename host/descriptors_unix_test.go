//go:build unix

package host_test

import (
	"context"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
)

// answers gets a page over a connection of its own and says how long that took.
func answers(t *testing.T, url string) (body string, took time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	must(t, err)
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	begin := time.Now()
	res, err := client.Do(req)
	must(t, err)
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	must(t, err)
	if res.StatusCode != http.StatusOK {
		t.Errorf("%s: %s %s", url, res.Status, text)
	}
	return string(text), time.Since(begin)
}

// Descriptors are kept back from callers: a client that opens all connections leaves operators and kubelets theirs,
// and connected clients are served.
func TestOperatorsAreAnsweredWhileCallersHaveAllDescriptors(t *testing.T) {
	c := startChild(t, `
host: {shutdown: {drainDelay: 0s}}
services: [{name: Arith, handler: test.arith}]
listeners: [{name: main, address: "127.0.0.1:0"}]
health: {address: "127.0.0.1:0"}
`, 128)
	healthy, err := net.Dial("tcp", c.Main)
	must(t, err)
	conn := wire.NewConn(healthy, wire.ConnOptions{})
	t.Cleanup(func() { _ = conn.Close() })
	ctx, stop := context.WithCancel(t.Context())
	var flood sync.WaitGroup
	defer flood.Wait()
	defer stop()
	for range 4 {
		flood.Go(func() { connectOften(ctx, c.Main) })
	}
	eventually(t, "callers have all descriptors", func() bool {
		text, _ := answers(t, "http://"+c.Admin+"/metrics")
		return strings.Contains(text, `easymicro_accept_errors_total{listener="main",reason="no_descriptors"}`)
	})
	var waits []time.Duration
	for range 50 {
		for _, url := range []string{"http://" + c.Admin + "/api/v1/status", "http://" + c.Health + "/livez", "http://" + c.Health + "/readyz"} {
			text, took := answers(t, url)
			waits = append(waits, took)
			if strings.HasSuffix(url, "status") && !strings.Contains(text, `"no_descriptors"`) {
				t.Error("the status does not say that connections are rejected")
			}
		}
		var r reply
		must(t, hosttest.CallJSON(ctx, conn, "Arith", "Mul", args{2, 3}, &r))
	}
	slices.Sort(waits)
	t.Logf("answers took %v at the median, %v at most", waits[len(waits)/2], waits[len(waits)-1])
	told := 0
	for line := range strings.Lines(c.log.String()) {
		if strings.Contains(line, "not accepting connections") && strings.Contains(line, "main") && strings.Contains(line, "no_descriptors") {
			told++
		}
	}
	if told != 1 {
		t.Errorf("%d lines say that connections of main are not accepted for want of descriptors", told)
	}
}

// connectOften opens connections that say nothing, and keeps those that stay open.
func connectOften(ctx context.Context, address string) {
	var held []net.Conn
	defer func() {
		for _, c := range held {
			_ = c.Close()
		}
	}()
	for ctx.Err() == nil {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			continue
		}
		_ = c.SetReadDeadline(time.Now().Add(2 * time.Millisecond))
		if _, err := c.Read(make([]byte, 1)); err != nil && !isTimeout(err) {
			_ = c.Close() // rejected
			continue
		}
		held = append(held, c)
	}
}
