package mux_test

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/easymicro/easymicro/wire/mux"
	"github.com/easymicro/easymicro/wire/wiretest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// rejects records reasons.
type rejects struct {
	mu sync.Mutex
	n  map[string]int
}

func (r *rejects) add(_ net.Addr, reason string, _ error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.n == nil {
		r.n = map[string]int{}
	}
	r.n[reason]++
}

func (r *rejects) count(reason string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.n[reason]
}

// rig is a Mux with a listener for bytes 8, and one for letters.
type rig struct {
	net          *wiretest.Listener
	eight, alpha net.Listener
	rejects      rejects
	stop         func() error
}

func isLetter(b byte) bool { return 'A' <= b && b <= 'Z' }

func start(t testing.TB, o mux.Options) *rig {
	t.Helper()
	r := &rig{net: wiretest.Listen()}
	o.OnReject = r.rejects.add
	m := mux.New(r.net, o)
	r.eight = m.Match(func(b byte) bool { return b == 8 })
	r.alpha = m.Match(isLetter)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx) }()
	r.stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() { _ = r.stop() })
	return r
}

func (r *rig) dial(t testing.TB, first string) net.Conn {
	t.Helper()
	c, err := r.net.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if _, err := c.Write([]byte(first)); err != nil {
		t.Fatal(err)
	}
	return c
}

func accept(t testing.TB, ln net.Listener) net.Conn {
	t.Helper()
	c, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func wantClosed(t testing.TB, c net.Conn) {
	t.Helper()
	if b, err := io.ReadAll(c); len(b) > 0 || err != nil {
		t.Errorf("got %q, %v; want a closed connection", b, err)
	}
}

func TestConnectionsGoToTheListenerOfTheirFirstByteWithAllBytes(t *testing.T) {
	r := start(t, mux.Options{})
	for _, tc := range []struct {
		sent string
		ln   net.Listener
	}{
		{"\x08\x00frame", r.eight},
		{"GET / HTTP/1.1\r\n", r.alpha},
		{"G", r.alpha},
		{"\x08", r.eight},
		{"PROPFIND / HTTP/1.1\r\n", r.alpha},
		{"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", r.alpha},
	} {
		near := r.dial(t, tc.sent)
		far := accept(t, tc.ln)
		_ = near.Close()
		got, err := io.ReadAll(far)
		if err != nil || string(got) != tc.sent {
			t.Errorf("got %q, %v; want %q", got, err, tc.sent)
		}
		_ = far.Close()
	}
}

// A connection that begins like a PROXY header but continues differently is passed on.
func TestAPrefixOfAProxyHeaderIsPassedOn(t *testing.T) {
	r := start(t, mux.Options{})
	for _, sent := range []string{"P", "PROXY"} {
		near := r.dial(t, sent)
		_ = near.Close()
		if got, err := io.ReadAll(accept(t, r.alpha)); err != nil || string(got) != sent {
			t.Errorf("got %q, %v; want %q", got, err, sent)
		}
	}
}

func TestAnUnexpectedProxyHeaderIsClosedAndReported(t *testing.T) {
	r := start(t, mux.Options{})
	for _, sent := range []string{
		"PROXY TCP4 203.0.113.9 10.0.0.1 4711 8972\r\nGET / HTTP/1.1\r\n",
		"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00\x08\x00",
	} {
		wantClosed(t, r.dial(t, sent))
	}
	_ = r.stop()
	if n := r.rejects.count(mux.RejectProxy); n != 2 {
		t.Errorf("%d rejects", n)
	}
}

func TestConnectionsAreOpenedBeforeTheirFirstByteIsRead(t *testing.T) {
	r := start(t, mux.Options{Open: func(c net.Conn) (net.Conn, error) {
		var b [1]byte
		if _, err := io.ReadFull(c, b[:]); err != nil {
			return nil, err
		}
		if b[0] != 'x' {
			return nil, &mux.RejectError{Reason: "no x"}
		}
		return c, nil
	}})
	slow := r.dial(t, "")
	near := r.dial(t, "xGET")
	far := accept(t, r.alpha) // which the slow one does not hold up
	_ = near.Close()
	if got, err := io.ReadAll(far); err != nil || string(got) != "GET" {
		t.Errorf("got %q, %v", got, err)
	}
	wantClosed(t, r.dial(t, "GET"))
	_ = slow.Close()
	_ = r.stop()
	if n := r.rejects.count("no x"); n != 1 {
		t.Errorf("%d rejects", n)
	}
}

func TestASlowOpenIsClosedAfterTheFirstByteTimeout(t *testing.T) {
	r := start(t, mux.Options{FirstByteTimeout: time.Millisecond, Open: func(c net.Conn) (net.Conn, error) {
		var b [1]byte
		_, err := io.ReadFull(c, b[:])
		return c, err
	}})
	wantClosed(t, r.dial(t, ""))
	_ = r.stop()
	if n := r.rejects.count(mux.RejectSilent); n != 1 {
		t.Errorf("%d rejects", n)
	}
}

func TestUnknownFirstByteIsClosedAndReported(t *testing.T) {
	r := start(t, mux.Options{})
	wantClosed(t, r.dial(t, "\x17\x03\x01"))
	_ = r.stop()
	if n := r.rejects.count(mux.RejectUnknown); n != 1 {
		t.Errorf("%d rejects", n)
	}
}

func TestAProtocolWithoutAListenerIsReported(t *testing.T) {
	for sent, speaks := range map[string]byte{"GET / HTTP/1.1\r\n\r\n": 8, "\x08\x00frame": 'G'} {
		var rejected rejects
		ln := wiretest.Listen()
		m := mux.New(ln, mux.Options{OnReject: rejected.add})
		m.Match(func(b byte) bool { return b == speaks })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Serve(ctx) }()
		near, err := ln.Dial(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := near.Write([]byte(sent)); err != nil {
			t.Fatal(err)
		}
		wantClosed(t, near)
		cancel()
		<-done
		_ = near.Close()
		if rejected.count(mux.RejectUnknown) != 1 || len(rejected.n) != 1 {
			t.Errorf("%q where only %q is spoken: rejected %v", sent, speaks, rejected.n)
		}
	}
}

func TestSilentPeersAreCutInTimeAndDelayNoOthers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, mux.Options{FirstByteTimeout: 5 * time.Second})
		begin := time.Now()
		var silent []net.Conn
		for range 100 {
			silent = append(silent, r.dial(t, ""))
		}
		near := r.dial(t, "A")
		far := accept(t, r.alpha)
		if took := time.Since(begin); took != 0 {
			t.Errorf("a good peer waited %v for the silent ones", took)
		}
		for _, c := range silent {
			wantClosed(t, c)
		}
		if took := time.Since(begin); took != 5*time.Second {
			t.Errorf("cut after %v", took)
		}
		synctest.Wait()
		if n := r.rejects.count(mux.RejectSilent); n != 100 {
			t.Errorf("%d rejects", n)
		}
		time.Sleep(time.Hour) // the deadline of the first byte is not one of the connection
		if _, err := near.Write([]byte("B")); err != nil {
			t.Error(err)
		}
		two := make([]byte, 2)
		if _, err := io.ReadFull(far, two); err != nil || string(two) != "AB" {
			t.Errorf("got %q, %v", two, err)
		}
		_ = far.Close()
		_ = r.stop()
	})
}

