package wire_test

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// blocking is a handler whose method Wait blocks. It counts the calls of Wait that have begun.
func blocking(release <-chan struct{}) (h wire.HandlerFunc, running *atomic.Int64) {
	running = new(atomic.Int64)
	return func(_ context.Context, req, res *wire.Frame) error {
		if req.Method == "Wait" {
			running.Add(1)
			<-release
		}
		res.Payload = append(res.Payload, "done"...)
		return nil
	}, running
}

func packedZeros(t testing.TB, c wire.Compression, n int) []byte {
	t.Helper()
	b, err := wire.AppendCompressed(nil, c, make([]byte, n))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// answers receives n frames and counts their outcomes.
func answers(p *wiretest.Peer, n int) (good, overloaded, other int) {
	for range n {
		f := p.Receive()
		e := wire.ErrorOf(f)
		switch {
		case e == nil:
			good++
		case e.Code == code.Unavailable && e.Reason == code.ReasonOverloaded && e.RetryAfter > 0:
			overloaded++
		default:
			other++
		}
	}
	return good, overloaded, other
}

func TestCallsBeyondMaxInFlightAreParkedUpToALimitWhileHeartbeatsAreAnswered(t *testing.T) {
	const most, parked, over = 3, 1000, 50
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h, running := blocking(release)
		r := newRig(t, h, wire.Limits{MaxInFlight: most})
		p := r.peer(t)
		begin := time.Now()
		for seq := range uint64(most + parked + over) {
			p.Send(wiretest.Request(seq, "Test", "Wait", wire.Raw, nil), wiretest.Heartbeat(seq+1_000_000))
		}
		beats, refused := 0, 0
		for beats < most+parked+over || refused < over {
			f := p.Receive()
			switch {
			case f.Heartbeat:
				beats++
			case f.Seq >= most+parked:
				refused++
				wantError(t, wire.ErrorOf(f), code.Unavailable, code.ReasonOverloaded)
			default:
				t.Fatalf("call %d is answered: %v", f.Seq, wire.ErrorOf(f))
			}
		}
		if took := time.Since(begin); took > 110*time.Millisecond {
			t.Errorf("heartbeats waited %v", took)
		}
		if n := running.Load(); n != most {
			t.Errorf("%d calls run, want %d", n, most)
		}
		close(release)
		if good, _, _ := answers(p, most+parked); good != most+parked {
			t.Errorf("%d of %d calls that were parked succeed", good, most+parked)
		}
		r.stop()
	})
}

// A stock client closes the connection when its heartbeat is not answered in time.
func TestLongCallsOfAStockClientOutliveItsHeartbeats(t *testing.T) {
	const calls, beat, patience = 1200, time.Second, 3 * time.Second
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(ctx context.Context, req, res *wire.Frame) error {
			select {
			case <-time.After(5 * time.Second):
				return echo(ctx, req, res)
			case <-ctx.Done():
				return ctx.Err()
			}
		}, wire.Limits{})
		p := r.peer(t)
		for seq := range uint64(calls) {
			p.Send(wiretest.Request(seq, "Test", "Wait", wire.Raw, nil))
		}
		alive, over, ended := make(chan struct{}), make(chan struct{}), make(chan struct{})
		beats := 0
		go func() {
			defer close(ended)
			for {
				p.Send(wiretest.Heartbeat(1_000_000))
				select {
				case <-alive:
					beats++
				case <-over: // before its answer was read
					return
				case <-time.After(patience):
					t.Error("the client gives up")
					return
				}
				select {
				case <-time.After(beat):
				case <-over:
					return
				}
			}
		}()
		begin := time.Now()
		for answered := make(map[uint64]bool); len(answered) < calls; {
			f := p.Receive()
			switch {
			case f.Heartbeat:
				alive <- struct{}{}
			case f.Status != wire.StatusNormal || answered[f.Seq]:
				t.Fatalf("call %d is lost: %v", f.Seq, wire.ErrorOf(f))
			default:
				answered[f.Seq] = true
			}
		}
		close(over)
		<-ended
		if took := time.Since(begin); took < 10*time.Second || beats < 10 {
			t.Errorf("%d heartbeats in %v", beats, took)
		}
		r.stop()
	})
}

