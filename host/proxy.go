package host

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

// The reasons for which a connection from a network of proxyProtocol is turned away.
const (
	reasonNoProxyHeader  = "no_proxy_header"
	reasonBadProxyHeader = "bad_proxy_header"
)

// proxyAdvice is what operators can do about connections that are turned away for a PROXY header, or for want of one.
var proxyAdvice = map[string]string{
	mux.RejectProxy:      "a PROXY header is taken from the networks in listeners[].proxyProtocol.from alone: add that of the balancer",
	reasonNoProxyHeader:  "the peer is in listeners[].proxyProtocol.from: have the balancer send PROXY headers, or narrow the network",
	reasonBadProxyHeader: "what the peer, which is in listeners[].proxyProtocol.from, sent first is no PROXY header of version 1 or 2 for TCP",
}

// sources are peers that are known by their networks, or by having connected to a unix socket.
type sources struct {
	networks []netip.Prefix
	unix     bool
}

// newSources reads what is written as a list of networks and the word unix.
func newSources(list []string) *sources {
	s := &sources{unix: slices.Contains(list, config.UnixPeers)}
	for _, text := range list {
		if p, err := netip.ParsePrefix(text); err == nil {
			s.networks = append(s.networks, p)
		}
	}
	return s
}

func (s *sources) has(addr net.Addr) bool {
	switch a := addr.(type) {
	case *net.TCPAddr:
		ip := a.AddrPort().Addr().Unmap().WithZone("")
		return slices.ContainsFunc(s.networks, func(p netip.Prefix) bool { return p.Contains(ip) })
	case *net.UnixAddr:
		return s.unix
	}
	return false
}

// proxies takes PROXY headers off the connections of a listener. Who has to send them may change while it is in use.
type proxies struct{ from atomic.Pointer[sources] }

func newProxies(l *config.Listener) *proxies {
	p := new(proxies)
	p.set(l)
	return p
}

func (p *proxies) set(l *config.Listener) {
	var from []string
	if l.ProxyProtocol != nil {
		from = l.ProxyProtocol.From
	}
	p.from.Store(newSources(from))
}

// open reads the PROXY header of a connection that has to begin with one. The connection is then that of the client which
// the header names.
func (p *proxies) open(c net.Conn) (net.Conn, error) {
	if !p.from.Load().has(c.RemoteAddr()) {
		return c, nil
	}
	header, behind, err := readProxyHeader(c)
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
	return &proxied{Conn: c, client: client, ahead: behind}, nil
}

const (
	proxyV2Fixed = 16      // of a header of version 2, before its addresses
	proxyV2Most  = 4 << 10 // addresses take up to 216 bytes, the rest is for certificates and names
	proxyV1Most  = 107
)

// readProxyHeader reads a whole header, in however many pieces it comes, and returns what came behind it, too.
func readProxyHeader(c net.Conn) (header, behind []byte, err error) {
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
			return nil, nil, err // that nothing came at all is how balancers look whether somebody listens
		}
	}
}

// proxyHeaderLen is the length of the header that buf begins with, or the least that it can be; 0 while nothing is known.
func proxyHeaderLen(buf []byte) (int, error) {
	switch {
	case len(buf) == 0:
		return 0, nil
	case begins(buf, proxyproto.SIGV2):
		if len(buf) < proxyV2Fixed {
			return proxyV2Fixed, nil
		}
		n := int(binary.BigEndian.Uint16(buf[proxyV2Fixed-2:]))
		if n > proxyV2Most {
			return 0, &mux.RejectError{Reason: reasonBadProxyHeader}
		}
		return proxyV2Fixed + n, nil
	case begins(buf, proxyproto.SIGV1):
		if i := bytes.IndexByte(buf[:min(len(buf), proxyV1Most)], '\n'); i >= 0 {
			return i + 1, nil
		}
		if len(buf) >= proxyV1Most {
			return 0, &mux.RejectError{Reason: reasonBadProxyHeader}
		}
		return 0, nil
	}
	return 0, &mux.RejectError{Reason: reasonNoProxyHeader}
}

// begins reports whether buf is the beginning of something that begins with sign.
func begins(buf, sign []byte) bool {
	n := min(len(buf), len(sign))
	return bytes.Equal(buf[:n], sign[:n])
}

// clientOf returns the address that a header names, or nil if it names none, as in a balancer's health check.
func clientOf(header []byte) (net.Addr, error) {
	const proxyUnspecified = "\x21\x00" // the library has no use for it, while senders have
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

// proxied is a connection that has lost its PROXY header.
type proxied struct {
	net.Conn
	client net.Addr
	ahead  []byte // read with the header; belongs to the reader
}

func (c *proxied) RemoteAddr() net.Addr { return c.client }

func (c *proxied) Read(b []byte) (int, error) {
	if len(c.ahead) > 0 {
		n := copy(b, c.ahead)
		if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
			c.ahead = nil // lets go of the header
		}
		return n, nil
	}
	return c.Conn.Read(b)
}

// CloseWrite closes the sending side, when the connection has sides.
func (c *proxied) CloseWrite() error {
	half, ok := c.Conn.(interface{ CloseWrite() error })
	if !ok {
		return net.ErrClosed
	}
	return half.CloseWrite()
}
