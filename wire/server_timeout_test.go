package wire_test

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/wiretest"
)

var shortLimits = wire.Limits{
	FirstByteTimeout: 5 * time.Second, BodyTimeout: 30 * time.Second, IdleTimeout: 2 * time.Minute,
	WriteTimeout: 10 * time.Second,
}

// untilClosed reads until the connection is closed, and returns after how long.
func untilClosed(t *testing.T, r io.Reader) time.Duration {
	t.Helper()
	begin := time.Now()
	if _, err := io.Copy(io.Discard, r); err != nil {
		t.Fatal(err)
	}
	return time.Since(begin)
}

func TestPeersAreCutAtTheirTimeouts(t *testing.T) {
	whole := wiretest.Bytes(wiretest.Request(1, "Test", "Echo", wire.Raw, []byte("payload")))
	for _, tc := range []struct {
		name, sent, reason string
		want               time.Duration
	}{
		{"silent", "", "first_byte_timeout", 5 * time.Second},
		{"half a header", string(whole[:10]), "body_timeout", 30 * time.Second},
		{"half a body", string(whole[:30]), "body_timeout", 30 * time.Second},
		{"idle", string(whole), "", 2 * time.Minute},
		{"half a second frame", string(whole) + string(whole[:20]), "body_timeout", 30 * time.Second},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, echo, shortLimits)
				c := r.dial(t)
				if _, err := c.Write([]byte(tc.sent)); err != nil {
					t.Fatal(err)
				}
				if got := untilClosed(t, c); got != tc.want {
					t.Errorf("cut after %v, want %v", got, tc.want)
				}
				synctest.Wait()
				if tc.reason != "" && r.seen.count(tc.reason) != 1 || len(r.seen.reasons) > 1 {
					t.Errorf("reasons %v, want %s", r.seen.reasons, tc.reason)
				}
				r.stop()
			})
		})
	}
}

func TestDribbledFrameIsCutAtBodyTimeout(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, echo, shortLimits)
		c := r.dial(t)
		whole := wiretest.Bytes(wiretest.Request(1, "Test", "Echo", wire.Raw, make([]byte, 1000)))
		begin := time.Now()
		for _, b := range whole {
			if _, err := c.Write([]byte{b}); err != nil {
				break
			}
			time.Sleep(time.Second)
		}
		if took := time.Since(begin); took < 30*time.Second || took > 32*time.Second {
			t.Errorf("cut after %v", took)
		}
		r.stop()
	})
}

func TestConnectionWithACallInFlightOrDataFlowingIsNotIdle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(ctx context.Context, req, res *wire.Frame) error {
			time.Sleep(10 * time.Minute)
			return echo(ctx, req, res)
		}, shortLimits)
		p := r.peer(t)
		p.Send(wiretest.Request(1, "Test", "Slow", wire.Raw, nil))
		if f := p.Receive(); f.Seq != 1 {
			t.Errorf("got %+v", f)
		}
		for range 5 {
			time.Sleep(119 * time.Second)
			p.Send(wiretest.Heartbeat(7))
			p.Receive()
		}
		if got := untilClosed(t, p); got != 2*time.Minute {
			t.Errorf("idle after %v", got)
		}
		r.stop()
	})
}

func TestPeerThatDoesNotReadIsCutWithoutAffectingOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(_ context.Context, req, res *wire.Frame) error {
			if req.Method == "Big" {
				res.Payload = append(res.Payload, make([]byte, 1<<20)...)
			}
			return nil
		}, shortLimits)
		deaf, good := r.peer(t), r.client(t, wire.ConnOptions{})
		begin := time.Now()
		deaf.Send(wiretest.Request(1, "Test", "Big", wire.Raw, nil))
		for range 20 {
			if _, err := call(t.Context(), good, "Small", "x"); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
			synctest.Wait()
			if r.seen.count("slow_reader") == 1 {
				break
			}
		}
		if took := time.Since(begin); took < 8*time.Second || took > 11*time.Second {
			t.Errorf("cut after %v, want about 10 s", took)
		}
		_ = good.Close()
		r.stop()
	})
}

func TestAnswersThatThePeerDoesNotReadWaitAndItIsCutInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var begun sync.WaitGroup
		begun.Add(40)
		r := newRig(t, func(_ context.Context, _, res *wire.Frame) error {
			begun.Done()
			begun.Wait() // all are on their way before the first answer shows that the peer does not read
			res.Payload = append(res.Payload, make([]byte, 1<<20)...)
			return nil
		}, shortLimits)
		deaf := r.peer(t)
		for seq := range uint64(40) {
			deaf.Send(wiretest.Request(seq, "Test", "Big", wire.Raw, nil))
		}
		synctest.Wait()
		time.Sleep(9 * time.Second)
		synctest.Wait()
		if r.seen.count("slow_reader") != 0 {
			t.Error("a full queue alone has cut the peer off")
		}
		time.Sleep(3 * time.Second)
		synctest.Wait()
		if r.seen.count("slow_reader") != 1 {
			t.Error("the peer is not cut off")
		}
		r.stop()
	})
}

func TestNoAnswersAreMadeForAPeerThatDoesNotReadThem(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var made atomic.Int32
		r := newRig(t, func(_ context.Context, _, res *wire.Frame) error {
			made.Add(1)
			res.Payload = append(res.Payload, make([]byte, 1<<20)...)
			return nil
		}, shortLimits)
		deaf := r.peer(t)
		const asked = 500
		for seq := range uint64(asked) {
			deaf.Send(wiretest.Request(seq, "Test", "Big", wire.Raw, nil))
		}
		synctest.Wait()
		time.Sleep(11 * time.Second)
		synctest.Wait()
		if r.seen.count("slow_reader") != 1 {
			t.Error("the peer is not cut off")
		}
		// Half of 16 MiB, and those that were on their way when it was reached: as many as the processors overlap.
		if n := made.Load(); n > asked/3 {
			t.Errorf("%d of %d answers of 1 MiB were made", n, asked)
		}
		r.stop()
	})
}

func TestAClientKeepsAFullConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		lim := shortLimits
		lim.MaxInFlight = 1
		r := newRig(t, func(ctx context.Context, req, res *wire.Frame) error {
			time.Sleep(time.Minute)
			return echo(ctx, req, res)
		}, lim)
		c := r.client(t, wire.ConnOptions{})
		if got, err := call(t.Context(), c, "Slow", "x"); got != "x" {
			t.Errorf("got %q, %v", got, err)
		}
		_ = c.Close()
		r.stop()
	})
}