func TestParkedCallsAreBoundedInBytes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h, _ := blocking(release)
		r := newRig(t, h, wire.Limits{MaxInFlight: 1})
		p := r.peer(t)
		for seq := range uint64(21) { // one runs, 16 of 64 KiB are parked
			p.Send(wiretest.Request(seq, "Test", "Wait", wire.Raw, make([]byte, 64<<10)))
		}
		if _, refused, _ := answers(p, 4); refused != 4 {
			t.Errorf("%d are refused", refused)
		}
		close(release)
		if good, _, _ := answers(p, 17); good != 17 {
			t.Errorf("%d of 17 succeed", good)
		}
		r.stop()
	})
}

func TestOneWayCallsBeyondTheQueueAreDroppedWithoutAnAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h, running := blocking(release)
		r := newRig(t, h, wire.Limits{MaxInFlight: 1})
		p := r.peer(t)
		for seq := range uint64(1100) {
			p.Send(wiretest.OneWay(seq, "Test", "Wait", wire.Raw, nil))
		}
		p.Send(wiretest.Heartbeat(5000))
		if f := p.Receive(); !f.Heartbeat {
			t.Errorf("got %+v", f)
		}
		close(release)
		synctest.Wait()
		if n, refused := running.Load(), r.seen.count(code.ReasonOverloaded); n != 1001 || refused != 99 {
			t.Errorf("%d run and %d are counted as refused, want 1001 and 99", n, refused)
		}
		r.stop()
	})
}

func TestCallsBeyondTheBudgetAreRefusedUntilOthersEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h, running := blocking(release)
		budget := wire.NewBudget(40, 0)
		r := newRigWith(t, wire.ServerOptions{Handler: h, Budget: budget, Host: "orders-1"})
		greedy, other := r.peer(t), r.peer(t)
		for seq := range uint64(30) {
			greedy.Send(wiretest.Request(seq, "Test", "Wait", wire.Raw, nil))
		}
		_, refused, _ := answers(greedy, 10)
		synctest.Wait()
		if refused != 10 || running.Load() != 20 {
			t.Errorf("%d refused, %d run; want half of the budget for a lone connection", refused, running.Load())
		}
		begin := time.Now()
		other.Send(wiretest.Request(1, "Test", "Echo", wire.Raw, nil))
		if f := other.Receive(); f.Status != wire.StatusNormal || time.Since(begin) != 0 {
			t.Errorf("another connection: %v after %v", wire.ErrorOf(f), time.Since(begin))
		}
		synctest.Wait() // the call of the other connection has ended
		if u := budget.Usage(); u.InFlight != 20 || u.Refused != 10 {
			t.Errorf("%+v", u)
		}
		close(release)
		if good, _, _ := answers(greedy, 20); good != 20 {
			t.Errorf("%d succeed", good)
		}
		synctest.Wait()
		if u := budget.Usage(); u.InFlight != 0 || u.BufferedBytes != 0 {
			t.Errorf("left over: %+v", u)
		}
		r.stop()
	})
}

