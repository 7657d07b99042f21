package wiretest

import (
	"context"
	"net"
	"sync"
	"testing"
)

// Listener is an in-memory net.Listener.
type Listener struct {
	accepts chan net.Conn
	closed  chan struct{}
	once    sync.Once

	mu   sync.Mutex
	port int
}

// Listen returns a Listener. With synctest, call it inside the bubble.
func Listen() *Listener {
	return &Listener{accepts: make(chan net.Conn), closed: make(chan struct{}), port: 40_000}
}

// Accept waits for a Dial.
func (l *Listener) Accept() (net.Conn, error) {
	select {
	case c := <-l.accepts:
		return c, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "memory", Addr: l.Addr(), Err: net.ErrClosed}
	}
}

// Close makes Accept and Dial fail.
func (l *Listener) Close() error {
	l.once.Do(func() { close(l.closed) })
	return nil
}

// Addr returns a fake loopback address.
func (l *Listener) Addr() net.Addr { return addr(1) }

// Dial connects to the listener. It returns when Accept has returned the other end.
func (l *Listener) Dial(ctx context.Context) (net.Conn, error) {
	l.mu.Lock()
	l.port++
	port := l.port
	l.mu.Unlock()
	near, far := pipe(addr(port), l.Addr())
	select {
	case l.accepts <- far:
		return near, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "memory", Addr: l.Addr(), Err: net.ErrClosed}
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Meet listens on a free TCP port until the test ends, and returns its address. It calls meet with one connection after the
// other, and closes each afterwards.
func Meet(t testing.TB, meet func(net.Conn)) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			meet(c)
			_ = c.Close()
		}
	})
	return ln.Addr().String()
}
