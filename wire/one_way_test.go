package wire_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// givenBack is what OnUnread was called with.
type givenBack struct {
	frames    []*wire.Frame
	forgotten int
}

// keeping returns a connection with OnUnread.
func keeping(t testing.TB) (*wire.Conn, *wiretest.Peer, <-chan givenBack) {
	t.Helper()
	back := make(chan givenBack, 1)
	c, p := facing(t, wire.ConnOptions{OnUnread: func(f []*wire.Frame, n int) { back <- givenBack{f, n} }})
	return c, p, back
}

func sendOneWay(ctx context.Context, t testing.TB, c *wire.Conn, method string, payload []byte) {
	t.Helper()
	if err := c.Do(ctx, wiretest.OneWay(0, "Test", method, wire.Raw, payload), nil); err != nil {
		t.Fatal(err)
	}
}

// echoes answers a heartbeat as ours do, with the sequence of the last call that began.
func echoes(p *wiretest.Peer, begun uint64) {
	f := p.Receive()
	f.Type = wire.Response
	f.Metadata.Set(wire.MetaHost, "h")
	f.Metadata.Set(wire.MetaBegun, fmt.Sprint(begun))
	p.Send(f)
}

func TestUnreadOneWayCallsAreReturned(t *testing.T) {
	c, p, back := keeping(t)
	for _, method := range []string{"A", "B", "C"} {
		req := wiretest.With(wiretest.OneWay(0, "Test", method, wire.JSON, []byte(method)), "k", "v")
		if err := c.Do(t.Context(), req, nil); err != nil {
			t.Fatal(err)
		}
		p.Receive()
	}
	p.Send(drains("", 0), drains("last", 0))
	got := (<-back).frames
	if len(got) != 2 || got[0].Method != "B" || got[1].Method != "C" || !got[1].OneWay || got[1].Codec != wire.JSON ||
		string(got[1].Payload) != "C" || got[1].Metadata.Get("k") != "v" {
		t.Errorf("got %v", got)
	}
}

// One-way calls that were read may still be dropped when the peer's grace period ends, until they or later ones have begun.
func TestOneWayCallsAreKeptUntilTheyHaveBegun(t *testing.T) {
	ran := wiretest.With(&wire.Frame{Type: wire.Response}, wire.MetaHost, "h")
	failed := wiretest.With(&wire.Frame{Type: wire.Response}, wire.MetaHost, "h")
	wire.SetError(failed, code.Errorf(code.NotFound, "no such order").WithReason("no_order"))
	full := wiretest.With(&wire.Frame{Type: wire.Response}, wire.MetaHost, "h")
	wire.SetError(full, code.Refuse(code.Unavailable, code.ReasonOverloaded, "full", "", "h", 0))
	for name, tc := range map[string]struct {
		answer *wire.Frame
		kept   int
	}{
		"an answer": {ran, 0}, "a handler's error": {failed, 0}, "a refusal": {full, 1},
	} {
		t.Run(name, func(t *testing.T) {
			c, p, back := keeping(t)
			sendOneWay(t.Context(), t, c, "A", nil)
			p.Receive()
			done := make(chan error, 1)
			go func() {
				_, err := call(t.Context(), c, "B", "")
				done <- err
			}()
			tc.answer.Seq = p.Receive().Seq
			p.Send(tc.answer)
			<-done
			sendOneWay(t.Context(), t, c, "C", nil)
			p.Receive()
			p.Send(drains("last", wire.HeartbeatSeq))
			if got := (<-back).frames; len(got) != tc.kept+1 {
				t.Errorf("%d are given back", len(got))
			}
		})
	}
}

func TestHeartbeatsProveThatOneWayCallsHaveBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p, back := keeping(t)
		for range 4 {
			sendOneWay(t.Context(), t, c, "A", nil)
			p.Receive()
		}
		echoes(p, 1) // after 10 s without a byte
		synctest.Wait()
		p.Send(drains("last", wire.HeartbeatSeq))
		if got := (<-back).frames; len(got) != 2 || got[0].Seq != 2 {
			t.Errorf("%d frames, from %v", len(got), got[0].Seq)
		}
	})
}

func TestParkedOneWayCallsAreReturnedWhenTheGracePeriodEnds(t *testing.T) {
	for name, limits := range map[string]wire.Limits{"many calls": {MaxInFlight: 2}, "one call": {MaxInFlight: 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(ctx context.Context, _, _ *wire.Frame) error {
					<-ctx.Done()
					return nil
				}, limits)
				back := make(chan givenBack, 1)
				c := r.client(t, wire.ConnOptions{OnUnread: func(f []*wire.Frame, n int) { back <- givenBack{f, n} }})
				if err := c.Ping(t.Context()); err != nil {
					t.Fatal(err)
				}
				for range limits.MaxInFlight {
					go func() { _, _ = call(t.Context(), c, "Slow", "") }()
				}
				synctest.Wait()
				for range 50 {
					sendOneWay(t.Context(), t, c, "Parked", make([]byte, 10<<10))
				}
				if _, err := call(t.Context(), c, "Refused", string(make([]byte, 1<<20))); code.From(err).Reason != code.ReasonOverloaded {
					t.Errorf("got %v", err)
				}
				time.Sleep(time.Minute) // with heartbeats
				grace, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				_ = r.Shutdown(grace)
				if got := (<-back).frames; len(got) != 50 {
					t.Errorf("%d are given back", len(got))
				}
				r.stop()
			})
		})
	}
}