func TestDecompressedBytesCountInTheBudget(t *testing.T) {
	const most, calls = 1 << 20, 10
	for _, c := range []wire.Compression{wire.Gzip, wire.Zstd} {
		packed := packedZeros(t, c, most)
		synctest.Test(t, func(t *testing.T) {
			release := make(chan struct{})
			h, running := blocking(release)
			budget := wire.NewBudget(0, 9*most)
			r := newRigWith(t, wire.ServerOptions{Handler: h, Budget: budget, Limits: wire.Limits{MaxDecompressedBytes: most}})
			p := r.peer(t)
			wait := func(payload []byte, c wire.Compression) {
				for seq := range uint64(calls) {
					req := wiretest.Request(seq, "Test", "Wait", wire.Raw, payload)
					req.Compression = c
					p.Send(req)
				}
			}
			wait(make([]byte, 60<<10), wire.NoCompression) // leaves large buffers in the pool
			for range calls {
				release <- struct{}{}
			}
			if good, _, _ := answers(p, calls); good != calls || running.Swap(0) != calls {
				t.Errorf("%d of %d long requests succeed", good, calls)
			}
			wait(packed, c)
			_, refused, _ := answers(p, calls-4)
			synctest.Wait()
			if n := running.Load(); n != 4 || refused != calls-4 {
				t.Errorf("%v: %d calls of %d bytes run and %d are refused, want 4 and %d", c, n, most, refused, calls-4)
			}
			p.Send(wiretest.Request(calls, "Test", "Plain", wire.Raw, nil))
			if f := p.Receive(); f.Seq != calls || f.Status != wire.StatusNormal {
				t.Errorf("%v: a plain call behind those: %+v", c, f)
			}
			close(release)
			if good, _, _ := answers(p, 4); good != 4 {
				t.Errorf("%v: %d succeed", c, good)
			}
			synctest.Wait()
			if u := budget.Usage(); u.BufferedBytes != 0 {
				t.Errorf("%v: %d bytes are left", c, u.BufferedBytes)
			}
			r.stop()
		})
	}
}

func TestHalfReadFramesThatUseUpTheBudgetDoNotDeadlock(t *testing.T) {
	const size = 512 << 10
	synctest.Test(t, func(t *testing.T) {
		budget := wire.NewBudget(0, 1<<20)
		r := newRigWith(t, wire.ServerOptions{Handler: wire.HandlerFunc(func(context.Context, *wire.Frame, *wire.Frame) error { return nil }), Budget: budget})
		whole := wiretest.Bytes(wiretest.Request(1, "Test", "Echo", wire.Raw, make([]byte, size)))
		var peers []*wiretest.Peer
		for range 8 {
			p := r.peer(t)
			peers = append(peers, p)
			go func() { _, _ = p.Write(whole[:size/2]) }()
		}
		synctest.Wait()
		for _, p := range peers {
			go func() { _, _ = p.Write(whole[size/2:]) }()
		}
		good := 0
		for _, p := range peers {
			ok, overloaded, other := answers(p, 1)
			good += ok
			if ok+overloaded != 1 {
				t.Errorf("%d other answers", other)
			}
		}
		if good == 0 {
			t.Error("none gets through")
		}
		synctest.Wait()
		if u := budget.Usage(); u.BufferedBytes != 0 || u.InFlight != 0 {
			t.Errorf("left over: %+v", u)
		}
		r.stop()
	})
}

func TestStalledFramesAreCutAfterASecondOnlyWhenMemoryIsShort(t *testing.T) {
	const size = 512 << 10
	half := wiretest.Bytes(wiretest.Request(1, "Test", "Echo", wire.Raw, make([]byte, 2*size)))[:size]
	for _, tc := range []struct {
		budget int64
		want   time.Duration
	}{{1 << 20, time.Second}, {1 << 30, 30 * time.Second}} {
		synctest.Test(t, func(t *testing.T) {
			budget := wire.NewBudget(0, tc.budget)
			others := budget.NewShare(nil)
			others.AddBytes(tc.budget/4*3 - size)
			r := newRigWith(t, wire.ServerOptions{Handler: wire.HandlerFunc(echo), Budget: budget, Limits: shortLimits})
			c := r.dial(t)
			if _, err := c.Write(half); err != nil {
				t.Fatal(err)
			}
			if tc.budget > 1<<20 {
				others.ReleaseBytes(tc.budget/4*3 - size)
			}
			if took := untilClosed(t, c); took != tc.want {
				t.Errorf("cut after %v, want %v", took, tc.want)
			}
			r.stop()
		})
	}
}

