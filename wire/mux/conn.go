package mux

import (
	"net"
	"sync"
	"time"
)

// conn is a connection whose first byte was read ahead. The first Read gives that byte alone.
type conn struct {
	net.Conn
	mux   *Mux
	once  sync.Once
	first [1]byte
	ahead bool // first has not been given yet; belongs to the reader
}

// peek reads the first byte.
func (c *conn) peek(timeout time.Duration) (byte, error) {
	if err := c.Conn.SetReadDeadline(time.Now().Add(timeout)); err != nil {
		return 0, err
	}
	for {
		n, err := c.Conn.Read(c.first[:])
		if n > 0 {
			c.ahead = true
			return c.first[0], c.Conn.SetReadDeadline(time.Time{})
		}
		if err != nil {
			return 0, err
		}
	}
}

func (c *conn) Read(b []byte) (int, error) {
	if c.ahead && len(b) > 0 {
		c.ahead = false
		b[0] = c.first[0]
		return 1, nil
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
