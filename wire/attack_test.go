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
	attackCalls = 500      // of the budget
	attackBytes = 16 << 20 // of the budget
	attackOver  = 16 << 20 // beyond the budget: answers of calls that ran already, one message, and the reserve
	attackHeap  = 96 << 20 // connections, the attackers' own memory, and what is allocated during a collection
)

// attackTime returns the duration of an attack, which TEST_EASYMICRO_LONG extends to minutes.
func attackTime() time.Duration {
	if os.Getenv("TEST_EASYMICRO_LONG") != "" {
		return 2 * time.Minute
	}
	return 400 * time.Millisecond
}

// attacked is a server under attack that also has healthy callers.
type attacked struct {
	address string
	budget  *wire.Budget
	until   time.Time
	calls   atomic.Int64 // the most that were in flight
	bytes   atomic.Int64 // the most that were buffered
	heap    atomic.Int64 // the most that was live
}

// attack runs strike repeatedly in concurrent attackers, and checks that healthy callers are not affected.
func attack(t *testing.T, attackers int, strike func(a *attacked, c net.Conn)) {
	if testing.Short() {
		t.Skip("it keeps the processors busy for seconds")
	}
	budget := wire.NewBudget(attackCalls, attackBytes)
	address, _, _ := onTCPWith(t, wire.ServerOptions{Handler: wire.HandlerFunc(slowOrEcho), Budget: budget})
	before := int64(liveHeap())
	a := &attacked{address: address, budget: budget, until: time.Now().Add(attackTime())}
	ctx, stop := context.WithCancel(t.Context())
	var healthy, bad sync.WaitGroup
	var calls atomic.Int64
	for range 4 {
		c := dialTCP(t, address)
		if _, err := call(t.Context(), c, "Echo", "x"); err != nil { // a new connection is as an attacker's
			t.Fatal(err)
		}
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
	healthy.Go(func() { a.watch(ctx) })
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
	grown := a.heap.Load() - before
	t.Logf("%d healthy calls; at most %d calls, %d KiB, and %d MiB of heap", calls.Load(), a.calls.Load(), a.bytes.Load()>>10, grown>>20)
	if a.calls.Load() > attackCalls {
		t.Errorf("%d calls are in flight, with a budget of %d", a.calls.Load(), attackCalls)
	}
	if a.bytes.Load() > attackBytes+attackOver || grown > attackBytes+attackHeap {
		t.Errorf("%d KiB and %d MiB of heap are in use, with a budget of %d MiB", a.bytes.Load()>>10, grown>>20, attackBytes>>20)
	}
	wiretest.Within(t, time.Minute, "all is back to rest", func() bool {
		u := budget.Usage()
		return u.InFlight == 0 && u.BufferedBytes == 0
	})
}

// visit runs strike on one connection.
func (a *attacked) visit(strike func(a *attacked, c net.Conn)) {
	c, err := net.Dial("tcp", a.address)
	if err != nil {
		return
	}
	defer c.Close()
	_ = c.SetDeadline(a.until.Add(100 * time.Millisecond))
	strike(a, c)
}

func (a *attacked) watch(ctx context.Context) {
	live := []metrics.Sample{{Name: "/gc/heap/live:bytes"}} // garbage comes on top, as the collector allows
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			metrics.Read(live)
			a.heap.Store(max(a.heap.Load(), int64(live[0].Value.Uint64())))
			u := a.budget.Usage()
			a.calls.Store(max(a.calls.Load(), u.InFlight))
			a.bytes.Store(max(a.bytes.Load(), u.BufferedBytes))
		case <-ctx.Done():
			return
		}
	}
}

// slowOrEcho answers Echo at once, and Slow when its caller has disconnected, or after some time.
func slowOrEcho(ctx context.Context, req, res *wire.Frame) error {
	if req.Method == "Slow" {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return echo(ctx, req, res)
}

// again sends b until the attack is over or the server closes the connection.
func again(a *attacked, c net.Conn, b []byte) {
	for time.Now().Before(a.until) {
		if _, err := c.Write(b); err != nil {
			return
		}
	}
}

func TestFloodOfPipelinedCallsThatDisconnectsAtOnceDoesNotAffectOthers(t *testing.T) {
	flood := requests(500, "Slow", false)
	attack(t, 50, func(_ *attacked, c net.Conn) { _, _ = c.Write(flood) })
}

func TestFloodOfOneWayCallsDoesNotAffectOthers(t *testing.T) {
	flood := requests(500, "Slow", true)
	attack(t, 20, func(a *attacked, c net.Conn) { again(a, c, flood) })
}

// unread returns calls whose answers the caller never reads.
func unread() (b []byte) {
	for seq := range uint64(100) {
		b = wire.AppendFrame(b, wiretest.Request(seq, "Test", "Echo", wire.Raw, make([]byte, 64<<10)))
	}
	return b
}

func TestPeersThatReadNothingDoNotAffectOthers(t *testing.T) {
	asked := unread()
	attack(t, 50, func(a *attacked, c net.Conn) { again(a, c, asked) })
}

func halfFrame() []byte {
	return wiretest.Bytes(wiretest.Request(0, "Test", "Echo", wire.Raw, make([]byte, 4<<20-100)))[:3<<20]
}

func TestHalfSentFramesDoNotAffectOthers(t *testing.T) {
	half := halfFrame()
	attack(t, 50, func(_ *attacked, c net.Conn) {
		_, _ = c.Write(half)
		_, _ = io.Copy(io.Discard, c) // until it is cut, or the attack is over
	})
}

func TestLongCallsWithLongArgumentsDoNotAffectOthers(t *testing.T) {
	var long []byte
	for seq := range uint64(20) {
		long = wire.AppendFrame(long, wiretest.Request(seq, "Test", "Slow", wire.Raw, make([]byte, 1<<20)))
	}
	attack(t, 20, func(a *attacked, c net.Conn) {
		go func() { _, _ = io.Copy(io.Discard, c) }()
		again(a, c, long)
	})
}

func TestCallsThatAreCancelledAtOnceDoNotAffectOthers(t *testing.T) {
	var cancelled []byte
	for seq := range uint64(500) {
		cancelled = wire.AppendFrame(cancelled, wiretest.Request(seq, "Test", "Slow", wire.Raw, nil))
		for _, of := range []uint64{seq, seq + 1_000_000} {
			cancelled = wire.AppendFrame(cancelled, wiretest.OneWay(of, wire.CancelPath, "", wire.Raw, nil))
		}
	}
	attack(t, 20, func(a *attacked, c net.Conn) {
		go func() { _, _ = io.Copy(io.Discard, c) }()
		again(a, c, cancelled)
	})
}

func TestConcurrentAttacksDoNotAffectOthers(t *testing.T) {
	flood, asked, half := requests(500, "Slow", true), unread(), halfFrame()
	var turn atomic.Int64
	attack(t, 30, func(a *attacked, c net.Conn) {
		switch turn.Add(1) % 3 {
		case 0:
			again(a, c, flood)
		case 1:
			again(a, c, asked)
		default:
			_, _ = c.Write(half)
			_, _ = io.Copy(io.Discard, c)
		}
	})
}