func TestRunningCallsOfOneConnectionHoldNoMoreThanTheBudgetAndOneMessage(t *testing.T) {
	const size, most, calls = 1<<20 - 1000, 8 << 20, 100
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h, running := blocking(release)
		budget := wire.NewBudget(0, most)
		r := newRigWith(t, wire.ServerOptions{Handler: h, Budget: budget})
		p := r.peer(t)
		var peak atomic.Int64
		go func() {
			for seq := range uint64(calls) {
				p.Send(wiretest.Request(seq, "Test", "Wait", wire.Raw, make([]byte, size)))
				peak.Store(max(peak.Load(), budget.Usage().BufferedBytes))
			}
		}()
		_, refused, _ := answers(p, calls-5)
		synctest.Wait()
		if held := max(peak.Load(), budget.Usage().BufferedBytes); held > most+size {
			t.Errorf("%d bytes of %d are held", held, most)
		}
		if n := running.Load(); n != 5 || refused != calls-5 { // half of the budget, and one that got what was not there
			t.Errorf("%d calls run and %d are refused", n, refused)
		}
		close(release)
		if good, _, _ := answers(p, 5); good != 5 {
			t.Errorf("%d succeed", good)
		}
		synctest.Wait()
		p.Send(wiretest.Request(calls, "Test", "Echo", wire.Raw, make([]byte, size)))
		if f := p.Receive(); f.Status != wire.StatusNormal {
			t.Errorf("a call afterwards: %v", wire.ErrorOf(f))
		}
		synctest.Wait()
		if u := budget.Usage(); u.BufferedBytes != 0 || u.InFlight != 0 {
			t.Errorf("left over: %+v", u)
		}
		r.stop()
	})
}

func TestFramesShortOfMemoryDelayHeartbeatsForATenthOfTheTime(t *testing.T) {
	const most, frames = 1 << 20, 40
	synctest.Test(t, func(t *testing.T) {
		budget := wire.NewBudget(0, most)
		others := budget.NewShare(nil)
		others.AddBytes(2 * most)
		r := newRigWith(t, wire.ServerOptions{Handler: wire.HandlerFunc(echo), Budget: budget})
		first := r.peer(t) // its half-read frame is the one that gets memory all the same
		half := wiretest.Bytes(wiretest.Request(0, "Test", "Echo", wire.Raw, make([]byte, 512<<10)))
		go func() { _, _ = first.Write(half[:len(half)/2]) }()
		time.Sleep(200 * time.Millisecond)

		p := r.peer(t)
		begin := time.Now()
		go func() {
			for seq := range uint64(frames) {
				p.Send(wiretest.Request(seq, "Test", "Echo", wire.Raw, make([]byte, 256<<10)))
			}
			p.Send(wiretest.Heartbeat(99))
		}()
		if _, refused, other := answers(p, frames); refused != frames {
			t.Errorf("%d are refused, %d other answers", refused, other)
		}
		if f := p.Receive(); !f.Heartbeat {
			t.Errorf("got %+v", f)
		}
		if took := time.Since(begin); took > 250*time.Millisecond {
			t.Errorf("the heartbeat behind them is answered after %v", took)
		}
		r.stop()
		others.ReleaseBytes(2 * most)
	})
}

func TestALengthThatGzipClaimsIsNotCharged(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := wire.NewBudget(0, 8<<20)
		others := budget.NewShare(nil)
		others.AddBytes(7 << 20)
		r := newRigWith(t, wire.ServerOptions{Handler: wire.HandlerFunc(echo), Budget: budget})
		p := r.peer(t)
		req := wiretest.Request(1, "Test", "Echo", wire.Raw, append(make([]byte, 20), 0, 0, 0xF0, 0)) // almost 16 MiB
		req.Compression = wire.Gzip
		p.Send(req)
		wantError(t, wire.ErrorOf(p.Receive()), code.InvalidArgument, code.ReasonBadPayload)
		r.stop()
		others.ReleaseBytes(7 << 20)
	})
}