func TestUnreadCallsKeepTheRestOfTheirDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p, back := keeping(t)
		for _, d := range []time.Duration{5 * time.Second, 4 * time.Second} {
			ctx, cancel := context.WithTimeout(t.Context(), d)
			defer cancel()
			sendOneWay(ctx, t, c, "A", nil)
			p.Receive()
		}
		time.Sleep(4900 * time.Millisecond)
		p.Send(drains("last", wire.HeartbeatSeq))
		got := (<-back).frames
		for i, left := range []string{"100", "0"} {
			if has := got[i].Metadata.Get(wire.MetaTimeout); has != left {
				t.Errorf("%s ms are left, want %s", has, left)
			}
		}
	})
}

// A connection keeps what is queued and as much in transit: 32 MiB. It only counts the rest.
func TestOneWayCallsThatAreTooManyToKeepAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls, each, most = 40, 1 << 20, 32 << 20
		c, p, back := keeping(t)
		asked := 0
		for range calls {
			sendOneWay(t.Context(), t, c, "C", make([]byte, each))
			if f := p.Receive(); f.Heartbeat {
				asked++
				p.Receive()
			}
		}
		if asked != 1 {
			t.Errorf("it asks %d times how far the peer has got, which does not answer", asked)
		}
		p.Send(drains("last", wire.HeartbeatSeq))
		got := <-back
		size := len(wire.AppendFrame(nil, got.frames[0]))
		if kept := most / size; len(got.frames) != kept || got.forgotten != calls-kept {
			t.Errorf("%d frames and %d that are forgotten, want %d and %d", len(got.frames), got.forgotten, kept, calls-kept)
		}
	})
}

// Bytes that the kernel has accepted may be lost to a reset, so Close waits until the peer confirms that it has read them.
func TestCloseWaitsUntilOneWayCallsAreRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := facing(t, wire.ConnOptions{})
		for range 100 {
			sendOneWay(t.Context(), t, c, "Tell", nil)
		}
		closed := make(chan struct{})
		go func() {
			defer close(closed)
			_ = c.Close()
		}()
		synctest.Wait()
		for range 100 {
			if f := p.Receive(); !f.OneWay || f.Method != "Tell" {
				t.Fatalf("got %+v", f)
			}
		}
		synctest.Wait()
		select {
		case <-closed:
			t.Fatal("closed before the peer has said that it has read all")
		default:
		}
		p.Greet() // as stock servers do
		<-closed
		if _, err := p.TryReceive(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
	})
}

func TestFlushOfADrainingPeerWaitsUntilOneWayCallsHaveBegun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p, back := keeping(t)
		sendOneWay(t.Context(), t, c, "A", nil)
		sendOneWay(t.Context(), t, c, "B", nil)
		p.Send(drains("", 0))
		synctest.Wait()
		flushed := make(chan error, 1)
		go func() { flushed <- c.Flush(t.Context()) }()
		p.Receive()
		p.Receive()
		begin := time.Now()
		echoes(p, 0)
		if echoes(p, 0); time.Since(begin) <= 100*time.Millisecond {
			t.Error("it asks so often that a draining peer never finds the connection silent")
		}
		select {
		case err := <-flushed:
			t.Fatalf("flushed with B out: %v", err)
		default:
		}
		p.Send(drains("last", 0))
		if got := (<-back).frames; len(got) != 1 || got[0].Method != "B" {
			t.Errorf("got %v", got)
		}
		if err := <-flushed; err != nil {
			t.Error(err)
		}
	})
}

func TestFlushEndsWithItsContextAndWithTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := facing(t, wire.ConnOptions{})
		if err := c.Flush(t.Context()); err != nil {
			t.Error(err)
		}
		sendOneWay(t.Context(), t, c, "A", nil)
		soon, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := c.Flush(soon); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		go func() { _ = p.Close() }()
		if err := c.Flush(t.Context()); err == nil {
			t.Error("flushed to a peer that is gone")
		}
	})
}

func TestCloseWithoutHeartbeatsGivesPeersAMomentToRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := facing(t, wire.ConnOptions{KeepaliveInterval: -1})
		sendOneWay(t.Context(), t, c, "A", nil)
		begin := time.Now()
		_ = c.Close()
		if time.Since(begin) == 0 {
			t.Error("closed at once")
		}
		if f := p.Receive(); f.Method != "A" {
			t.Errorf("got %v", f)
		}
		if f, err := p.TryReceive(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v, %v", f, err)
		}
	})
}

func TestShutdownEndsWithItsContextWhateverThePeerDoes(t *testing.T) {
	for name, interval := range map[string]time.Duration{"it reads nothing": time.Hour, "it is sent no heartbeats": -1} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c, _ := facing(t, wire.ConnOptions{KeepaliveInterval: interval})
				sendOneWay(t.Context(), t, c, "A", make([]byte, 1<<20))
				soon, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				began := time.Now()
				if err := c.Shutdown(soon); !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("got %v", err)
				}
				if took := time.Since(began); took != time.Second {
					t.Errorf("after %v", took)
				}
				if err := c.Shutdown(t.Context()); !errors.Is(err, wire.ErrConnClosed) {
					t.Errorf("once more: %v", err)
				}
			})
		})
	}
}
