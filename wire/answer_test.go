package wire_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

const longAnswer = 1 << 20

// longWinded is a server of 16 MiB that gives long answers, and counts them.
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

func TestLongAnswersThatNobodyReadsAreNotMade(t *testing.T) {
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

func TestLongAnswersAreAllMadeForOneWhoReads(t *testing.T) {
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
