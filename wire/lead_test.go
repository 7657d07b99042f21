package wire_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// readers counts the reads that callers make themselves, and those of background goroutines.
type readers struct {
	net.Conn
	callers, others atomic.Int64
}

func (r *readers) Read(b []byte) (int, error) {
	if strings.Contains(string(debug.Stack()), "wire.(*Conn).Do") {
		r.callers.Add(1)
	} else {
		r.others.Add(1)
	}
	return r.Conn.Read(b)
}

// facingReaders is like facing, with the readers of the Conn.
func facingReaders(t *testing.T, o wire.ConnOptions) (*wire.Conn, *wiretest.Peer, *readers) {
	near, far := wiretest.Pipe()
	by := &readers{Conn: near}
	c := wire.NewConn(by, o)
	t.Cleanup(func() { _ = c.Close() })
	return c, wiretest.NewPeer(t, far), by
}

// calling starts a call.
func calling(ctx context.Context, c *wire.Conn, method, payload string) <-chan error {
	done := make(chan error, 1)
	go func() {
		got, err := call(ctx, c, method, payload)
		if err == nil && got != "for "+method {
			err = errors.New(method + " got " + got[:min(len(got), 100)])
		}
		done <- err
	}()
	return done
}

// endings says whether the contexts of calls can end.
var endings = []bool{false, true}

// contextThat returns a context that can end with the test, or cannot end.
func contextThat(t *testing.T, ends bool) context.Context {
	if ends {
		return t.Context()
	}
	return context.Background()
}

func TestACallerThatIsAloneReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for _, ends := range endings {
			ctx := contextThat(t, ends)
			c, p, by := facingReaders(t, wire.ConnOptions{KeepaliveInterval: time.Hour})
			for range 10 {
				done := calling(ctx, c, "Next", "")
				answer(p, p.Receive(), "for Next")
				if err := <-done; err != nil {
					t.Error(err)
				}
			}
			if n := by.callers.Load(); n < 10 || by.others.Load() > 0 {
				t.Errorf("ends %v: callers have read %d times, others %d times", ends, n, by.others.Load())
			}
			time.Sleep(10 * time.Millisecond)
			synctest.Wait()
			if n := by.others.Load(); n == 0 || n > 2 {
				t.Errorf("ends %v: %d background reads of the idle connection", ends, n)
			}
			_ = c.Close()
		}
	})
}

func TestCallersThatAreNotAloneDoNotRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p, by := facingReaders(t, wire.ConnOptions{})
		for range 10 {
			first := calling(t.Context(), c, "First", "")
			given := p.Receive()
			second := calling(t.Context(), c, "Second", "")
			answer(p, p.Receive(), "for Second")
			answer(p, given, "for First")
			if err := errors.Join(<-first, <-second); err != nil {
				t.Error(err)
			}
		}
		if n := by.callers.Load(); n > 2 {
			t.Errorf("callers have read %d times", n)
		}
	})
}

// The peer sends the answer in two pieces, cut anywhere. The caller gives up between them.
func TestAHalfReadResponseSurvivesItsReader(t *testing.T) {
	for _, size := range []int{10, 5_000, 30_000, 60_000} {
		for _, part := range []int{1, 15, 16, 40, 99} { // percent, or bytes of the header
			synctest.Test(t, func(t *testing.T) {
				c, p, by := facingReaders(t, wire.ConnOptions{})
				ctx, cancel := context.WithCancel(t.Context())
				done := calling(ctx, c, "Given", "")
				req := p.Receive()
				pieces := wiretest.Bytes(&wire.Frame{Type: wire.Response, Seq: req.Seq, Payload: make([]byte, size)})
				cut := part
				if part > wire.HeaderBytes {
					cut = len(pieces) * part / 100
				}
				if _, err := p.Write(pieces[:cut]); err != nil {
					t.Fatal(err)
				}
				time.Sleep(100 * time.Microsecond)
				cancel()
				wantError(t, <-done, code.Cancelled, code.ReasonCancelled)
				next := calling(t.Context(), c, "Next", "")
				req = p.Receive()
				if _, err := p.Write(pieces[cut:]); err != nil {
					t.Fatal(err)
				}
				answer(p, req, "for Next")
				if err := <-next; err != nil {
					t.Errorf("%d bytes, cut after %d: %v", size, cut, err)
				}
				if by.callers.Load() == 0 {
					t.Error("no caller has read")
				}
			})
		}
	}
}

