package wire_test

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

const longAnswer = 1 << 20

// longWinded is a server with 16 MiB that makes long answers, and counts them.
func longWinded(t *testing.T, made *atomic.Int64) *rig {
	t.Helper()
	return newRigWith(t, wire.ServerOptions{Budget: wire.NewBudget(0, 16<<20), Handler: wire.HandlerFunc(
		func(_ context.Context, req, res *wire.Frame) error {
			if req.Method == "Long" {
				made.Add(1)
				time.Sleep(time.Millisecond) // all that may run do so at once
				res.Payload = append(res.Payload, make([]byte, longAnswer)...)
			}
			return nil
		})})
}

func TestLongAnswersAreNotMadeForAPeerThatDoesNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made atomic.Int64
		r := longWinded(t, &made)
		if _, err := call(t.Context(), r.client(t, wire.ConnOptions{}), "Long", ""); err != nil { // so that it is known
			t.Fatal(err)
		}
		short := r.client(t, wire.ConnOptions{})
		for range 50 {
			p := r.peer(t)
			for seq := range uint64(100) {
				p.Send(wiretest.Request(seq, "Test", "Long", wire.Raw, nil))
			}
		}
		for range 100 {
			if _, err := call(t.Context(), short, "Short", ""); err != nil {
				t.Fatal(err)
			}
			time.Sleep(10 * time.Millisecond)
		}
		if n := made.Load(); n > 32 {
			t.Errorf("%d answers are made, with room for 16", n)
		}
		if _, err := call(t.Context(), short, "Long", ""); err != nil && code.From(err).Reason != code.ReasonOverloaded {
			t.Errorf("a caller who reads: %v", err)
		}
		r.stop()
	})
}

func TestAllLongAnswersAreMadeForAPeerThatReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made atomic.Int64
		r := longWinded(t, &made)
		p := r.peer(t)
		go func() {
			for seq := range uint64(100) {
				p.Send(wiretest.Request(seq, "Test", "Long", wire.Raw, nil))
			}
		}()
		for range 100 {
			if f := p.Receive(); len(f.Payload) != longAnswer {
				t.Fatalf("%d bytes: %v", len(f.Payload), wire.ErrorOf(f))
			}
		}
		r.stop()
	})
}

func TestOnlyLongAnswersWaitForRoom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget, released := wire.NewBudget(0, 8<<20), make(chan struct{})
		r := newRigWith(t, wire.ServerOptions{Budget: budget, Handler: wire.HandlerFunc(func(_ context.Context, req, res *wire.Frame) error {
			switch req.Method {
			case "Poll":
				<-released
			case "Long":
				res.Payload = append(res.Payload, make([]byte, longAnswer)...)
			}
			return nil
		})})
		c := r.client(t, wire.ConnOptions{})
		if _, err := call(t.Context(), c, "Long", ""); err != nil { // so that it is known
			t.Fatal(err)
		}
		others := budget.NewShare(nil)
		go func() { _, _ = call(t.Context(), c, "Poll", "") }()
		synctest.Wait()
		others.AddBytes(9 << 20)
		if _, err := call(t.Context(), c, "Short", ""); err != nil {
			t.Errorf("a short answer: %v", err)
		}
		go func() {
			time.Sleep(50 * time.Millisecond)
			others.ReleaseBytes(9 << 20)
		}()
		begin := time.Now()
		if _, err := call(t.Context(), c, "Long", ""); err != nil || time.Since(begin) > 100*time.Millisecond {
			t.Errorf("a long answer for which room is made after 50 ms: %v after %v", err, time.Since(begin))
		}
		close(released)
		r.stop()
	})
}

func TestErrorsDoNotChangeTheEstimateOfAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget, released := wire.NewBudget(0, 64<<20), make(chan struct{})
		r := answering(t, budget, longAnswer, released)
		c := r.client(t, wire.ConnOptions{})
		if _, err := call(t.Context(), c, "Get", "make"); err != nil {
			t.Fatal(err)
		}
		for range 300 {
			if _, err := call(t.Context(), c, "Get", "fail"); err == nil {
				t.Fatal("no error")
			}
		}
		go func() { _, _ = call(t.Context(), c, "Get", "wait") }()
		synctest.Wait()
		if held := budget.Usage().BufferedBytes; held < longAnswer {
			t.Errorf("%d bytes are taken for an answer of %d", held, longAnswer)
		}
		close(released)
		r.stop()
	})
}

