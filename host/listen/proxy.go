package listen

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync/atomic"

	"github.com/pires/go-proxyproto"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/mux"
)

// Reasons why a connection from a network of proxyProtocol is rejected.
const (
	reasonNoProxyHeader  = "no_proxy_header"
	reasonBadProxyHeader = "bad_proxy_header"
)

// proxyAdvice is what to do about a PROXY header that is unexpected, missing or malformed.
var proxyAdvice = map[string]string{
	mux.RejectProxy:      "PROXY headers are accepted only from listeners[].proxyProtocol.from: add the network of the load balancer",
	reasonNoProxyHeader:  "the peer is in listeners[].proxyProtocol.from: make the load balancer send PROXY headers, or narrow the network",
	reasonBadProxyHeader: "the peer is in listeners[].proxyProtocol.from, but did not send a valid PROXY header (version 1 or 2, TCP)",
}

// Peers are peers in certain networks, or connected over unix sockets.
type Peers struct {
	Networks []netip.Prefix
	Unix     bool
}

// ParsePeers parses a valid list of networks, which may contain the word unix.
func ParsePeers(list []string) *Peers {
	p := &Peers{Unix: slices.Contains(list, config.UnixPeers)}
	for _, text := range list {
		if network, err := netip.ParsePrefix(text); err == nil {
			p.Networks = append(p.Networks, network)
		}
	}
	return p
}

func (p *Peers) has(addr net.Addr) bool {
	switch a := addr.(type) {
	case *net.TCPAddr:
		ip := a.AddrPort().Addr().Unmap().WithZone("")
		return slices.ContainsFunc(p.Networks, func(n netip.Prefix) bool { return n.Contains(ip) })
	case *net.UnixAddr:
		return p.Unix
	}
	return false
}

// proxies reads the PROXY headers of the connections of a listener. The set of peers that send them may change at any time.
type proxies struct{ from atomic.Pointer[Peers] }

func (p *proxies) set(l *config.Listener) {
	var from []string
	if l.ProxyProtocol != nil {
		from = l.ProxyProtocol.From
	}
	p.from.Store(ParsePeers(from))
}

// open reads the PROXY header of a connection from a proxy, and returns the connection with the address of the client
// that the header names.
func (p *proxies) open(c net.Conn) (net.Conn, error) {
	if !p.from.Load().has(c.RemoteAddr()) {
		return c, nil
	}
	header, rest, err := readProxyHeader(c)
	if err != nil {
		return nil, err
	}
	client, err := clientOf(header)
	if err != nil {
		return nil, err
	}
	if client == nil {
		client = c.RemoteAddr()
	}
	return &proxied{Conn: c, client: client, ahead: rest}, nil
}

const (
	proxyV2Fixed = 16      // of a header of version 2, before its addresses
	maxProxyV2   = 4 << 10 // addresses take up to 216 bytes, the rest is for certificates and names
	maxProxyV1   = 107
)

// readProxyHeader reads a header, in however many pieces it arrives, and returns it and the bytes read after it.
func readProxyHeader(c net.Conn) (header, rest []byte, err error) {
	buf := make([]byte, 0, 256)
	for {
		n, err := proxyHeaderLen(buf)
		if err != nil {
			return nil, nil, err
		}
		if n > 0 && n <= len(buf) {
			return buf[:n], buf[n:], nil
		}
		buf = slices.Grow(buf, max(n-len(buf), 1))
		read, err := c.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+read]
		switch {
		case read > 0:
		case errors.Is(err, io.EOF) && len(buf) > 0:
			return nil, nil, &mux.RejectError{Reason: reasonBadProxyHeader}
		case err != nil:
			return nil, nil, err // balancers check the port by connecting and sending nothing
		}
	}
}

// proxyHeaderLen returns the length of the header that buf begins with, or a lower bound of it; 0 while it is unknown.
func proxyHeaderLen(buf []byte) (int, error) {
	switch {
	case len(buf) == 0:
		return 0, nil
	case begins(buf, proxyproto.SIGV2):
		if len(buf) < proxyV2Fixed {
			return proxyV2Fixed, nil
		}
		n := int(binary.BigEndian.Uint16(buf[proxyV2Fixed-2:]))
		if n > maxProxyV2 {
			return 0, &mux.RejectError{Reason: reasonBadProxyHeader}
		}
		return proxyV2Fixed + n, nil
	case begins(buf, proxyproto.SIGV1):
		if i := bytes.IndexByte(buf[:min(len(buf), maxProxyV1)], '\n'); i >= 0 {
			return i + 1, nil
		}
		if len(buf) >= maxProxyV1 {
			return 0, &mux.RejectError{Reason: reasonBadProxyHeader}
		}
		return 0, nil
	}
	return 0, &mux.RejectError{Reason: reasonNoProxyHeader}
}

// begins reports whether one of buf and sign is a prefix of the other.
func begins(buf, sign []byte) bool {
	n := min(len(buf), len(sign))
	return bytes.Equal(buf[:n], sign[:n])
}

// clientOf returns the address that a header names, or nil if it names none, as in a balancer's health check.
func clientOf(header []byte) (net.Addr, error) {
	const proxyUnspecified = "\x21\x00" // senders use it, and the library refuses it
	if len(header) >= proxyV2Fixed && string(header[12:14]) == proxyUnspecified {
		return nil, nil
	}
	h, err := proxyproto.Read(bufio.NewReaderSize(bytes.NewReader(header), len(header)))
	if err != nil {
		return nil, &mux.RejectError{Reason: reasonBadProxyHeader}
	}
	switch client, _, ok := h.TCPAddrs(); {
	case h.Command.IsLocal(), h.TransportProtocol.IsUnix():
		return nil, nil
	case ok:
		return client, nil
	}
	return nil, &mux.RejectError{Reason: reasonBadProxyHeader}
}

// proxied is a connection whose PROXY header has been read.
type proxied struct {
	net.Conn
	client net.Addr
	ahead  []byte // read with the header, and not yet by Read
}

func (c *proxied) RemoteAddr() net.Addr { return c.client }

func (c *proxied) Read(b []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(b, c.ahead)
		if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
			c.ahead = nil // frees the header
		}
		return n, nil
	}
	return c.Conn.Read(b)
}

// CloseWrite closes the sending side, if the connection can do so.
func (c *proxied) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return net.ErrClosed
	}
	return half.CloseWrite()
}
