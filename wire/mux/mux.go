// Package mux splits one listener among several protocols, by the first byte that a peer sends.
package mux

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// Options are settings of a Mux. The zero value is useful.
type Options struct {
	// FirstByteTimeout is how long a peer may be silent before it is closed; 0 means 5 s.
	FirstByteTimeout time.Duration
	// MaxConnections is how many connections may be open at a time; more are closed at once. 0 means no limit.
	MaxConnections int
	// OnReject is told of each connection that was closed before anybody got it: of whom, and one of the Reject reasons. It is
	// called from several goroutines and must not block. May be nil.
	OnReject func(peer net.Addr, reason string)
	// Open is called with each connection, on a goroutine of its own and before anything is read of it; what it returns is
	// the connection from then on. It has FirstByteTimeout for what it reads, as the read deadline. An error closes the
	// connection: a RejectError or a timeout with a reason, any other without a word. May be nil.
	Open func(net.Conn) (net.Conn, error)
}

// RejectError is an error of Options.Open that turns a connection away, for the reason that OnReject gets.
type RejectError struct{ Reason string }

func (e *RejectError) Error() string { return "connection turned away: " + e.Reason }

// The reasons for which a connection is rejected.
const (
	RejectTooMany  = "too_many_connections"
	RejectSilent   = "first_byte_timeout"
	RejectUnknown  = "unknown_protocol"
	RejectNoServer = "no_server"    // the listener of its protocol is closed
	RejectProxy    = "proxy_header" // a PROXY header, which only Open takes off
)

const defaultFirstByteTimeout = 5 * time.Second

// Mux accepts connections and hands each to the listener of its protocol.
type Mux struct {
	ln    net.Listener
	o     Options
	done  chan struct{} // closed when Serve ends
	peers sync.WaitGroup

	mu       sync.Mutex
	routes   []*route
	sniffing map[net.Conn]struct{} // nobody has them yet
	open     int
	closed   bool
}

// New makes a Mux of ln, which it owns from now on.
func New(ln net.Listener, o Options) *Mux {
	if o.FirstByteTimeout <= 0 {
		o.FirstByteTimeout = defaultFirstByteTimeout
	}
	if o.OnReject == nil {
		o.OnReject = func(net.Addr, string) {}
	}
	return &Mux{ln: ln, o: o, done: make(chan struct{}), sniffing: make(map[net.Conn]struct{})}
}

// Match gives the listener of the connections whose first byte accept approves of. The first Match that does gets the
// connection. All Matches come before Serve.
func (m *Mux) Match(accept func(first byte) bool) net.Listener {
	r := &route{mux: m, accept: accept, conns: make(chan net.Conn), closed: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.routes = append(m.routes, r)
	return r
}

// SetLimits changes FirstByteTimeout and MaxConnections for the connections that are accepted from now on.
func (m *Mux) SetLimits(firstByte time.Duration, maxConnections int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if firstByte <= 0 {
		firstByte = defaultFirstByteTimeout
	}
	m.o.FirstByteTimeout, m.o.MaxConnections = firstByte, maxConnections
}

// Serve accepts connections until ctx ends, then returns its error, or until the listener fails. When it returns, the
// listener, all its virtual listeners and the connections that nobody has accepted are closed, and nothing it started
// is running. Connections that were accepted are their owners'.
func (m *Mux) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = m.ln.Close() })
	defer stop()
	err := m.accept(ctx)
	_ = m.ln.Close()
	m.shut()
	m.peers.Wait()
	return err
}

func (m *Mux) shut() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.closed = true
	close(m.done)
	for c := range m.sniffing {
		_ = c.Close()
	}
}

func (m *Mux) accept(ctx context.Context) error {
	var pause time.Duration
	for {
		c, err := m.ln.Accept()
		switch {
		case err == nil:
			pause = 0
			m.take(c)
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			// Out of descriptors, or a peer that was gone before it was accepted: both pass.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			if !sleep(ctx, pause) {
				return ctx.Err()
			}
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// take counts a connection and has its first byte read.
func (m *Mux) take(c net.Conn) {
	m.mu.Lock()
	if m.o.MaxConnections > 0 && m.open >= m.o.MaxConnections {
		m.mu.Unlock()
		m.reject(c, RejectTooMany)
		return
	}
	m.open++
	m.sniffing[c] = struct{}{}
	timeout := m.o.FirstByteTimeout
	m.mu.Unlock()
	m.peers.Go(func() { m.sniff(&conn{Conn: c, mux: m}, timeout) })
}

func (m *Mux) reject(c net.Conn, reason string) {
	_ = c.Close()
	m.o.OnReject(c.RemoteAddr(), reason)
}

// sniff reads what tells the protocols apart and hands the connection over.
func (m *Mux) sniff(c *conn, timeout time.Duration) {
	accepted := c.Conn
	err := c.begin(timeout, m.o.Open)
	m.mu.Lock()
	delete(m.sniffing, accepted)
	closed := m.closed
	m.mu.Unlock()
	var late net.Error
	refused := new(RejectError)
	switch {
	case closed:
		_ = c.Close()
	case errors.As(err, &refused):
		m.reject(c, refused.Reason)
	case errors.As(err, &late) && late.Timeout():
		m.reject(c, RejectSilent)
	case err != nil:
		_ = c.Close()
	default:
		m.hand(c, c.head[0])
	}
}

func (m *Mux) hand(c *conn, first byte) {
	if c.hasProxyHeader() {
		m.reject(c, RejectProxy)
		return
	}
	r := m.find(first)
	if r == nil {
		m.reject(c, RejectUnknown)
		return
	}
	select {
	case r.conns <- c:
	case <-r.closed:
		m.reject(c, RejectNoServer)
	case <-m.done:
		_ = c.Close()
	}
}

// find is the route of a first byte, nil when there is none.
func (m *Mux) find(first byte) *route {
	m.mu.Lock()
	routes := m.routes
	m.mu.Unlock()
	for _, r := range routes {
		if r.accept(first) {
			return r
		}
	}
	return nil
}

func (m *Mux) left() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.open--
}
