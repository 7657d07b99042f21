package cli

import (
	"net"

	"github.com/easymicro/easymicro/config"
)

const defaultAddress config.Address = "127.0.0.1:8972"

// target is where to call: --address, else the first listener of the manifest that speaks the protocol, else the
// default of a manifest.
func (c *call) target(protocol string) (network, address string, err error) {
	if c.address != "" {
		if network, address, err = config.Address(c.address).Split(); err != nil {
			return "", "", usageError("--address: %w", err)
		}
		return network, reachable(address), nil
	}
	m, err := c.app.readManifest()
	if err == nil && m != nil {
		err = m.usable("listeners", "--address ADDRESS")
	}
	if err != nil {
		return "", "", err
	}
	at := defaultAddress
	if m != nil {
		l := m.listener(protocol)
		if l == nil {
			return "", "", failed("no listener of %s speaks %s: say where to call with --address", m.file, protocol)
		}
		at = l.Address
	}
	if network, address, err = at.Split(); err != nil {
		return "", "", failed("%s: the address of its listener: %w", m.file, err)
	}
	if network == "unix" {
		return network, m.path(address), nil
	}
	if _, port, err := net.SplitHostPort(address); err == nil && port == "0" {
		return "", "", failed("%s lets the system choose the port: easymicro status shows it, --address takes it", m.file)
	}
	return network, reachable(address), nil
}

// reachable is where on this machine one reaches what listens on all its addresses.
func reachable(address string) string {
	host, port, err := net.SplitHostPort(address)
	if ip := net.ParseIP(host); err == nil && (host == "" || ip != nil && ip.IsUnspecified()) {
		return net.JoinHostPort("127.0.0.1", port)
	}
	return address
}
