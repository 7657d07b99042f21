package wire_test

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// socket is a bare connection to address.
func socket(t testing.TB, address string) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c.(*net.TCPConn)
}

func requests(n int, method string, oneWay bool) []byte {
	var b []byte
	for seq := range uint64(n) {
		f := wiretest.Request(seq, "Test", method, wire.Raw, []byte("x"))
		f.OneWay = oneWay
		b = wire.AppendFrame(b, f)
	}
	return b
}

func write(t testing.TB, c io.Writer, b []byte) {
	t.Helper()
	if _, err := c.Write(b); err != nil {
		t.Fatal(err)
	}
}

func TestOneWayCallsThatWereSentBeforeACloseAllRun(t *testing.T) {
	const calls = 200
	for name, end := range map[string]func(*net.TCPConn) error{
		"close":      (*net.TCPConn).Close,
		"half-close": (*net.TCPConn).CloseWrite,
	} {
		t.Run(name, func(t *testing.T) {
			var ran atomic.Int64
			address, _, _ := onTCP(t, func(ctx context.Context, _, _ *wire.Frame) error {
				select {
				case <-ctx.Done():
					t.Error("a one-way call is cancelled")
				case <-time.After(time.Millisecond):
				}
				ran.Add(1)
				return nil
			}, wire.Limits{MaxInFlight: 2})
			c := socket(t, address)
			write(t, c, requests(calls, "Tell", true))
			if err := end(c); err != nil {
				t.Fatal(err)
			}
			eventually(t, "all have run", func() bool { return ran.Load() == calls })
		})
	}
}

func TestOneWayCallsRunAfterTheirPeerDisconnectedWithUnsentAnswers(t *testing.T) {
	const calls = 200
	var ran atomic.Int64
	address, _, _ := onTCP(t, func(ctx context.Context, req, res *wire.Frame) error {
		if req.Method == "Tell" {
			ran.Add(1)
		}
		return echo(ctx, req, res)
	}, wire.Limits{})
	for round := range 20 {
		c := socket(t, address)
		write(t, c, requests(100, "Echo", false))
		write(t, c, requests(calls, "Tell", true))
		_ = c.Close() // with answers unread, or on their way: a reset
		want := int64(calls * (round + 1))
		eventually(t, "all have run", func() bool { return ran.Load() == want })
	}
}

// dead is a connection that cannot be written to and whose reader is delayed.
type dead struct {
	net.Conn
	held  time.Duration
	until atomic.Pointer[time.Time]
}

func (d *dead) Write([]byte) (int, error) { return 0, io.ErrClosedPipe }

func (d *dead) SetReadDeadline(t time.Time) error {
	d.until.Store(&t)
	return d.Conn.SetReadDeadline(t)
}

// Read looks at its deadline before it looks for bytes, as sockets do.
func (d *dead) Read(b []byte) (int, error) {
	if t := d.until.Load(); t != nil && !t.IsZero() && !time.Now().Before(*t) {
		return 0, os.ErrDeadlineExceeded
	}
	n, err := d.Conn.Read(b)
	if n > 0 {
		time.Sleep(d.held)
	}
	return n, err
}

func (d *dead) CloseWrite() error { return net.ErrClosed }

func TestReceivedOneWayCallsRunEvenIfTheLostConnectionIsReadLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const calls = 100
		var ran atomic.Int64
		near, far := wiretest.Pipe()
		s := wire.NewServer(wire.ServerOptions{Handler: wire.HandlerFunc(func(ctx context.Context, req, res *wire.Frame) error {
			if req.OneWay {
				ran.Add(1)
			}
			return echo(ctx, req, res)
		})})
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() {
			done <- s.Serve(ctx, &only{conn: &dead{Conn: far, held: 300 * time.Millisecond}, ended: ctx.Done()})
		}()
		p := wiretest.NewPeer(t, near)
		argument := make([]byte, 984) // each frame fills the reader's buffer
		p.Send(wiretest.Request(0, "Test", "Echo", wire.Raw, argument))
		for seq := range uint64(calls) {
			p.Send(wiretest.OneWay(seq+1, "Test", "Tell", wire.Raw, argument))
		}
		time.Sleep(time.Minute)
		synctest.Wait()
		if n := ran.Load(); n != calls {
			t.Errorf("%d of %d run", n, calls)
		}
		cancel()
		<-done
	})
}

// only is a listener for one connection.
type only struct {
	conn  net.Conn
	ended <-chan struct{}
}

func (o *only) Accept() (net.Conn, error) {
	if c := o.conn; c != nil {
		o.conn = nil
		return c, nil
	}
	<-o.ended
	return nil, net.ErrClosed
}

func (o *only) Close() error   { return nil }
func (o *only) Addr() net.Addr { return &net.TCPAddr{} }

