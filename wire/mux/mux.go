// Package mux splits one listener among several protocols, by the first byte that a peer sends.
package mux

import (
	"bytes"
	"container/list"
	"context"
	"errors"
	"net"
	"sync"
	"syscall"
	"time"

	"github.com/easymicro/easymicro/wire/internal/accept"
)

// Options are settings of a Mux. The zero value is useful.
type Options struct {
	// FirstByteTimeout is how long a peer may be silent before its connection is closed; 0 means 2 min.
	FirstByteTimeout time.Duration
	// MaxConnections limits the open connections; more are closed at once. 0 means no limit. When more than a tenth of that
	// many are silent, those silent for longest are closed: after a second, or at once to make room.
	MaxConnections int
	// OnReject is called with the peer and a Reject reason for each connection that is closed before it is accepted. It may
	// be called concurrently and must not block. May be nil.
	OnReject func(peer net.Addr, reason string)
	// Open, if set, is called with each connection, in a goroutine of its own and before anything is read; it returns the
	// connection to use. FirstByteTimeout, as the read deadline, covers what it reads. An error closes the connection:
	// OnReject is called for a RejectError or a timeout, but not for others.
	Open func(net.Conn) (net.Conn, error)
}

// RejectError is an error of Options.Open that rejects a connection for a reason of its own.
type RejectError struct{ Reason string }

func (e *RejectError) Error() string { return "connection turned away: " + e.Reason }

// Reasons for which a connection is rejected.
const (
	RejectTooMany  = "too_many_connections"
	RejectSilent   = "first_byte_timeout"
	RejectUnknown  = "unknown_protocol"
	RejectNoServer = "no_server"    // the listener of its protocol is closed
	RejectProxy    = "proxy_header" // an unexpected PROXY header: only Open reads those
)

const (
	defaultFirstByteTimeout = 2 * time.Minute

	maxSilentShare = 10          // one in so many connections may be silent for the whole timeout,
	evictAfter     = time.Second // others for this long
)

// Mux accepts connections and hands each to the listener of its protocol.
type Mux struct {
	ln    net.Listener
	o     Options
	done  chan struct{} // closed when Serve ends
	peers sync.WaitGroup

	mu      sync.Mutex
	routes  []*route
	silent  list.List // of *conn that have sent nothing yet, oldest first
	hurried list.List // of those moved out of silent, which have little time left
	open    int
	closed  bool
}

// New returns a Mux of ln, which it owns from now on.
func New(ln net.Listener, o Options) *Mux {
	if o.FirstByteTimeout <= 0 {
		o.FirstByteTimeout = defaultFirstByteTimeout
	}
	if o.OnReject == nil {
		o.OnReject = func(net.Addr, string) {}
	}
	return &Mux{ln: ln, o: o, done: make(chan struct{})}
}

// Match returns the listener of the connections whose first byte accept accepts. The first Match to do so gets the
// connection. Match must not be called after Serve.
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

// Serve accepts connections until ctx ends, and returns its error, or until the listener fails. When it returns, the
// listener, its virtual listeners and the connections that were not accepted are closed, and nothing it started is running.
// Accepted connections belong to their users.
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
	for _, l := range []*list.List{&m.silent, &m.hurried} {
		for e := l.Front(); e != nil; e = e.Next() {
			_ = connOf(e).accepted.Close()
		}
	}
}

// take counts a connection and has its first byte read.
func (m *Mux) take(c net.Conn) {
	now := time.Now()
	m.mu.Lock()
	if m.o.MaxConnections > 0 && m.open >= m.o.MaxConnections && !m.makeRoom() {
		m.mu.Unlock()
		m.reject(c, RejectTooMany)
		return
	}
	m.open++
	mc := &conn{Conn: c, accepted: c, mux: m, since: now, counted: true}
	mc.join(&m.silent)
	_ = c.SetReadDeadline(now.Add(m.o.FirstByteTimeout)) // when it fails the first Read does
	if m.tooSilent() {
		oldest := connOf(m.silent.Front())
		oldest.leave()
		oldest.join(&m.hurried)
		_ = oldest.accepted.SetReadDeadline(oldest.since.Add(evictAfter))
	}
	m.mu.Unlock()
	m.peers.Go(func() { m.sniff(mc) })
}