func TestAnswersGetAsMuchRoomAsThereIs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const most = 64 << 20
		budget := wire.NewBudget(0, most)
		other := budget.NewShare(nil)
		other.AddBytes(1 << 20)
		for _, n := range []int{1 << 20, 9 << 20, 17 << 20, 40 << 20, 58 << 20} {
			caller := budget.NewShare(nil)
			first := wire.NewReservation(caller, "Test", "Get", n)
			first.Learn(n, nil)
			a := wire.NewReservation(caller, "Test", "Get", n)
			if !a.Try() && !a.Wait(t.Context()) {
				t.Errorf("no room for %d MiB in %d MiB of which one is used", n>>20, most>>20)
			}
			a.Release()
		}
		if held := budget.Usage().BufferedBytes; held != 1<<20 {
			t.Errorf("%d bytes are left over", held-1<<20)
		}
	})
}

func TestCallsWaitForRoomNoLongerThanTheirContextLasts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget := wire.NewBudget(0, 8<<20)
		budget.NewShare(nil).AddBytes(9 << 20)
		caller := budget.NewShare(nil)
		known := wire.NewReservation(caller, "Test", "Get", 0)
		known.Learn(longAnswer, nil)
		var waiting sync.WaitGroup
		for range 3 { // one has its turn, the others are in line behind it
			waiting.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
				defer cancel()
				begin, a := time.Now(), wire.NewReservation(caller, "Test", "Get", 0)
				if a.Try() || a.Wait(ctx) || time.Since(begin) != 200*time.Millisecond {
					t.Errorf("returned after %v", time.Since(begin))
				}
			})
		}
		waiting.Wait()
	})
}

// answering is a rig whose method Get returns a long answer, or an error if asked to fail; if asked to wait, once released is closed.
func answering(t *testing.T, budget *wire.Budget, size int, released chan struct{}) *rig {
	t.Helper()
	return newRigWith(t, wire.ServerOptions{Budget: budget, Handler: wire.HandlerFunc(func(_ context.Context, req, res *wire.Frame) error {
		switch string(req.Payload) {
		case "fail":
			return code.Refuse(code.NotFound, code.ReasonUnknownMethod, "no such thing", "", "", 0)
		case "wait":
			<-released
		}
		if req.Method == "Get" {
			res.Payload = append(res.Payload, make([]byte, size)...)
		}
		return nil
	})})
}

func TestCallsWaitLongerWhileEarlierAnswersAreRead(t *testing.T) {
	for _, tt := range []struct {
		waiting int64 // for the peer
		fits    bool
	}{{0, false}, {1, true}} {
		synctest.Test(t, func(t *testing.T) {
			budget := wire.NewBudget(0, 8<<20)
			others := budget.NewShare(nil)
			others.AddBytes(9 << 20)
			caller := budget.NewShare(&slowTaker{waiting: tt.waiting, cut: new([]string)})
			known := wire.NewReservation(caller, "Test", "Get", 0)
			known.Learn(longAnswer, nil)
			go func() {
				time.Sleep(3 * time.Second)
				others.ReleaseBytes(9 << 20)
			}()
			a := wire.NewReservation(caller, "Test", "Get", 0)
			if a.Try() || a.Wait(t.Context()) != tt.fits {
				t.Errorf("with %d bytes waiting the call runs: %v", tt.waiting, !tt.fits)
			}
			time.Sleep(3 * time.Second)
		})
	}
}

func TestAbandonedCallsDoNotDelayOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		budget, released := wire.NewBudget(0, 8<<20), make(chan struct{})
		r := answering(t, budget, longAnswer, released)
		c := r.client(t, wire.ConnOptions{})
		if _, err := call(t.Context(), c, "Get", "make"); err != nil {
			t.Fatal(err)
		}
		go func() { _, _ = call(t.Context(), c, "Get", "wait") }()
		synctest.Wait()
		budget.NewShare(nil).AddBytes(5 << 20)
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		go func() { _, _ = call(ctx, c, "Get", "make") }()
		synctest.Wait()
		begin := time.Now()
		if _, err := call(t.Context(), c, "Put", ""); err != nil || time.Since(begin) > 300*time.Millisecond {
			t.Errorf("the call behind is answered after %v: %v", time.Since(begin), err)
		}
		close(released)
		r.stop()
	})
}
