package gateway

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// mostHops bounds how many proxies a request may have passed through.
const mostHops = 64

// peer is the address that rules see: the direct peer's, or, when that is a trusted proxy, the last one in
// X-Forwarded-For that is not a trusted proxy itself. What cannot be read ends the search with the last that could.
func (g *Gateway) peer(r *http.Request) netip.Addr {
	direct := parseHop(r.RemoteAddr)
	if !g.trusted(direct) && (!g.trustUnix || !overUnix(r)) {
		return direct
	}
	client, hops := direct, 0
	for lines := r.Header["X-Forwarded-For"]; len(lines) > 0; lines = lines[:len(lines)-1] {
		for rest, more := lines[len(lines)-1], true; more; {
			var text string
			if rest, text, more = cutLastHop(rest); text == "" {
				continue // lists may have empty elements
			}
			hop := parseHop(text)
			hops++
			if !hop.IsValid() || hops > mostHops {
				return client // what stands left of nonsense was not written by anybody trusted
			}
			if client = hop; !g.trusted(hop) {
				return client
			}
		}
	}
	return client
}

// cutLastHop takes the last element off a list.
func cutLastHop(list string) (before, last string, more bool) {
	i := strings.LastIndexByte(list, ',')
	if i < 0 {
		return "", strings.Trim(list, " \t"), false
	}
	return list[:i], strings.Trim(list[i+1:], " \t"), true
}

// overUnix reports whether a request came over a unix socket, whose peers have no address.
func overUnix(r *http.Request) bool {
	local, _ := r.Context().Value(http.LocalAddrContextKey).(net.Addr)
	return local != nil && local.Network() == "unix" && !parseHop(r.RemoteAddr).IsValid()
}

func (g *Gateway) trusted(a netip.Addr) bool {
	for _, p := range g.proxies {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// parseHop reads an address with or without port; the zero Addr if it is none, as for Unix sockets.
func parseHop(s string) netip.Addr {
	if ap, err := netip.ParseAddrPort(s); err == nil {
		return ap.Addr().Unmap().WithZone("")
	}
	if inner, ok := strings.CutPrefix(s, "["); ok {
		if inner, ok = strings.CutSuffix(inner, "]"); !ok || !strings.Contains(inner, ":") {
			return netip.Addr{}
		}
		s = inner
	}
	a, err := netip.ParseAddr(s)
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}
