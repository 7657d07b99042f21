package wire_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	crand "crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/big"
	"math/rand/v2"
	"net"
	"runtime"
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

// undated has no deadlines, like a channel of an SSH connection.
type undated struct{ net.Conn }

func (undated) SetDeadline(time.Time) error      { return errors.New("no deadlines") }
func (undated) SetReadDeadline(time.Time) error  { return errors.New("no deadlines") }
func (undated) SetWriteDeadline(time.Time) error { return nil }

func TestCallsEndOnASocketWithoutDeadlines(t *testing.T) {
	for _, cancelled := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			near, far := wiretest.Pipe()
			c := wire.NewConn(undated{near}, wire.ConnOptions{})
			p := wiretest.NewPeer(t, far)
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			defer cancel()
			done := calling(ctx, c, "Slow", "")
			p.Receive()
			if cancelled {
				time.Sleep(10 * time.Millisecond)
				cancel()
			}
			select {
			case err := <-done:
				t.Logf("%v", err)
			case <-time.After(time.Minute):
				t.Errorf("cancelled %v: the call has not ended after a minute", cancelled)
			}
			_ = c.Close()
		})
	}
}

// The handshake takes longer than a caller reads.
func TestACallOnATLSConnectionThatHasNotShakenHands(t *testing.T) {
	cert := selfSigned(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		nc, err := ln.Accept()
		if err != nil {
			return
		}
		time.Sleep(20 * time.Millisecond) // the round trip
		s := tls.Server(nc, &tls.Config{Certificates: []tls.Certificate{cert}})
		in := wire.NewReader(s, wire.Limits{})
		for {
			var f wire.Frame
			if in.Read(&f) != nil {
				return
			}
			f.Type = wire.Response
			_, _ = s.Write(wire.AppendFrame(nil, &f))
		}
	}()
	nc, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	c := wire.NewConn(tls.Client(nc, &tls.Config{InsecureSkipVerify: true}), wire.ConnOptions{})
	defer c.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
	defer cancel()
	if _, err := call(ctx, c, "Echo", "x"); err != nil {
		t.Error(err)
	}
}

func TestTheErrorOfADeadlineStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		parent, cancel := context.WithCancel(t.Context())
		d := wire.WithDeadline(parent, time.Now().Add(time.Second))
		defer d.Release()
		time.Sleep(2 * time.Second)
		first := d.Err()
		cancel()
		if second := d.Err(); first != second { //nolint:errorlint // the same value
			t.Errorf("%v, then %v", first, second)
		}
		<-d.Done()
		if second := d.Err(); first != second { //nolint:errorlint // the same value
			t.Errorf("%v, then %v after Done", first, second)
		}
	})
}

func TestACancelledParentIsTheReason(t *testing.T) {
	for range 200 {
		c, p := facing(t, wire.ConnOptions{})
		parent, cancel := context.WithCancel(context.Background())
		d := wire.WithDeadline(parent, time.Now().Add(time.Hour))
		done := calling(d, c, "Slow", "")
		p.Receive()
		time.Sleep(5 * time.Millisecond) // it waits in await
		for range 2000 {
			_, stop := context.WithCancel(parent)
			defer stop()
		}
		d.Done() // somebody else uses the context, too
		cancel()
		err := <-done
		if e := code.From(err); e.Code != code.Cancelled || !errors.Is(err, context.Canceled) {
			t.Fatalf("got %v", err)
		}
		d.Release()
		_ = c.Close()
	}
}

func TestConcurrentCallsWithDeadlinesAndCancels(t *testing.T) {
	address, _, _ := onTCP(t, func(_ context.Context, req, res *wire.Frame) error {
		if n := len(req.Payload); n%5 == 0 {
			time.Sleep(time.Duration(n%7) * 400 * time.Microsecond)
		}
		res.Payload = append(res.Payload, req.Payload...)
		return nil
	}, wire.Limits{MaxInFlight: 64})
	before := runtime.NumGoroutine()
	for round := range 12 {
		for _, callers := range []int{1, 2, 5, 40} {
			c, err := wire.Dial(t.Context(), "tcp", address, wire.ConnOptions{KeepaliveInterval: 3 * time.Millisecond, KeepaliveTimeout: 5 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			var all sync.WaitGroup
			var closed atomic.Bool
			for i := range callers {
				all.Go(func() {
					r := rand.New(rand.NewPCG(uint64(i), uint64(callers+round*100)))
					for n := range 60 {
						ctx := context.Background()
						release := func() {}
						var at time.Time
						switch k := r.IntN(6); k {
						case 0:
						case 1, 2, 3:
							parent, cancel := context.WithCancel(ctx)
							at = time.Now().Add(time.Duration(r.IntN(5000)) * time.Microsecond)
							d := wire.WithDeadline(parent, at)
							if k == 2 {
								at = time.Time{}
								time.AfterFunc(time.Duration(r.IntN(3000))*time.Microsecond, cancel)
							}
							if k == 3 && r.IntN(2) == 0 {
								go d.Done()
							}
							ctx, release = d, func() { d.Release(); cancel() }
						case 4:
							d := wire.WithDeadline(ctx, time.Now().Add(time.Hour))
							e := wire.WithDeadline(d, time.Now().Add(30*time.Minute))
							ctx, release = e, func() { e.Release(); d.Release() }
						case 5:
							ctx, release = context.WithTimeout(ctx, time.Duration(r.IntN(5000))*time.Microsecond)
						}
						want := strconv.Itoa(i) + "/" + strconv.Itoa(n) + strings.Repeat("x", r.IntN(200)+r.IntN(60)/59*60_000)
						got, err := call(ctx, c, "Echo", want)
						e := code.From(err)
						switch {
						case err == nil && got == want:
						case err != nil && closed.Load() && e.Code == code.Unavailable:
						case err != nil && e.Code == code.DeadlineExceeded:
							if !at.IsZero() && time.Now().Before(at) && e.Reason != code.ReasonExpired && time.Until(at) > time.Millisecond {
								t.Errorf("%v too early: %v", err, time.Until(at))
							}
							if _, ok := ctx.Deadline(); !ok {
								t.Errorf("a deadline without one: %v", err)
							}
						case err != nil && e.Code == code.Cancelled && at.IsZero():
						default:
							t.Errorf("got %d bytes, %v", len(got), err)
						}
						if !at.IsZero() && time.Since(at) > 10*time.Second {
							t.Errorf("late: %v", time.Since(at))
						}
						release()
						switch r.IntN(12) {
						case 0:
							time.Sleep(time.Duration(r.IntN(4000)) * time.Microsecond)
						case 1:
							if err := c.Ping(context.Background()); err != nil && !closed.Load() {
								t.Error(err)
							}
						case 2:
							_ = c.Do(context.Background(), &wire.Frame{OneWay: true, Service: "Test", Method: "Echo", Codec: wire.Raw}, nil)
						case 3:
							fctx, stop := context.WithTimeout(context.Background(), 20*time.Second)
							if err := c.Flush(fctx); err != nil && !closed.Load() {
								t.Error(err)
							}
							stop()
						}
					}
				})
			}
			if round%2 == 0 {
				time.Sleep(time.Duration(rand.IntN(15000)) * time.Microsecond)
				closed.Store(true)
				_ = c.Close()
			}
			all.Wait()
			closed.Store(true)
			_ = c.Close()
		}
	}
	wiretest.Within(t, 10*time.Second, "goroutines end", func() bool { return runtime.NumGoroutine() <= before+5 })
}

func selfSigned(t *testing.T) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), crand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), DNSNames: []string{"x"}}
	der, err := x509.CreateCertificate(crand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}
