package wire_test

import (
	"context"
	"io"
	"net"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// throttled is a link to far with a limit of bytes an interval in each direction.
func throttled(t testing.TB, far net.Conn, bytes int, interval time.Duration) net.Conn {
	t.Helper()
	near, middle := wiretest.Pipe()
	var both sync.WaitGroup
	pass := func(to, from net.Conn) {
		b := make([]byte, bytes)
		for {
			n, err := from.Read(b)
			if _, failed := to.Write(b[:n]); failed != nil || err != nil {
				_, _ = to.Close(), from.Close()
				return
			}
			time.Sleep(interval)
		}
	}
	both.Go(func() { pass(far, middle) })
	both.Go(func() { pass(middle, far) })
	t.Cleanup(func() {
		_, _ = near.Close(), far.Close()
		both.Wait()
	})
	return near
}

// mebibyte answers Get with 1 MiB, and other methods with nothing.
func mebibyte(_ context.Context, req, res *wire.Frame) error {
	if req.Method == "Get" {
		res.Payload = append(res.Payload, make([]byte, 1<<20)...)
	}
	return nil
}

func TestPeersThatReadSteadilyAreNotCut(t *testing.T) {
	for name, tc := range map[string]struct {
		calls, argument int
		method          string
		rate            int // bytes a millisecond
	}{
		"40 replies of 1 MiB at 8 MB/s":    {calls: 40, method: "Get", rate: 8 << 10},
		"400 requests of 100 KiB, 8 MB/s":  {calls: 400, argument: 100 << 10, rate: 8 << 10},
		"40 replies of 1 MiB at 200 kB/s":  {calls: 40, method: "Get", rate: 200},
		"100 requests of 1 MiB at 1 MB/s":  {calls: 100, argument: 1 << 20, rate: 1 << 10},
		"4 MiB, less than a keepalive's":   {calls: 1, argument: 4<<20 - 100, rate: 150},
		"replies and requests at the same": {calls: 60, argument: 1 << 20, method: "Get", rate: 8 << 10},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, mebibyte, wire.Limits{})
				c := wire.NewConn(throttled(t, r.dial(t), 10*tc.rate, 10*time.Millisecond), wire.ConnOptions{})
				var all sync.WaitGroup
				for range tc.calls {
					all.Go(func() {
						req := wiretest.Request(0, "Test", tc.method, wire.Raw, make([]byte, tc.argument))
						if err := c.Do(t.Context(), req, nil); err != nil {
							t.Error(err)
						}
					})
				}
				all.Wait()
				if n := r.seen.count("slow_reader"); n > 0 {
					t.Error("the client was cut")
				}
				_ = c.Close()
				r.stop()
			})
		})
	}
}

func TestPeersAreCutOnlyAfterATimeoutWithoutProgress(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, mebibyte, wire.Limits{WriteTimeout: 10 * time.Second})
		p := r.peer(t)
		for seq := range uint64(20) {
			p.Send(wiretest.Request(seq, "Test", "Get", wire.Raw, nil))
		}
		var last time.Time
		for range 20 { // few bytes, and rarely
			time.Sleep(9 * time.Second)
			if _, err := io.ReadFull(p, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			last = time.Now()
		}
		for r.seen.count("slow_reader") == 0 && time.Since(last) < time.Minute {
			time.Sleep(100 * time.Millisecond)
			synctest.Wait()
		}
		if took := time.Since(last); took < 10*time.Second || took > 14*time.Second {
			t.Errorf("cut %v after the last byte, want 10 s or a little more", took)
		}
		r.stop()
	})
}

// stuck returns a connection with a full queue, whose peer does not read yet.
func stuck(t *testing.T) (*wire.Conn, *wiretest.Peer) {
	t.Helper()
	c, p := facing(t, wire.ConnOptions{KeepaliveInterval: -1})
	for range 17 { // one is being written, 16 MiB are queued
		ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
		_ = c.Do(ctx, wiretest.OneWay(0, "Test", "Fill", wire.Raw, make([]byte, 1<<20)), nil)
		cancel()
	}
	return c, p
}

func TestNoCallerWaitsForTheQueueBeyondItsContext(t *testing.T) {
	for _, oneWay := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			c, p := stuck(t)
			send := func(ctx context.Context) (time.Duration, error) {
				begin := time.Now()
				err := c.Do(ctx, &wire.Frame{OneWay: oneWay, Service: "Test", Method: "Late", Payload: make([]byte, 1<<20)}, nil)
				return time.Since(begin), err
			}
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			took, err := send(ctx)
			wantError(t, err, code.DeadlineExceeded, code.ReasonTimeout)
			if took != 50*time.Millisecond {
				t.Errorf("one-way %v: held for %v", oneWay, took)
			}
			ctx, cancel = context.WithCancel(t.Context())
			time.AfterFunc(70*time.Millisecond, cancel)
			took, err = send(ctx)
			wantError(t, err, code.Cancelled, code.ReasonCancelled)
			if took != 70*time.Millisecond {
				t.Errorf("one-way %v: held for %v", oneWay, took)
			}
			if err := c.Err(); err != nil {
				t.Errorf("that the queue is full has ended the connection: %v", err)
			}
			done := make(chan error, 1)
			go func() {
				_, err := call(t.Context(), c, "Next", "")
				done <- err
			}()
			for {
				f := p.Receive()
				if f.Method == "Late" {
					t.Error("a call that was given up has been sent")
				}
				if f.Method == "Next" {
					answer(p, f, "")
					break
				}
			}
			if err := <-done; err != nil {
				t.Error(err)
			}
			_ = c.Close()
		})
	}
}

func TestCallsThatWaitForTheQueueEndWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, _ := stuck(t)
		done := make(chan error, 1)
		go func() {
			done <- c.Do(t.Context(), wiretest.Request(0, "Test", "Late", wire.Raw, make([]byte, 1<<20)), nil)
		}()
		begin := time.Now()
		wantError(t, <-done, code.Unavailable, code.ReasonNoEndpoint)
		if took := time.Since(begin); took > 14*time.Second {
			t.Errorf("after %v", took)
		}
	})
}

func TestShortFramesDoNotStarveALongOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, mebibyte, wire.Limits{})
		c := wire.NewConn(throttled(t, r.dial(t), 80<<10, 10*time.Millisecond), wire.ConnOptions{})
		ctx, enough := context.WithCancel(t.Context())
		var all sync.WaitGroup
		for range 200 {
			all.Go(func() {
				for ctx.Err() == nil {
					_ = c.Do(ctx, wiretest.Request(0, "Test", "Put", wire.Raw, make([]byte, 100<<10)), nil)
				}
			})
		}
		time.Sleep(3 * time.Second)
		begin := time.Now()
		if err := c.Do(t.Context(), wiretest.Request(0, "Test", "Put", wire.Raw, make([]byte, 4_000_000)), nil); err != nil {
			t.Error(err)
		}
		// What is queued, and the turns of 200 others, once.
		if took := time.Since(begin); took > 10*time.Second {
			t.Errorf("the long frame took %v", took)
		}
		enough()
		all.Wait()
		_ = c.Close()
		r.stop()
	})
}
