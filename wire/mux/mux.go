// Package mux shares one listener among several protocols, which it detects by the first byte that a client sends. If the
// listener uses TLS, that is the first byte after the handshake.
package mux

import (
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"sync"
	"time"

	"github.com/easymicro/easymicro/wire/internal/accept"
)

// Options configure a Mux. The zero value is ready to use.
type Options struct {
	// FirstByteTimeout is the time in which the first byte must arrive; 0 means 2 min.
	FirstByteTimeout time.Duration
	// MaxConnections limits the open connections; 0 means no limit. Further ones are closed at once. When more than a tenth
	// of MaxConnections have sent nothing, the oldest of these are closed after a second, or at once to make room.
	MaxConnections int
	// TLS, if not nil, is the configuration of the handshake that each connection begins with, within 5 s. Until it is complete,
	// the connection counts as one that has sent nothing.
	TLS *tls.Config
	// OnReject, if not nil, is called for each connection that is closed before a listener has accepted it, with a Reject
	// reason, and with the error of a handshake. It may be called concurrently and must not block.
	OnReject func(peer net.Addr, reason string, err error)
	// Answer, if not nil, is called with each connection that is closed for RejectTLS or RejectPlain, to tell the peer why. What
	// the peer has sent can be read from it. Reads and writes fail after a second.
	Answer func(c net.Conn, reason string)
	// Open, if not nil, is called with each connection before anything is read, in a goroutine of its own, and returns the
	// connection to use. FirstByteTimeout includes what it reads. An error closes the connection; OnReject is called if it
	// is a RejectError or a timeout.
	Open func(net.Conn) (net.Conn, error)
}

// RejectError is returned by Options.Open to reject a connection with a reason of its own.
type RejectError struct {
	Reason string
	Err    error // may be nil
}

func (e *RejectError) Error() string { return "connection rejected: " + e.Reason }

// Unwrap returns Err.
func (e *RejectError) Unwrap() error { return e.Err }

// Reasons passed to Options.OnReject.
const (
	RejectTooMany  = "too_many_connections"
	RejectSilent   = "first_byte_timeout"
	RejectUnknown  = "unknown_protocol"
	RejectNoServer = "no_server"    // the listener of its protocol is closed
	RejectProxy    = "proxy_header" // a PROXY header that Open has not consumed

	RejectTLS              = "tls_on_plain_listener"
	RejectPlain            = "plain_on_tls_listener"
	RejectHandshake        = "tls_handshake" // it failed
	RejectHandshakeTimeout = "tls_handshake_timeout"
	RejectHandshakes       = "too_many_tls_handshakes" // closed before its 5 s have passed
)

const (
	defaultFirstByteTimeout = 2 * time.Minute

	maxSilentShare = 10          // 1/10 of the connections may be silent for the whole timeout,
	evictAfter     = time.Second // others only this long

	handshakeTimeout = 5 * time.Second
	answerWait       = time.Second
)

// Mux accepts connections and passes each to the listener for its protocol.
type Mux struct {
	ln    net.Listener
	o     Options
	done  chan struct{} // closed when Serve ends
	peers sync.WaitGroup

	mu       sync.Mutex
	routes   []*route
	silent   list.List // *conns that have sent nothing yet, oldest first
	expiring list.List // *conns moved from silent, with the deadline of evictAfter
	open     int
	closed   bool
}

// New returns a Mux for ln, and takes ownership of ln.
func New(ln net.Listener, o Options) *Mux {
	if o.FirstByteTimeout <= 0 {
		o.FirstByteTimeout = defaultFirstByteTimeout
	}
	if o.OnReject == nil {
		o.OnReject = func(net.Addr, string, error) {}
	}
	return &Mux{ln: ln, o: o, done: make(chan struct{})}
}

// Match returns a listener for the connections whose first byte accept reports true for. If several match, the first one
// gets the connection. Match must not be called after Serve.
func (m *Mux) Match(accept func(first byte) bool) net.Listener {
	r := &route{mux: m, accept: accept, conns: make(chan net.Conn), closed: make(chan struct{})}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.routes = append(m.routes, r)
	return r
}

// SetLimits changes FirstByteTimeout and MaxConnections for new connections.
func (m *Mux) SetLimits(firstByte time.Duration, maxConnections int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if firstByte <= 0 {
		firstByte = defaultFirstByteTimeout
	}
	m.o.FirstByteTimeout, m.o.MaxConnections = firstByte, maxConnections
}

// SetTLS changes Options.TLS for new connections.
func (m *Mux) SetTLS(c *tls.Config) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.o.TLS = c
}

// UsesTLS reports whether new connections must use TLS.
func (m *Mux) UsesTLS() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.o.TLS != nil
}

// Serve accepts connections until ctx ends or the listener fails, and returns the error. When it returns, the listener, the
// listeners of Match and the connections that these have not accepted are closed, and its goroutines have ended. Accepted
// connections stay open.
func (m *Mux) Serve(ctx context.Context) error {
	stop := context.AfterFunc(ctx, func() { _ = m.ln.Close() })
	defer stop()
	err := accept.Loop(ctx, m.ln, m.take, func(error) bool { return true })
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
	for _, l := range []*list.List{&m.silent, &m.expiring} {
		for e := l.Front(); e != nil; e = e.Next() {
			_ = connOf(e).accepted.Close()
		}
	}
}