func TestADeadlineEndsACallWhoseResponseTrickles(t *testing.T) {
	for _, timeout := range []time.Duration{500 * time.Microsecond, 300 * time.Millisecond} {
		synctest.Test(t, func(t *testing.T) {
			c, p := facing(t, wire.ConnOptions{})
			ctx, cancel := context.WithTimeout(t.Context(), timeout)
			defer cancel()
			begin := time.Now()
			given := calling(ctx, c, "Given", "")
			b := wiretest.Bytes(&wire.Frame{Type: wire.Response, Seq: p.Receive().Seq, Payload: make([]byte, 4_000)})
			go func() {
				for i := range b {
					_, _ = p.Write(b[i : i+1])
					time.Sleep(100 * time.Microsecond)
				}
			}()
			wantError(t, <-given, code.DeadlineExceeded, code.ReasonTimeout)
			if took := time.Since(begin); took != timeout {
				t.Errorf("after %v, want %v", took, timeout)
			}
			time.Sleep(time.Second)
			next := calling(t.Context(), c, "Next", "")
			answer(p, p.Receive(), "for Next")
			if err := <-next; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOthersAreAnsweredWhenTheReaderHasItsResponseOrGivesUp(t *testing.T) {
	for _, gives := range []string{"response", "deadline"} {
		for _, ends := range endings {
			synctest.Test(t, func(t *testing.T) {
				c, p, by := facingReaders(t, wire.ConnOptions{})
				own, cancel := contextThat(t, ends), context.CancelFunc(func() {})
				if gives == "deadline" {
					own, cancel = context.WithTimeout(context.Background(), 700*time.Microsecond)
				}
				defer cancel()
				leader := calling(own, c, "Leader", "")
				led := p.Receive()
				second, third := calling(context.Background(), c, "Other", ""), calling(context.Background(), c, "Other", "")
				others := []*wire.Frame{p.Receive(), p.Receive()}
				answer(p, others[0], "for Other")
				if gives == "response" {
					answer(p, led, "for Leader")
				} else {
					time.Sleep(700 * time.Microsecond)
				}
				err := <-leader
				if gives == "response" && err != nil {
					t.Error(err)
				} else if gives == "deadline" {
					wantError(t, err, code.DeadlineExceeded, code.ReasonTimeout)
				}
				answer(p, others[1], "for Other")
				begin := time.Now()
				if err := errors.Join(<-second, <-third); err != nil || time.Since(begin) > 0 {
					t.Errorf("%s, ends %v: %v after %v", gives, ends, err, time.Since(begin))
				}
				if by.callers.Load() == 0 {
					t.Error("no caller has read")
				}
				_ = c.Close()
			})
		}
	}
}

func TestEveryReaderNoticesTheEndOfTheConnection(t *testing.T) {
	for _, ends := range endings {
		for _, end := range []string{"idle", "resting", "led", "closed"} {
			synctest.Test(t, func(t *testing.T) {
				ctx, changed := contextThat(t, ends), make(chan bool, 10)
				c, p, _ := facingReaders(t, wire.ConnOptions{OnChange: func() { changed <- true }})
				first := calling(ctx, c, "First", "")
				answer(p, p.Receive(), "for First")
				if err := <-first; err != nil {
					t.Error(err)
				}
				begin, most := time.Now(), time.Duration(0)
				switch end {
				case "idle":
					time.Sleep(time.Second)
					begin = time.Now()
				case "resting":
					most = 2 * time.Millisecond
				default:
					lost := calling(ctx, c, "Lost", "")
					p.Receive()
					defer func() { wantError(t, <-lost, code.Unavailable, code.ReasonConnectionLost) }()
				}
				if end == "closed" {
					_ = c.Close()
				} else {
					_ = p.Close()
				}
				<-c.Done()
				<-changed
				if took := time.Since(begin); took > most || c.EndedIdle() != (most > 0 || end == "idle") {
					t.Errorf("ends %v, %s: %v after %v, idle %v", ends, end, c.Err(), took, c.EndedIdle())
				}
				_ = c.Close()
			})
		}
	}
}

func TestWhatThePeerSaysIsNoticedWhileACallerReads(t *testing.T) {
	for _, ends := range endings {
		synctest.Test(t, func(t *testing.T) {
			ctx, changed := contextThat(t, ends), make(chan bool, 10)
			c, p, by := facingReaders(t, wire.ConnOptions{OnChange: func() { changed <- true }, KeepaliveInterval: 10 * time.Second})
			done := calling(ctx, c, "Slow", "")
			req := p.Receive()
			p.Send(&wire.Frame{OneWay: true, Service: wire.DrainPath}, &wire.Frame{OneWay: true, Service: "Some", Method: "Push"})
			<-changed
			if !c.Draining() {
				t.Error("not draining")
			}
			for range 5 {
				p.Greet() // a heartbeat, after ten seconds
			}
			if err := c.Ping(t.Context()); err != nil {
				t.Error(err)
			}
			p.Greet()
			answer(p, req, "for Slow")
			if err := <-done; err != nil {
				t.Errorf("ends %v: %v", ends, err)
			}
			if by.callers.Load() == 0 {
				t.Error("no caller has read")
			}
			_ = c.Close()
		})
	}
}

// Nobody reads when a call has just been answered.
func TestARestingConnectionIsPingedAndClosedAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := facing(t, wire.ConnOptions{})
		go func() {
			p.Greet()
			answer(p, p.Receive(), "for Next")
		}()
		begin := time.Now()
		if err := errors.Join(c.Ping(t.Context()), <-calling(t.Context(), c, "Next", ""), c.Close()); err != nil || time.Since(begin) > 0 {
			t.Errorf("%v after %v", err, time.Since(begin))
		}
	})
}

func TestAPeerThatIsSilentWhileACallerReadsIsDead(t *testing.T) {
	for _, ends := range endings {
		synctest.Test(t, func(t *testing.T) {
			ctx := contextThat(t, ends)
			c, _ := facing(t, wire.ConnOptions{})
			begin := time.Now()
			wantError(t, <-calling(ctx, c, "Lost", ""), code.Unavailable, code.ReasonConnectionLost)
			if took := time.Since(begin); took != 13*time.Second {
				t.Errorf("after %v", took)
			}
		})
	}
}

func TestALimitOfAReaderIsNotTakenForSilenceWithoutHeartbeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c, p := facing(t, wire.ConnOptions{KeepaliveInterval: -1})
		done := calling(t.Context(), c, "Slow", "")
		req := p.Receive()
		time.Sleep(time.Hour)
		answer(p, req, "for Slow")
		if err := <-done; err != nil {
			t.Error(err)
		}
		next := calling(t.Context(), c, "Next", "")
		answer(p, p.Receive(), "for Next")
		if err := <-next; err != nil {
			t.Error(err)
		}
	})
}

