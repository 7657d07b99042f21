package wiretest

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"time"
)

// Verified returns a listener whose peers have a verified certificate that expires at a time.
func Verified(ln net.Listener, expiry time.Time) net.Listener { return &verified{ln, expiry} }

type verified struct {
	net.Listener
	expiry time.Time
}

func (l *verified) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &verifiedConn{c, &x509.Certificate{NotAfter: l.expiry}}, nil
}

type verifiedConn struct {
	net.Conn
	leaf *x509.Certificate
}

func (c *verifiedConn) ConnectionState() tls.ConnectionState {
	return tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{c.leaf}}}
}