// tooSilent reports whether too many connections have not sent a byte yet. It needs m.mu.
func (m *Mux) tooSilent() bool {
	return m.o.MaxConnections > 0 && m.silent.Len() > max(m.o.MaxConnections/maxSilentShare, 1)
}

// makeRoom closes the connection that has been silent for longest, if too many are. It needs m.mu.
func (m *Mux) makeRoom() bool {
	oldest := m.hurried.Front()
	if oldest == nil && m.tooSilent() {
		oldest = m.silent.Front()
	}
	if oldest == nil {
		return false
	}
	c := connOf(oldest)
	c.leave()
	c.evicted = true
	_ = c.accepted.Close()
	m.uncount(c)
	return true
}

func (m *Mux) reject(c net.Conn, reason string) {
	_ = c.Close()
	m.o.OnReject(c.RemoteAddr(), reason)
}

// sniff reads the first byte and hands the connection over.
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
	case evicted:
		m.reject(c, RejectSilent)
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

// find returns the route of a first byte; nil if there is none.
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

func (m *Mux) left(c *conn) {
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

// route is the virtual listener of one protocol.
type route struct {
	mux    *Mux
	accept func(byte) bool
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// Accept waits for a connection of the protocol. It fails with net.ErrClosed when the route or its Mux is closed.
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

// The beginnings of PROXY headers of version 1 and 2, which load balancers in TCP mode put before the bytes of their
// clients.
const (
	proxyV1 = "PROXY "
	proxyV2 = "\r\n\r\n\x00\r\nQUIT\n"
)

// conn is a connection whose first bytes were read ahead. The first Read returns them alone.
type conn struct {
	net.Conn
	accepted net.Conn // as it was accepted
	mux      *Mux
	since    time.Time
	list     *list.List // of the Mux, under its lock; nil when in none
	place    *list.Element
	counted  bool // in open of the Mux, under its lock
	evicted  bool // to make room; under the same lock
	head     [len(proxyV2)]byte
	n        int // of head that are filled
	left     int // of those that are not yet returned; belongs to the reader
}

// begin opens the connection and reads its first byte, and more while it may be a PROXY header, until the read deadline.
func (c *conn) begin(open func(net.Conn) (net.Conn, error)) error {
	if open != nil {
		opened, err := open(c.Conn)
		if err != nil {
			return err
		}
		c.Conn = opened
	}
	for c.n == 0 || c.mayBeProxyHeader() {
		n, err := c.Conn.Read(c.head[c.n:])
		c.n += n
		if n == 0 && err != nil && c.n == 0 {
			return err
		}
		if err != nil {
			break // the next Read returns it
		}
	}
	c.left = c.n
	return nil //nolint:nilerr // the next Read returns it
}

// connOf returns the connection of a list element.
func connOf(e *list.Element) *conn {
	return e.Value.(*conn) //nolint:forcetypeassert // join adds nothing else
}

// join appends c to a list of its Mux. It needs the lock of the Mux.
func (c *conn) join(l *list.List) { c.list, c.place = l, l.PushBack(c) }

// leave removes c from its list. It needs the lock of the Mux.
func (c *conn) leave() {
	if c.list != nil {
		c.list.Remove(c.place)
		c.list, c.place = nil, nil
	}
}

func (c *conn) hasProxyHeader() bool {
	return bytes.HasPrefix(c.head[:c.n], []byte(proxyV1)) || bytes.HasPrefix(c.head[:c.n], []byte(proxyV2))
}

// mayBeProxyHeader reports whether head may be the beginning of a PROXY header.
func (c *conn) mayBeProxyHeader() bool {
	head := string(c.head[:c.n])
	for _, begin := range [...]string{proxyV1, proxyV2} {
		if c.n < len(begin) && begin[:c.n] == head {
			return true
		}
	}
	return false
}

func (c *conn) Read(b []byte) (int, error) {
	if c.left > 0 {
		n := copy(b, c.head[c.n-c.left:c.n])
		c.left -= n
		return n, nil
	}
	return c.Conn.Read(b)
}

// Close closes the connection and uncounts it.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.mux.left(c)
	return err
}

// SyscallConn returns the accepted socket, whatever Open has wrapped it in, for checks of its state.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	s, ok := c.accepted.(syscall.Conn)
	if !ok {
		return nil, net.ErrClosed
	}
	return s.SyscallConn()
}

// CloseWrite closes the sending side, if the connection has one.
func (c *conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return net.ErrClosed
	}
	return half.CloseWrite()
}