// Callers come and go, alone and in crowds, and give up at random.
func TestCallersJoinAndLeaveAtRandom(t *testing.T) {
	address, _, _ := onTCP(t, func(_ context.Context, req, res *wire.Frame) error {
		if n := len(req.Payload); n%7 == 0 {
			time.Sleep(time.Duration(n%5) * 500 * time.Microsecond)
		}
		res.Payload = append(res.Payload, req.Payload...)
		return nil
	}, wire.Limits{})
	for _, callers := range []int{2, 3, 10, 50} {
		c := dialTCP(t, address)
		var answered, ended atomic.Int64
		var all sync.WaitGroup
		for i := range callers {
			all.Go(func() {
				r := rand.New(rand.NewPCG(uint64(i), uint64(callers)))
				for n := range 100 {
					ctx, cancel := context.Background(), context.CancelFunc(func() {})
					if k := r.IntN(3); k > 0 {
						ctx, cancel = context.WithTimeout(ctx, time.Duration(r.IntN(4000))*time.Microsecond)
						if k > 1 {
							time.AfterFunc(time.Duration(r.IntN(2000))*time.Microsecond, cancel)
						}
					}
					want := strconv.Itoa(i) + "/" + strconv.Itoa(n) + strings.Repeat("x", r.IntN(200)+r.IntN(100)/99*60_000)
					got, err := call(ctx, c, "Echo", want)
					cancel()
					switch e := code.From(err); {
					case err == nil && got == want:
						answered.Add(1)
					case err != nil && (e.Reason == code.ReasonTimeout || e.Reason == code.ReasonCancelled || e.Reason == code.ReasonExpired):
						ended.Add(1)
					default:
						t.Errorf("got %d bytes, %v", len(got), err)
					}
					if r.IntN(10) == 0 {
						time.Sleep(time.Duration(r.IntN(4000)) * time.Microsecond)
					}
				}
			})
		}
		all.Wait()
		if answered.Load() == 0 || ended.Load() == 0 || c.Err() != nil {
			t.Errorf("%d callers: %d answered, %d ended, %v", callers, answered.Load(), ended.Load(), c.Err())
		}
	}
}

// The connection is closed while callers join, lead and leave.
func TestCloseWhileCallersReadLeavesNobodyWaiting(t *testing.T) {
	address, _, _ := onTCP(t, echo, wire.Limits{})
	for round := range 50 {
		c, err := wire.Dial(t.Context(), "tcp", address, wire.ConnOptions{})
		if err != nil {
			t.Fatal(err)
		}
		var all sync.WaitGroup
		for i := range 1 + round%3 {
			all.Go(func() {
				ctx := contextThat(t, (i+round)%2 == 0)
				for {
					if _, err := call(ctx, c, "Echo", "x"); err != nil {
						return
					}
				}
			})
		}
		time.AfterFunc(time.Duration(round*20)*time.Microsecond, func() { _ = c.Close() })
		all.Wait()
		_ = c.Close()
	}
}
