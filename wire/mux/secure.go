package mux

import (
	"crypto/tls"
	"net"
	"sync/atomic"
	"time"
)

// secure is a conn of TLS. It has methods of tls.Conn by which its users recognise one.
type secure struct {
	*conn
	tls *tls.Conn
}

// Handshake returns nil: the handshake is complete.
func (*secure) Handshake() error { return nil }

// ConnectionState returns details of the connection, such as the certificates of the peer.
func (s *secure) ConnectionState() tls.ConnectionState { return s.tls.ConnectionState() }

// Config returns the configuration of the handshake.
func (s *secure) Config() *tls.Config { return s.conn.tls }

// Close closes the connection. A peer that reads nothing does not hold it up.
func (s *secure) Close() error {
	if below, ok := s.tls.NetConn().(*carrier); ok {
		below.closing.Store(true)
	}
	return s.conn.Close()
}

// closeWait is how long Close waits for the peer to take the end of the connection.
const closeWait = 50 * time.Millisecond

// carrier is the connection below TLS.
type carrier struct {
	net.Conn
	ahead   []byte // read before the handshake, and not yet by Read
	closing atomic.Bool
}

func (c *carrier) Read(b []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(b, c.ahead)
		if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
			c.ahead = nil // frees it
		}
		return n, nil
	}
	return c.Conn.Read(b)
}

// SetWriteDeadline sets the deadline, once closing at most closeWait: tls.Conn.Close waits 5 s.
func (c *carrier) SetWriteDeadline(t time.Time) error {
	if by := time.Now().Add(closeWait); c.closing.Load() && (t.IsZero() || t.After(by)) {
		t = by
	}
	return c.Conn.SetWriteDeadline(t)
}