func TestPipelinedCallsBeforeAHalfCloseAreAllAnswered(t *testing.T) {
	const calls = 1000
	for _, most := range []int{1000, 10} { // with 10, what waits is what has not begun
		address, _, _ := onTCP(t, func(ctx context.Context, req, res *wire.Frame) error {
			select {
			case <-ctx.Done():
				return ctx.Err()
			case <-time.After(time.Millisecond):
			}
			return echo(ctx, req, res)
		}, wire.Limits{MaxInFlight: most})
		c := socket(t, address)
		write(t, c, requests(calls, "Echo", false))
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		p := wiretest.NewPeer(t, c)
		good := 0
		for {
			f, err := p.TryReceive()
			if err != nil {
				if !errors.Is(err, io.EOF) {
					t.Errorf("%d at a time: %v", most, err)
				}
				break
			}
			if !f.Heartbeat && f.Status == wire.StatusNormal {
				good++
			}
		}
		if good != calls {
			t.Errorf("%d at a time: %d of %d are answered", most, good, calls)
		}
	}
}

func TestAHeartbeatProbesAPeerThatHasClosedItsSendingSide(t *testing.T) {
	for name, tc := range map[string]struct {
		request *wire.Frame
		asked   bool
	}{
		"rpcx":         {wiretest.Request(0, "Arith", "Mul", wire.Raw, nil), true},
		"the original": {wiretest.Request(1, "arith", "mul", wire.Raw, nil), false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(ctx context.Context, req, res *wire.Frame) error {
					time.Sleep(time.Minute)
					if ctx.Err() != nil {
						t.Errorf("the call ends with its peer's sending side: %v", ctx.Err())
					}
					return echo(ctx, req, res)
				}, wire.Limits{})
				c := r.dial(t)
				p := wiretest.NewPeer(t, c)
				p.Send(tc.request)
				_ = c.(interface{ CloseWrite() error }).CloseWrite()
				f := p.Receive()
				if f.Heartbeat != tc.asked || tc.asked && (f.Seq != wire.HeartbeatSeq || f.Type != wire.Response) {
					t.Errorf("got %+v", f)
				}
				if tc.asked {
					f = p.Receive()
				}
				if f.Heartbeat || f.Seq != tc.request.Seq || f.Status != wire.StatusNormal {
					t.Errorf("got %+v", f)
				}
				if _, err := p.TryReceive(); !errors.Is(err, io.EOF) {
					t.Errorf("got %v", err)
				}
				r.stop()
			})
		})
	}
}

func TestTwoWayCallsOfADisconnectedPeerAreDroppedOrCancelled(t *testing.T) {
	var begun, cancelled, oneWay atomic.Int64
	address, _, _ := onTCP(t, func(ctx context.Context, req, _ *wire.Frame) error {
		if req.OneWay {
			oneWay.Add(1)
			return nil
		}
		begun.Add(1)
		<-ctx.Done()
		cancelled.Add(1)
		return nil
	}, wire.Limits{MaxInFlight: 4})
	c := socket(t, address)
	write(t, c, requests(100, "Wait", false))
	write(t, c, requests(10, "Tell", true))
	eventually(t, "the first are running", func() bool { return begun.Load() == 4 })
	_ = c.Close()
	eventually(t, "they are cancelled, and what is one-way runs", func() bool { return cancelled.Load() == 4 && oneWay.Load() == 10 })
	if n := begun.Load(); n != 4 {
		t.Errorf("%d calls were begun, though nobody waits for them", n)
	}
}

func TestOversizeArgumentFailsOnlyItsCall(t *testing.T) {
	release := make(chan struct{})
	h, running := blocking(release)
	address, _, seen := onTCP(t, h, wire.Limits{})
	c := dialTCP(t, address)
	var all sync.WaitGroup
	for range 20 {
		all.Go(func() {
			if got, err := call(t.Context(), c, "Wait", ""); got != "done" {
				t.Errorf("a call beside it: %q, %v", got, err)
			}
		})
	}
	eventually(t, "the others run", func() bool { return running.Load() == 20 })
	for _, size := range []int{4 << 20, 5 << 20, 17 << 20, 40 << 20} {
		err := c.Do(t.Context(), wiretest.Request(0, "Test", "Big", wire.Raw, make([]byte, size)), new(wire.Frame))
		wantError(t, err, code.ResourceExhausted, code.ReasonTooLarge)
	}
	close(release)
	all.Wait()
	if n := seen.count("too_large"); n != 4 {
		t.Errorf("%d are counted", n)
	}
}

