package host_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/wire"
)

// peakMemory is the most memory that a process has had, in bytes.
func peakMemory(t *testing.T, pid int) (n int64) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	must(t, err)
	_, after, _ := strings.Cut(string(text), "VmHWM:")
	if _, err := fmt.Sscan(after, &n); err != nil {
		t.Fatal(err)
	}
	return n << 10
}

// attack opens connections one after the other, writes as much to each as it takes for a while, and closes it.
func attack(ctx context.Context, address string, frames []byte, pipelined time.Duration) {
	for ctx.Err() == nil {
		c, err := (&net.Dialer{}).DialContext(ctx, "tcp", address)
		if err != nil {
			continue
		}
		_ = c.SetDeadline(time.Now().Add(pipelined))
		for err == nil {
			_, err = c.Write(frames)
		}
		_ = c.Close()
	}
}

// burst is many calls of one method, as bytes.
func burst(n int, f wire.Frame) []byte {
	var all []byte
	for i := range n {
		f.Seq = uint64(i + 2)
		all = wire.AppendFrame(all, &f)
	}
	return all
}

// Whatever mix of floods comes, no call beside it fails, memory is bounded, and operators are answered. How soon is logged:
// the attackers have the same processors.
func TestAMixOfFloodsCostsNobodyElse(t *testing.T) {
	const budget = 64 << 20
	long := 5 * time.Second
	switch {
	case os.Getenv("TEST_EASYMICRO_LONG") != "":
		long = 5 * time.Minute
	case raceEnabled: // which makes the host so slow that it has work for minutes
		long = time.Second
	}
	c := startChild(t, `
host: {limits: {maxInFlight: 5000, maxBufferedBytes: 64MiB}, shutdown: {drainDelay: 0s, gracePeriod: 1s}}
services: [{name: Arith, handler: test.arith}, {name: Crash, handler: test.crash}]
listeners: [{name: main, address: "127.0.0.1:0"}]
health: {address: "127.0.0.1:0"}
`, 0)
	ctx, stop := context.WithTimeout(t.Context(), long)
	defer stop()
	pad, err := json.Marshal(map[string]any{"A": 2, "B": 3, "Pad": strings.Repeat("x", 60<<10)})
	must(t, err)
	small := wire.Frame{Codec: wire.JSON, Payload: []byte(`{"A":2,"B":3}`)}
	with := func(service, method string, oneWay bool, payload []byte) wire.Frame {
		f := small
		f.Service, f.Method, f.OneWay = service, method, oneWay
		if payload != nil {
			f.Payload = payload
		}
		return f
	}
	var floods sync.WaitGroup
	for _, frames := range [][]byte{
		burst(500, with("Crash", "Nap", false, nil)), // slow calls, of peers that go
		burst(500, with("Arith", "Mul", true, nil)),  // one-way
		burst(20, with("Arith", "Mul", false, pad)),  // answers that nobody reads
	} {
		for range 2 {
			floods.Go(func() { attack(ctx, c.Main, frames, 300*time.Millisecond) })
		}
	}
	var calls, failed atomic.Int64
	var mu sync.Mutex
	var waits, asked []time.Duration
	healthy := func(call func() error) {
		floods.Go(func() {
			for ctx.Err() == nil {
				begin := time.Now()
				if err := call(); err != nil && ctx.Err() == nil {
					t.Log(err)
					failed.Add(1)
				}
				mu.Lock()
				waits = append(waits, time.Since(begin))
				mu.Unlock()
				calls.Add(1)
			}
		})
	}
	conn, err := wire.Dial(t.Context(), "tcp", c.Main, wire.ConnOptions{})
	must(t, err)
	t.Cleanup(func() { _ = conn.Close() })
	healthy(func() error { return hosttest.CallJSON(t.Context(), conn, "Arith", "Mul", args{2, 3}, new(reply)) })
	healthy(func() error { return post(t.Context(), "http://"+c.Main+"/Arith/Mul", `{"A":2,"B":3}`) })
	for ctx.Err() == nil {
		_, took := answers(t, "http://"+c.Health+"/livez")
		asked = append(asked, took)
		_, took = answers(t, "http://"+c.Admin+"/api/v1/status")
		asked = append(asked, took)
	}
	floods.Wait()
	slices.Sort(waits)
	slices.Sort(asked)
	peak := peakMemory(t, c.PID)
	t.Logf("%d healthy calls, p99 %v; operators waited %v at the median, %v at most; %d MiB at most", calls.Load(),
		waits[len(waits)*99/100], asked[len(asked)/2], asked[len(asked)-1], peak>>20)
	if failed.Load() > 0 {
		t.Errorf("%d healthy calls failed", failed.Load())
	}
	if peak > budget+256<<20 && !raceEnabled {
		t.Errorf("%d MiB were used", peak>>20)
	}
	atRest(t, c)
}

// post calls a method over HTTP.
func post(ctx context.Context, url, body string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err == nil && res.StatusCode != http.StatusOK {
		err = fmt.Errorf("%s %s", res.Status, text)
	}
	return err
}

// atRest waits until the host holds nothing.
func atRest(t *testing.T, c *child) {
	t.Helper()
	client := &admin.Client{Address: c.Admin}
	var last admin.Budget
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		s, err := client.Status(t.Context())
		must(t, err)
		if last = s.Budget; last.InFlight == 0 && last.BufferedBytes < 1<<20 {
			return
		}
	}
	t.Errorf("not at rest: %+v", last)
}