// take counts a connection and starts reading its first byte.
func (m *Mux) take(c net.Conn) {
	now := time.Now()
	m.mu.Lock()
	if m.o.MaxConnections > 0 && m.open >= m.o.MaxConnections && !m.makeRoom() {
		m.mu.Unlock()
		m.reject(c, RejectTooMany, nil)
		return
	}
	m.open++
	mc := &conn{Conn: c, accepted: c, mux: m, since: now, counted: true, tls: m.o.TLS, firstByteBy: now.Add(m.o.FirstByteTimeout)}
	mc.join(&m.silent)
	_ = c.SetReadDeadline(mc.firstDeadline()) // if it fails, so does the first Read
	if m.tooSilent() {
		oldest := connOf(m.silent.Front())
		oldest.leave()
		oldest.join(&m.expiring)
		_ = oldest.accepted.SetReadDeadline(oldest.since.Add(evictAfter))
	}
	m.mu.Unlock()
	m.peers.Go(func() { m.sniff(mc) })
}

// tooSilent reports whether too many connections have sent nothing yet. It needs m.mu.
func (m *Mux) tooSilent() bool {
	return m.o.MaxConnections > 0 && m.silent.Len() > max(m.o.MaxConnections/maxSilentShare, 1)
}

// makeRoom closes the oldest silent connection if there are too many, and reports whether it did. It needs m.mu.
func (m *Mux) makeRoom() bool {
	oldest := m.expiring.Front()
	if oldest == nil && m.tooSilent() {
		oldest = m.silent.Front()
	}
	if oldest == nil {
		return false
	}
	m.evict(connOf(oldest))
	return true
}

// evict closes a connection that has sent nothing yet. It needs m.mu.
func (m *Mux) evict(c *conn) {
	c.leave()
	c.evicted = RejectSilent
	if c.shaking {
		c.evicted = RejectHandshakes
	}
	_ = c.accepted.Close()
	m.uncount(c)
}

func (m *Mux) beginHandshake(c *conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c.shaking = true
}

// endHandshake reports whether the handshake had less time than usual because too many connections had sent nothing.
func (m *Mux) endHandshake(c *conn) (hurried bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	c.shaking = false
	if c.list == &m.silent {
		_ = c.accepted.SetReadDeadline(c.firstByteBy) // that of expiring stays
	}
	return c.list == &m.expiring
}

func (m *Mux) reject(c net.Conn, reason string, err error) {
	_ = c.Close()
	m.o.OnReject(c.RemoteAddr(), reason, err)
}

// sniff reads the first byte and passes the connection on.
func (m *Mux) sniff(c *conn) {
	err := c.begin(m.o.Open)
	m.mu.Lock()
	c.leave()
	closed, evicted := m.closed, c.evicted
	m.mu.Unlock()
	if err == nil {
		err = c.SetReadDeadline(time.Time{})
	}
	var late net.Error
	refused := new(RejectError)
	switch {
	case closed:
		_ = c.Close()
	case evicted != "":
		m.reject(c, evicted, nil)
	case errors.As(err, &refused):
		m.reject(c, refused.Reason, refused.Err)
	case errors.As(err, &late) && late.Timeout():
		m.reject(c, RejectSilent, nil)
	case err != nil:
		_ = c.Close()
	default:
		m.passOn(c, c.head[0])
	}
}

func (m *Mux) passOn(c *conn, first byte) {
	if c.hasProxyHeader() {
		m.reject(c, RejectProxy, nil)
		return
	}
	r := m.find(first)
	if r == nil {
		m.reject(c, RejectUnknown, nil)
		return
	}
	select {
	case r.conns <- c.outer():
	case <-r.closed:
		m.reject(c, RejectNoServer, nil)
	case <-m.done:
		_ = c.Close()
	}
}

// find returns the first route that matches a first byte, or nil.
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

func (m *Mux) connClosed(c *conn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.uncount(c)
}

// uncount removes c from the open connections, once. It needs m.mu.
func (m *Mux) uncount(c *conn) {
	if c.counted {
		c.counted = false
		m.open--
	}
}

// route is the listener for one protocol.
type route struct {
	mux    *Mux
	accept func(byte) bool
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// Accept implements net.Listener. It fails with net.ErrClosed when the route or its Mux is closed.
func (r *route) Accept() (net.Conn, error) {
	select {
	case <-r.closed:
		return nil, r.gone()
	case <-r.mux.done:
		return nil, r.gone()
	default:
	}
	select {
	case c := <-r.conns:
		return c, nil
	case <-r.closed:
	case <-r.mux.done:
	}
	return nil, r.gone()
}

func (r *route) gone() error {
	return &net.OpError{Op: "accept", Net: r.Addr().Network(), Addr: r.Addr(), Err: net.ErrClosed}
}

// Close ends Accept. Later connections of the protocol are closed.
func (r *route) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

// Addr returns the address of the shared listener.
func (r *route) Addr() net.Addr { return r.mux.ln.Addr() }