func TestABodyThatCannotBeSkippedInTimeEndsTheConnectionAfterTheAnswers(t *testing.T) {
	broken := binary.BigEndian.AppendUint32([]byte{0x08, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 9}, 1<<32-1)
	for name, tc := range map[string]struct {
		sent   []byte
		reason string
	}{
		"4 GiB":       {broken, "body_timeout"},
		"a bad frame": {[]byte("GET / HTTP/1.1\r\n\r\n"), "bad_magic"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := newRig(t, func(ctx context.Context, req, res *wire.Frame) error {
					time.Sleep(time.Minute)
					return echo(ctx, req, res)
				}, shortLimits)
				p := r.peer(t)
				p.Send(wiretest.Request(3, "Test", "Echo", wire.Raw, []byte("x")))
				write(t, p, tc.sent)
				f := p.Receive()
				for f.Heartbeat {
					f = p.Receive()
				}
				if f.Seq != 3 || f.Status != wire.StatusNormal {
					t.Errorf("got %+v", f)
				}
				if _, err := p.TryReceive(); !errors.Is(err, io.EOF) {
					t.Errorf("got %v", err)
				}
				time.Sleep(time.Second)
				if r.seen.count(tc.reason) != 1 {
					t.Errorf("counted are %v", r.seen.reasons)
				}
				r.stop()
			})
		})
	}
}

func TestIdleCloseIsAnnouncedToPeersThatUnderstandIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ran atomic.Int64
		r := newRig(t, func(ctx context.Context, req, res *wire.Frame) error {
			ran.Add(1)
			return echo(ctx, req, res)
		}, shortLimits)
		known, stock := r.peer(t), r.peer(t)
		known.Send(ours(5))
		known.Receive()
		stock.Send(wiretest.Request(5, "Test", "Echo", wire.Raw, nil))
		stock.Receive()
		time.Sleep(shortLimits.IdleTimeout)
		if f := known.Receive(); f.Service != wire.DrainPath || f.Method != "last" || f.Seq != 5 {
			t.Errorf("got %+v", f)
		}
		late := wiretest.OneWay(6, "Test", "Echo", wire.Raw, nil)
		known.Send(late) // is sent elsewhere as well
		stock.Send(late)
		for _, p := range []*wiretest.Peer{known, stock} {
			if f, err := p.TryReceive(); !errors.Is(err, io.EOF) {
				t.Errorf("got %+v, %v", f, err)
			}
		}
		time.Sleep(time.Second)
		if n := ran.Load(); n != 3 {
			t.Errorf("%d calls ran, want the two, and the late one of the peer without an announcement", n)
		}
		r.stop()
	})
}

func TestCancelFrameEndsTheContextOfACallThatStaysInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ended := make(chan struct{})
		release := make(chan struct{})
		var ran atomic.Int64
		budget := wire.NewBudget(0, 0)
		h := func(ctx context.Context, _, _ *wire.Frame) error {
			ran.Add(1)
			<-ctx.Done()
			close(ended)
			<-release
			return ctx.Err()
		}
		r := newRigWith(t, wire.ServerOptions{Handler: wire.HandlerFunc(h), Budget: budget, Limits: wire.Limits{MaxInFlight: 1}})
		p := r.peer(t)
		p.Send(wiretest.Request(1, "Test", "Wait", wire.Raw, nil), wiretest.Request(2, "Test", "Parked", wire.Raw, nil))
		synctest.Wait()
		cancel := func(seq uint64) *wire.Frame { return wiretest.OneWay(seq, wire.CancelPath, "", wire.Raw, nil) }
		p.Send(cancel(2), cancel(77), cancel(1))
		<-ended
		if u := budget.Usage(); u.InFlight != 2 {
			t.Errorf("%d places are taken, want them kept until the handlers return", u.InFlight)
		}
		close(release)
		for range 2 {
			wantError(t, wire.ErrorOf(p.Receive()), code.Cancelled, code.ReasonCancelled)
		}
		if n := ran.Load(); n != 1 {
			t.Errorf("%d calls ran", n)
		}
		r.stop()
	})
}

func TestQueuedCallsAreReportedAsNotRunAtTheEndOfTheGracePeriod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, func(ctx context.Context, _, _ *wire.Frame) error {
			<-ctx.Done()
			return nil
		}, wire.Limits{MaxInFlight: 1})
		stock, known := r.peer(t), r.peer(t)
		stock.Send(wiretest.Request(0, "Test", "Wait", wire.Raw, nil), wiretest.Request(1, "Test", "Wait", wire.Raw, nil))
		known.Send(ours(0), ours(1), ours(2))
		synctest.Wait()
		grace, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		_ = r.Shutdown(grace)
		f := stock.Receive()
		if wantError(t, wire.ErrorOf(f), code.Unavailable, code.ReasonDraining); f.Seq != 1 {
			t.Errorf("got %+v", f)
		}
		for f = known.Receive(); f.Method != "last"; f = known.Receive() {
			if f.Service != wire.DrainPath {
				t.Errorf("got %+v", f)
			}
		}
		if f.Seq != 0 {
			t.Errorf("the last that is said to be accepted is %d, want the last that has begun", f.Seq)
		}
		r.stop()
	})
}
