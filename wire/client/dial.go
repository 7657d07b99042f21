package client

import (
	"context"
	"crypto/tls"
	"net"
)

// connect connects to an endpoint; with TLS the handshake is a part of it.
func (c *Client) connect(ctx context.Context, network, address string) (net.Conn, error) {
	var d net.Dialer
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
