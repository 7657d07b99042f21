package mux

import (
	"bytes"
	"container/list"
	"net"
	"syscall"
	"time"
)

// The beginnings of PROXY headers, of version 1 and 2: what balancers in TCP mode put before the bytes of their clients.
const (
	proxyV1 = "PROXY "
	proxyV2 = "\r\n\r\n\x00\r\nQUIT\n"
)

// conn is a connection whose first bytes were read ahead. The first Read gives them alone.
type conn struct {
	net.Conn
	accepted net.Conn // as it was accepted
	mux      *Mux
	since    time.Time
	list     *list.List // of the mux, whose lock guards it; nil when it is in none
	place    *list.Element
	counted  bool // in open of the mux, whose lock guards it
	evicted  bool // to make room; the same
	head     [len(proxyV2)]byte
	n        int // of head that are there
	left     int // of those that have not been given yet; belongs to the reader
}

// begin opens the connection and reads its first byte, and more as long as it may be the beginning of a PROXY header. It
// has until the read deadline.
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
			break // the reader meets it again
		}
	}
	c.left = c.n
	return nil //nolint:nilerr // the reader meets it again
}

// connOf returns the connection that an element of a list of a mux has.
func connOf(e *list.Element) *conn {
	return e.Value.(*conn) //nolint:forcetypeassert // join puts nothing else there
}

// join puts c at the end of a list of its mux, whose lock it needs.
func (c *conn) join(l *list.List) { c.list, c.place = l, l.PushBack(c) }

// leave takes c out of the list that it is in. It needs the lock of the mux.
func (c *conn) leave() {
	if c.list != nil {
		c.list.Remove(c.place)
		c.list, c.place = nil, nil
	}
}

func (c *conn) hasProxyHeader() bool {
	return bytes.HasPrefix(c.head[:c.n], []byte(proxyV1)) || bytes.HasPrefix(c.head[:c.n], []byte(proxyV2))
}

// mayBeProxyHeader reports whether more bytes have to tell.
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

// Close closes the connection and frees its place.
func (c *conn) Close() error {
	err := c.Conn.Close()
	c.mux.left(c)
	return err
}

// SyscallConn returns the socket as it was accepted, whatever Open has made of it, for those who want to know what has
// become of it.
func (c *conn) SyscallConn() (syscall.RawConn, error) {
	s, ok := c.accepted.(syscall.Conn)
	if !ok {
		return nil, net.ErrClosed
	}
	return s.SyscallConn()
}

// CloseWrite closes the sending side, when the connection has sides.
func (c *conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return net.ErrClosed
	}
	return half.CloseWrite()
}
