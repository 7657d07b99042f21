package client

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// checkKey is the context key for the check that control applies.
type checkKey struct{}

// control applies the check to a resolved address before it is dialled.
func control(ctx context.Context, network, address string, _ syscall.RawConn) error {
	check, _ := ctx.Value(checkKey{}).(func(netip.Addr) error)
	if check == nil || strings.HasPrefix(network, "unix") {
		return nil
	}
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	return check(to.Addr().Unmap())
}

// remoteOf returns the IP address of the peer; the zero Addr if it has none.
func remoteOf(nc net.Conn) netip.Addr {
	if to, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return to.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// dialer returns a function that connects to an endpoint and, if conf is not nil, performs the TLS handshake.
func dialer(conf *tls.Config) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		d := net.Dialer{ControlContext: control}
		nc, err := d.DialContext(ctx, network, address)
		if err != nil || conf == nil {
			return nc, err
		}
		conf := conf
		if conf.ServerName == "" && network != "unix" {
			host, _, err := net.SplitHostPort(address)
			if err != nil {
				_ = nc.Close()
				return nil, err
			}
			conf = conf.Clone()
			conf.ServerName = host
		}
		tc := tls.Client(nc, conf)
		if err := tc.HandshakeContext(ctx); err != nil {
			_ = nc.Close()
			return nil, handshakeFailed(err)
		}
		return tc, nil
	}
}

// dialLink connects to an address that check permits, and pings the peer to verify that it speaks the protocol.
func dialLink(ctx context.Context, c *core, at netAddress, check func(netip.Addr) error, onChange func()) (*link, error) {
	nc, err := c.dial(context.WithValue(ctx, checkKey{}, check), at.network, at.address)
	if err != nil {
		return nil, err
	}
	o := wire.ConnOptions{
		Limits: c.o.Limits, KeepaliveInterval: c.o.KeepaliveInterval, KeepaliveTimeout: c.o.KeepaliveTimeout, OnChange: onChange,
	}
	if !c.o.LowerCase { // easymicro 2019 does not drain
		o.OnUnread = c.resend
	}
	if c.o.Compression == wire.Zstd {
		o.AcceptCompression = []wire.Compression{wire.Zstd}
	}
	l := &link{Conn: wire.NewConn(nc, o), born: time.Now(), remote: remoteOf(nc), within: c.closing}
	if c.o.KeepaliveInterval < 0 {
		return l, nil // the peer may not answer heartbeats
	}
	if err := l.Ping(ctx); err != nil {
		l.end()
		return nil, err
	}
	return l, nil
}

// handshakeFailed adds advice to known handshake errors.
func handshakeFailed(err error) error {
	var (
		signer x509.UnknownAuthorityError
		name   x509.HostnameError
		plain  tls.RecordHeaderError
		cert   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &signer):
		return fmt.Errorf("%w: add the CA that signed the server's certificate to caFile of tls", err)
	case errors.As(err, &name):
		return fmt.Errorf("%w: set serverName of tls to a name in the server's certificate", err)
	case errors.As(err, &cert) && cert.Reason == x509.Expired:
		return fmt.Errorf("%w: renew the server's certificate, or correct the clock", err)
	case errors.As(err, &plain), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%w: does the server's port use TLS?", err)
	}
	return err
}
