package wire_test

import (
	"context"
	"io"
	"net"
	"os"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/wiretest"
)

const (
	attackCalls = 2000      // of the budget
	attackBytes = 64 << 20  // of the budget
	attackSlack = 160 << 20 // connections, what the attackers hold themselves, and what is made while the collector looks
)

// attackTime is how long an attack lasts: seconds, or as long as TEST_EASYMICRO_LONG is set for minutes.
func attackTime() time.Duration {
	if os.Getenv("TEST_EASYMICRO_LONG") != "" {
		return 2 * time.Minute
	}
	return 1500 * time.Millisecond
}

// attacked is a server under attack, with healthy callers beside.
type attacked struct {
	address string
	budget  *wire.Budget
	until   time.Time
}

// attack has attackers at work for a while, each again and again, and checks what others notice of it.
func attack(t *testing.T, attackers int, strike func(a *attacked, c net.Conn)) {
	if testing.Short() {
		t.Skip("it keeps the processors busy for seconds")
	}
	budget := wire.NewBudget(attackCalls, attackBytes)
	address, _, _ := onTCPWith(t, wire.ServerOptions{Handler: wire.HandlerFunc(slowOrEcho), Budget: budget})
	a := &attacked{address: address, budget: budget, until: time.Now().Add(attackTime())}
	ctx, stop := context.WithCancel(t.Context())
	var healthy, bad sync.WaitGroup
	var calls, peak atomic.Int64
	for range 4 {
		c := dialTCP(t, address)
		healthy.Go(func() {
			for ctx.Err() == nil {
				if got, err := call(t.Context(), c, "Echo", "x"); err != nil || got != "x" {
					t.Errorf("a healthy caller: %q, %v", got, err)
					return
				}
				calls.Add(1)
			}
		})
	}
	healthy.Go(func() { watchMemory(ctx, &peak) })
	for range attackers {
		bad.Go(func() {
			for time.Now().Before(a.until) {
				a.visit(strike)
			}
		})
	}
	bad.Wait()
	stop()
	healthy.Wait()
	t.Logf("%d healthy calls; peak %d MiB of a budget of %d; %+v", calls.Load(), peak.Load()>>20, attackBytes>>20, budget.Usage())
	if peak.Load() > attackBytes+attackSlack {
		t.Errorf("%d MiB are in use, with a budget of %d", peak.Load()>>20, attackBytes>>20)
	}
	wiretest.Within(t, time.Minute, "all is back to rest", func() bool {
		u := budget.Usage()
		return u.InFlight == 0 && u.BufferedBytes == 0
	})
}

// visit has one connection at work.
func (a *attacked) visit(strike func(a *attacked, c net.Conn)) {
	c, err := net.Dial("tcp", a.address)
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetDeadline(a.until.Add(time.Second))
	strike(a, c)
}

func watchMemory(ctx context.Context, peak *atomic.Int64) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}} // garbage comes on top, as the collector allows
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			metrics.Read(live)
			peak.Store(max(peak.Load(), int64(live[0].Value.Uint64())))
		case <-ctx.Done():
			return
		}
	}
}

// slowOrEcho answers Echo at once, and Slow when its caller is gone, or after some time.
func slowOrEcho(ctx context.Context, req, res *wire.Frame) error {
	if req.Method == "Slow" {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(300 * time.Millisecond):
		}
	}
	return echo(ctx, req, res)
}

func TestFloodOfPipelinedCallsThatIsClosedAtOnceIsNotNoticedByOthers(t *testing.T) {
	flood := requests(500, "Slow", false)
	attack(t, 50, func(_ *attacked, c net.Conn) { _, _ = c.Write(flood) })
}

func TestFloodOfOneWayCallsIsNotNoticedByOthers(t *testing.T) {
	flood := requests(500, "Slow", true)
	attack(t, 50, func(a *attacked, c net.Conn) {
		for time.Now().Before(a.until) {
			if _, err := c.Write(flood); err != nil {
				return
			}
		}
	})
}

func TestPeersThatReadNothingAreNotNoticedByOthers(t *testing.T) {
	var asked []byte
	for seq := range uint64(500) {
		asked = wire.AppendFrame(asked, wiretest.Request(seq, "Test", "Echo", wire.Raw, make([]byte, 64<<10)))
	}
	attack(t, 50, func(a *attacked, c net.Conn) {
		for time.Now().Before(a.until) {
			if _, err := c.Write(asked); err != nil {
				return
			}
		}
	})
}

func TestHalfSentFramesAreNotNoticedByOthers(t *testing.T) {
	half := wiretest.Bytes(wiretest.Request(0, "Test", "Echo", wire.Raw, make([]byte, 4<<20-100)))[:3<<20]
	attack(t, 50, func(_ *attacked, c net.Conn) {
		_, _ = c.Write(half)
		_, _ = io.Copy(io.Discard, c)
	})
}