func TestConnectionsAboveTheMaximumAreClosedUntilOneIsFree(t *testing.T) {
	r := start(t, mux.Options{MaxConnections: 2})
	r.dial(t, "A")
	r.dial(t, "A")
	first, second := accept(t, r.alpha), accept(t, r.alpha)
	over, err := r.net.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantClosed(t, over)
	if n := r.rejects.count(mux.RejectTooMany); n != 1 {
		t.Errorf("%d rejects", n)
	}
	_ = first.Close()
	_ = first.Close() // frees one place, not two
	r.dial(t, "A")
	third := accept(t, r.alpha)
	over, err = r.net.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	wantClosed(t, over)
	_, _ = second.Close(), third.Close()
}

func TestServeClosesUnacceptedConnectionsAndLeavesTheRest(t *testing.T) {
	r := start(t, mux.Options{})
	near := r.dial(t, "A")
	far := accept(t, r.alpha)
	waiting, silent := r.dial(t, "A"), r.dial(t, "")
	if err := r.stop(); !errors.Is(err, context.Canceled) {
		t.Errorf("Serve: %v", err)
	}
	wantClosed(t, waiting)
	wantClosed(t, silent)
	if _, err := r.alpha.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	if _, err := far.Write([]byte("x")); err != nil {
		t.Errorf("an accepted connection was closed: %v", err)
	}
	_ = far.Close()
	_ = near.Close()
}

func TestClosedVirtualListenerEndsAcceptAndClosesItsConnections(t *testing.T) {
	r := start(t, mux.Options{})
	ended := make(chan error)
	go func() {
		_, err := r.alpha.Accept()
		ended <- err
	}()
	_ = r.alpha.Close()
	if err := <-ended; !errors.Is(err, net.ErrClosed) {
		t.Errorf("Accept: %v", err)
	}
	wantClosed(t, r.dial(t, "A"))
	r.dial(t, "\x08")
	_ = accept(t, r.eight).Close()
}