func TestParkedCallsAreBoundedInMetadata(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		h, _ := blocking(release)
		r := newRig(t, h, wire.Limits{MaxInFlight: 1})
		p := r.peer(t)
		const calls, each = 300, 8000
		go func() {
			for seq := range uint64(calls) {
				p.Send(wiretest.With(wiretest.Request(seq, "Test", "Wait", wire.Raw, nil), "key", strings.Repeat("x", each)))
			}
		}()
		fit := 1 + 1<<20/(each+11)
		if _, refused, _ := answers(p, calls-fit); refused != calls-fit {
			t.Errorf("%d are refused, want %d", refused, calls-fit)
		}
		close(release)
		if good, _, _ := answers(p, fit); good != fit {
			t.Errorf("%d of %d succeed", good, fit)
		}
		r.stop()
	})
}

func TestAnswersOfAMethodAreReservedAfterALongOne(t *testing.T) {
	const most, size, callers = 8 << 20, 1 << 20, 100
	synctest.Test(t, func(t *testing.T) {
		budget := wire.NewBudget(0, most)
		r := newRigWith(t, wire.ServerOptions{Budget: budget, Handler: wire.HandlerFunc(func(ctx context.Context, req, res *wire.Frame) error {
			time.Sleep(10 * time.Millisecond)
			return mebibyte(ctx, req, res)
		})})
		first := r.peer(t)
		first.Send(wiretest.Request(0, "Test", "Get", wire.Raw, nil))
		first.Receive()
		var peak int64
		for range callers { // each has one answer made, and takes nothing of it
			p := r.peer(t)
			p.Send(wiretest.Request(0, "Test", "Get", wire.Raw, nil), wiretest.Request(1, "Test", "Get", wire.Raw, nil))
			time.Sleep(time.Millisecond)
			peak = max(peak, budget.Usage().BufferedBytes)
		}
		time.Sleep(100 * time.Millisecond)
		if peak = max(peak, budget.Usage().BufferedBytes); peak > most+2*size {
			t.Errorf("%d bytes of %d are held", peak, most)
		}
		small := r.peer(t)
		begin := time.Now()
		for { // all room may be reserved for one answer more, until the silent are cut
			small.Send(wiretest.Request(0, "Test", "Put", wire.Raw, nil))
			f := small.Receive()
			if f.Status == wire.StatusNormal {
				break
			}
			if time.Since(begin) > time.Minute {
				t.Fatalf("a call with a short answer: %v", wire.ErrorOf(f))
			}
			time.Sleep(100 * time.Millisecond)
		}
		for got := 0; got != size; time.Sleep(100 * time.Millisecond) { // until the silent are cut
			small.Send(wiretest.Request(1, "Test", "Get", wire.Raw, nil))
			f := small.Receive()
			if got = len(f.Payload); time.Since(begin) > time.Minute {
				t.Fatalf("a call with a long answer: %v", wire.ErrorOf(f))
			}
		}
		r.stop()
		synctest.Wait()
		if u := budget.Usage(); u.BufferedBytes != 0 || u.InFlight != 0 {
			t.Errorf("left over: %+v", u)
		}
	})
}

func TestASingleConnectionGetsAllItsLongAnswersWithinItsShare(t *testing.T) {
	const most, size, calls = 16 << 20, 1 << 20, 40
	synctest.Test(t, func(t *testing.T) {
		budget := wire.NewBudget(0, most)
		var peak atomic.Int64
		r := newRigWith(t, wire.ServerOptions{Budget: budget, Handler: wire.HandlerFunc(func(ctx context.Context, req, res *wire.Frame) error {
			time.Sleep(10 * time.Millisecond)
			peak.Store(max(peak.Load(), budget.Usage().BufferedBytes))
			return mebibyte(ctx, req, res)
		})})
		p := r.peer(t)
		p.Send(wiretest.Request(0, "Test", "Get", wire.Raw, nil))
		p.Receive()
		for seq := range uint64(calls) {
			p.Send(wiretest.Request(seq, "Test", "Get", wire.Raw, nil))
		}
		if good, _, _ := answers(p, calls); good != calls {
			t.Errorf("%d of %d succeed", good, calls)
		}
		if peak.Load() > most+size {
			t.Errorf("%d bytes of %d are held", peak.Load(), most)
		}
		r.stop()
	})
}
