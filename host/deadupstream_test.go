package host_test

import (
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// What a breaker's open time may vary by, and how late anything may be on a busy machine.
const (
	jitter = 1.1
	busy   = 5 * time.Second
)

// A dead upstream: callers get UNAVAILABLE within the timeout, the breaker opens, retries stay inside the budget, and the
// first trial after the upstream is back finds it, whatever the back-off of the client has grown to: openTimeout later, or
// when the client may dial for the third time within a second.
func TestADeadUpstreamIsFailedFastAndIsBackInTime(t *testing.T) {
	for _, scope := range []string{"endpoint", "upstream"} {
		t.Run(scope, func(t *testing.T) {
			t.Parallel()
			const openTimeout, timeout = 500 * time.Millisecond, 5 * time.Second // a retry may wait a second for its dial
			address := wiretest.Address(t)
			far := startTillAt(t, address)
			manifest := strings.Replace(fmt.Sprintf(deskManifest, "till", address), "connectTimeout: 20s", "connectTimeout: 1s", 1)
			rules := fmt.Sprintf("rules: [{name: r, match: {upstream: till}, timeout: %s, retry: {maxAttempts: 3},"+
				" circuitBreaker: {minRequests: 20, failureRate: 50%%, openTimeout: %s, scope: %s}}]\n", timeout, openTimeout, scope)
			h := hosttest.Start(t, manifest, hosttest.Options{Registry: deskPlant(t).reg, Files: map[string]string{"p.yaml": rules}})
			_, err := mul(t, h, 1, 1)
			must(t, err)
			far.Stop()

			var calls, wrong, slow, byRule atomic.Int64
			var all sync.WaitGroup
			end := time.Now().Add(10 * openTimeout) // the client left alone would dial two seconds later than it did last
			for range 16 {
				all.Go(func() {
					for time.Now().Before(end) {
						began := time.Now()
						_, err := mul(t, h, 2, 3)
						calls.Add(1)
						if code.Of(err) != code.Unavailable {
							t.Logf("not UNAVAILABLE: %v", err)
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

			opened := openings(t, h) // no call is out
			startTillAt(t, address)
			began := time.Now()
			for err = errStill; err != nil && time.Since(began) < time.Duration(jitter*float64(openTimeout))+busy; {
				_, err = mul(t, h, 2, 3)
				time.Sleep(5 * time.Millisecond)
			}
			if err != nil {
				t.Fatalf("after %s: %v", time.Since(began), err)
			}
			if again := openings(t, h) - opened; again > 0 { // else it was closed by the trial after the first openTimeout
				t.Errorf("the breaker opened %d times with the upstream there", again)
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
	return metric(t, h, `easymicro_rule_decisions_total{decision="allow",kind="retry",method="Till/Mul",rule="r"}`)
}

var errStill = code.Errorf(code.Unavailable, "not asked yet")

// openings is how often the breaker of the calls to Till/Mul has opened.
func openings(t *testing.T, h *hosttest.Host) uint64 {
	t.Helper()
	status, err := h.Admin.Status(t.Context())
	must(t, err)
	if len(status.Breakers) != 1 {
		t.Fatalf("breakers: %+v", status.Breakers)
	}
	return status.Breakers[0].Transitions["open"]
}

// startTillAt runs a till at an address, which may have been that of one before.
func startTillAt(t *testing.T, address string) *hosttest.Host {
	t.Helper()
	far, _ := startTillUnder(t, 0, fmt.Sprintf("listeners: [{name: main, address: \":0\"}, {name: again, address: %q}]\n", address))
	far.Address = address
	return far
}
