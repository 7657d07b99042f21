package mux

import (
	"bytes"
	"container/list"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"syscall"
	"time"
)

// Prefixes of PROXY protocol headers, versions 1 and 2, which load balancers in TCP mode send first.
const (
	proxyV1 = "PROXY "
	proxyV2 = "\r\n\r\n\x00\r\nQUIT\n"
)

// recordHandshake is the first byte of a TLS connection.
const recordHandshake = 0x16

// conn is a connection whose first bytes have been read. The first Read returns only these.
type conn struct {
	net.Conn
	accepted net.Conn // before Open
	mux      *Mux
	since    time.Time
	list     *list.List // silent or expiring, or nil; under mux.mu
	place    *list.Element
	counted  bool   // in mux.open; under mux.mu
	evicted  string // the reason if it was closed to make room; under mux.mu
	shaking  bool   // in its TLS handshake; under mux.mu
	head     [len(proxyV2)]byte
	n        int // bytes in head
	left     int // bytes of these not yet returned by Read

	tls         *tls.Config // nil: no TLS
	firstByteBy time.Time   // deadline of the first byte, after the handshake if there is one
}

// firstDeadline returns when the first byte must have arrived, or the handshake be complete.
func (c *conn) firstDeadline() time.Time {
	if by := c.since.Add(handshakeTimeout); c.tls != nil && by.Before(c.firstByteBy) {
		return by
	}
	return c.firstByteBy
}

// begin opens the connection and reads the first byte.
func (c *conn) begin(open func(net.Conn) (net.Conn, error)) error {
	if open != nil {
		opened, err := open(c.Conn)
		if err != nil {
			return err
		}
		c.Conn = opened
	}
	if err := c.readHead(); err != nil {
		return err
	}
	switch {
	case c.hasProxyHeader():
		return nil // the caller rejects it
	case c.tls != nil && c.head[0] == recordHandshake:
		return c.handshake()
	case c.tls != nil:
		return c.answer(RejectPlain)
	case c.head[0] == recordHandshake:
		return c.answer(RejectTLS)
	}
	return nil
}

// readHead reads the first byte, and more while it may be a PROXY header.
func (c *conn) readHead() error {
	c.n = 0
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

// handshake makes the TLS handshake, whose beginning is in head, and reads the first byte after it.
func (c *conn) handshake() error {
	c.mux.beginHandshake(c)
	below := &carrier{Conn: c.Conn, ahead: bytes.Clone(c.head[:c.n])}
	_ = below.SetWriteDeadline(c.since.Add(handshakeTimeout)) // if it fails, so does the handshake
	secure := tls.Server(below, c.tls)
	err := secure.HandshakeContext(context.Background())
	hurried := c.mux.endHandshake(c)
	var late net.Error
	switch {
	case errors.As(err, &late) && late.Timeout() && hurried:
		return &RejectError{Reason: RejectHandshakes}
	case errors.As(err, &late) && late.Timeout():
		return &RejectError{Reason: RejectHandshakeTimeout}
	case err != nil:
		return &RejectError{Reason: RejectHandshake, Err: err}
	}
	_ = below.SetWriteDeadline(time.Time{})
	c.Conn = secure
	return c.readHead()
}

// answer has the peer told why it is rejected.
func (c *conn) answer(reason string) error {
	if c.mux.o.Answer != nil {
		_ = c.accepted.SetDeadline(time.Now().Add(answerWait))
		c.mux.o.Answer(c, reason)
	}
	return &RejectError{Reason: reason}
}

// outer returns what the listener of the protocol accepts: c, or over TLS a connection that has its state, too.
func (c *conn) outer() net.Conn {
	if tc, ok := c.Conn.(*tls.Conn); ok {
		return &secure{c, tc}
	}
	return c
}

// connOf returns the connection of a list element.
func connOf(e *list.Element) *conn {
	return e.Value.(*conn) //nolint:forcetypeassert // join adds nothing else
}

// join appends c to a list of its Mux. It needs mux.mu.
func (c *conn) join(l *list.List) { c.list, c.place = l, l.PushBack(c) }

// leave removes c from its list. It needs mux.mu.
func (c *conn) leave() {
	if c.list != nil {
		c.list.Remove(c.place)
		c.list, c.place = nil, nil
	}
}

func (c *conn) hasProxyHeader() bool {
	return bytes.HasPrefix(c.head[:c.n], []byte(proxyV1)) || bytes.HasPrefix(c.head[:c.n], []byte(proxyV2))
}

// mayBeProxyHeader reports whether head is an incomplete prefix of a PROXY header.
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
	c.mux.connClosed(c)
	return err
}

// SyscallConn returns the accepted socket, even if Open has wrapped it.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	s, ok := c.accepted.(syscall.Conn)
	if !ok {
		return nil, net.ErrClosed
	}
	return s.SyscallConn()
}

// CloseWrite closes the sending side. It fails if the connection has no CloseWrite.
func (c *conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return net.ErrClosed
	}
	return half.CloseWrite()
}
