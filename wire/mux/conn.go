package mux

import (
	"bytes"
	"net"
	"sync"
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
	mux  *Mux
	once sync.Once
	head [len(proxyV2)]byte
	n    int // of head that are there
	left int // of those that have not been given yet; belongs to the reader
}

// begin opens the connection and reads its first byte, and more as long as it may be the beginning of a PROXY header.
func (c *conn) begin(timeout time.Duration, open func(net.Conn) (net.Conn, error)) error {
	if err := c.Conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return err
	}
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
	return c.Conn.SetReadDeadline(time.Time{})
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
	c.once.Do(c.mux.left)
	return err
}

// CloseWrite closes the sending side, when the connection has sides.
func (c *conn) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return net.ErrClosed
	}
	return half.CloseWrite()
}
