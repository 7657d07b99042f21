package host_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/registry"
	"github.com/easymicro/easymicro/wire/code"
)

// jitter is how much a breaker's open time may vary.
const jitter = 1.1

// A dead upstream: callers get UNAVAILABLE within the timeout, the breaker opens, retries stay inside the budget, and all
// is back within openTimeout after the upstream is, whatever the back-off of the client has grown to.
func TestADeadUpstreamIsFailedFastAndIsBackInTime(t *testing.T) {
	for _, scope := range []string{"endpoint", "upstream"} {
		t.Run(scope, func(t *testing.T) {
			t.Parallel()
			const openTimeout, timeout = time.Second, 2 * time.Second
			far, _ := startTill(t, 0)
			h := startDesk(t, fmt.Sprintf("rules: [{name: r, match: {upstream: till}, timeout: %s, retry: {maxAttempts: 3},"+
				" circuitBreaker: {minRequests: 20, failureRate: 50%%, openTimeout: %s, scope: %s}}]\n", timeout, openTimeout, scope), far)
			_, err := mul(t, h, 1, 1)
			must(t, err)
			far.Stop()

			var calls, wrong, slow, byRule atomic.Int64
			var all sync.WaitGroup
			end := time.Now().Add(4 * openTimeout) // the client backs off for up to 2.4 s
			for range 16 {
				all.Go(func() {
					for time.Now().Before(end) {
						began := time.Now()
						_, err := mul(t, h, 2, 3)
						calls.Add(1)
						if code.Of(err) != code.Unavailable {
							wrong.Add(1)
						}
						if time.Since(began) > timeout+time.Second {
							slow.Add(1)
						}
						if err != nil && strings.Contains(err.Error(), "circuit breaker open") && strings.Contains(err.Error(), "by r@r1") {
							byRule.Add(1)
						}
						time.Sleep(time.Millisecond)
					}
				})
			}
			all.Wait()
			if wrong.Load() > 0 || slow.Load() > 0 || byRule.Load() == 0 {
				t.Errorf("of %d calls %d were not UNAVAILABLE, %d took too long, %d were refused by the breaker",
					calls.Load(), wrong.Load(), slow.Load(), byRule.Load())
			}
			sent := retriesOf(t, h)
			if most := float64(calls.Load())*0.2 + 20; sent > most {
				t.Errorf("%v retries for %d calls", sent, calls.Load())
			}

			restartTill(t, far.Address)
			began := time.Now()
			within := time.Duration(jitter*float64(openTimeout)) + 900*time.Millisecond // for a busy machine
			for err = errStill; err != nil && time.Since(began) < within; {
				_, err = mul(t, h, 2, 3)
				time.Sleep(5 * time.Millisecond)
			}
			if err != nil {
				t.Fatalf("after %s: %v", time.Since(began), err)
			}
			t.Logf("back after %s", time.Since(began))
			for range 50 {
				if _, err := mul(t, h, 2, 3); err != nil {
					t.Fatal(err)
				}
			}
		})
	}
}

// retriesOf is how many retries rule r has sent.
func retriesOf(t *testing.T, h *hosttest.Host) float64 {
	t.Helper()
	found := regexp.MustCompile(`(?m)^easymicro_rule_decisions_total\{decision="allow",kind="retry",method="Till/Mul",rule="r"\} (\S+)$`).FindStringSubmatch(scrape(t, h))
	if found == nil {
		t.Fatal("retries are in no metric")
	}
	n, err := strconv.ParseFloat(found[1], 64)
	must(t, err)
	return n
}

var errStill = code.Errorf(code.Unavailable, "not asked yet")

// restartTill runs a till at an address again.
func restartTill(t *testing.T, address string) {
	t.Helper()
	reg := registry.New()
	registry.Plain(&till{gate: newGate()}, registry.In(reg), registry.As("test.till"))
	hosttest.Start(t, fmt.Sprintf("listeners: [{name: main, address: \":0\"}, {name: again, address: %q}]\n"+
		"services: [{name: Till, handler: test.till}]\n", address), hosttest.Options{Registry: reg})
}
