package client

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"strings"
	"syscall"
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

// connect connects to an endpoint; with TLS the handshake is a part of it.
func (c *Client) connect(ctx context.Context, network, address string) (net.Conn, error) {
	d := net.Dialer{ControlContext: control}
	nc, err := d.DialContext(ctx, network, address)
	if err != nil || c.o.TLS == nil {
		return nc, err
	}
	conf := c.o.TLS
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