// flaky is a listener whose first Accepts fail.
type flaky struct {
	net.Listener
	left int
}

func (f *flaky) Accept() (net.Conn, error) {
	if f.left > 0 {
		f.left--
		return nil, errors.New("accept: too many open files")
	}
	return f.Listener.Accept()
}

func TestAcceptIsRetriedAfterAPause(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ln := wiretest.Listen()
		m := mux.New(&flaky{Listener: ln, left: 3}, mux.Options{})
		all := m.Match(func(byte) bool { return true })
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- m.Serve(ctx) }()
		begin := time.Now()
		near, err := ln.Dial(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(begin); took != 35*time.Millisecond {
			t.Errorf("accepted after %v, want 5 + 10 + 20 ms", took)
		}
		_, _ = near.Write([]byte("x"))
		_ = accept(t, all).Close()
		cancel()
		<-done
		_ = near.Close()
	})
}

func TestBeyondATenthTheOldestSilentConnectionsAreClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := start(t, mux.Options{MaxConnections: 30})
		begin := time.Now()
		var silent []net.Conn
		for range 6 {
			silent = append(silent, r.dial(t, ""))
		}
		for i, c := range silent {
			wantClosed(t, c)
			want := 2 * time.Minute
			if i < 3 {
				want = time.Second
			}
			if took := time.Since(begin); took != want {
				t.Errorf("silent connection %d of 6 is closed after %v, want %v", i, took, want)
			}
		}
		synctest.Wait()
		if n := r.rejects.count(mux.RejectSilent); n != 6 {
			t.Errorf("%d rejects", n)
		}
		_ = r.stop()
	})
}

func TestSilentConnectionsAreEvictedAtTheMaximum(t *testing.T) {
	for _, first := range []string{"", "P", "PROXY", "\r\n"} {
		synctest.Test(t, func(t *testing.T) {
			const most, dialled = 30, 300
			r := start(t, mux.Options{MaxConnections: most})
			for range dialled {
				r.dial(t, first)
			}
			synctest.Wait()
			if n := r.rejects.count(mux.RejectSilent); n != dialled-most {
				t.Errorf("%q: %d of %d connections are open, want %d", first, dialled-n, dialled, most)
			}
			near := r.dial(t, "A")
			_ = accept(t, r.alpha).Close()
			_ = near.Close()
			if n := r.rejects.count(mux.RejectTooMany); n != 0 {
				t.Errorf("%q: %d are rejected", first, n)
			}
			_ = r.stop()
		})
	}
}

// late is a connection that yields between reading and returning what it has read.
type late struct {
	net.Conn
	read, onward chan struct{}
}

func (l late) Read(b []byte) (int, error) {
	n, err := l.Conn.Read(b)
	l.read <- struct{}{}
	<-l.onward
	return n, err
}

func TestAConnectionWhoseFirstByteArrivesWhileItIsEvictedIsClosed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		held := late{read: make(chan struct{}), onward: make(chan struct{})}
		var opened atomic.Int32
		r := start(t, mux.Options{MaxConnections: 2, Open: func(c net.Conn) (net.Conn, error) {
			if opened.Add(1) == 1 {
				held.Conn = c
				return held, nil
			}
			return c, nil
		}})
		first := r.dial(t, "A")
		<-held.read
		second, third := r.dial(t, ""), r.dial(t, "")
		synctest.Wait()
		close(held.onward)
		wantClosed(t, first)
		synctest.Wait()
		if n := r.rejects.count(mux.RejectSilent); n != 1 {
			t.Errorf("%d connections are closed for the third, want 1", n)
		}
		_, _ = second.Close(), third.Close()
		_ = r.stop()
	})
}

func TestSyscallConnReturnsTheSocketEvenIfOpenWrappedIt(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	m := mux.New(ln, mux.Options{Open: func(c net.Conn) (net.Conn, error) { return struct{ net.Conn }{c}, nil }})
	all := m.Match(func(byte) bool { return true })
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- m.Serve(ctx) }()
	near, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = near.Write([]byte("x"))
	far := accept(t, all)
	s, ok := far.(syscall.Conn)
	if !ok {
		t.Fatal("there is no way to the socket")
	}
	if _, err := s.SyscallConn(); err != nil {
		t.Errorf("the socket of a wrapped connection: %v", err)
	}
	_, _ = near.Close(), far.Close()
	cancel()
	<-done
}
