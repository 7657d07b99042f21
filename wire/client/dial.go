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

// checkKey is the key of contexts that have the check of a node.
type checkKey struct{}

// control refuses addresses, as names were resolved to them.
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

// remoteOf returns the IP address of a peer; the zero one when it has none.
func remoteOf(nc net.Conn) netip.Addr {
	if to, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return to.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// dialer returns a function that connects to an endpoint; with TLS the handshake is a part of it.
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

// dialLink connects, and makes sure that the peer serves calls before any is sent there. check refuses addresses.
func dialLink(ctx context.Context, c *core, at netAddress, check func(netip.Addr) error, onChange func()) (*link, error) {
	nc, err := c.dial(context.WithValue(ctx, checkKey{}, check), at.network, at.address)
	if err != nil {
		return nil, err
	}
	o := wire.ConnOptions{
		Limits: c.o.Limits, KeepaliveInterval: c.o.KeepaliveInterval, KeepaliveTimeout: c.o.KeepaliveTimeout, OnChange: onChange,
	}
	if !c.o.LowerCase { // which the original's servers want, that say nothing of the kind
		o.OnUnread = c.resend
	}
	if c.o.Compression == wire.Zstd {
		o.AcceptCompression = []wire.Compression{wire.Zstd}
	}
	l := &link{Conn: wire.NewConn(nc, o), born: time.Now(), remote: remoteOf(nc), within: c.closing}
	if c.o.KeepaliveInterval < 0 {
		return l, nil // peers that answer no heartbeats are called all the same
	}
	if err := l.Ping(ctx); err != nil {
		l.end()
		return nil, err
	}
	return l, nil
}

// handshakeFailed is the error of a handshake, with what to look at where that is known.
func handshakeFailed(err error) error {
	var (
		signer x509.UnknownAuthorityError
		name   x509.HostnameError
		plain  tls.RecordHeaderError
		cert   x509.CertificateInvalidError
	)
	switch {
	case errors.As(err, &signer):
		return fmt.Errorf("%w: is the CA that signed the server's certificate in the caFile of tls?", err)
	case errors.As(err, &name):
		return fmt.Errorf("%w: say in the serverName of tls which name the server's certificate has", err)
	case errors.As(err, &cert) && cert.Reason == x509.Expired:
		return fmt.Errorf("%w: renew the server's certificate, or set the clock", err)
	case errors.As(err, &plain), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET):
		return fmt.Errorf("%w: is the server's port one for TLS?", err)
	}
	return err
}
