package gateway

import (
	"net/http"
	"net/netip"
	"strings"
)

// peer is the address that rules see: the direct peer's, or, when that is a trusted proxy, the last one in
// X-Forwarded-For that is not a trusted proxy itself.
func (g *Gateway) peer(r *http.Request) netip.Addr {
	addr := parseHop(r.RemoteAddr)
	if len(g.proxies) == 0 || !g.trusted(addr) {
		return addr
	}
	hops := strings.Split(strings.Join(r.Header["X-Forwarded-For"], ","), ",")
	for i := len(hops) - 1; i >= 0; i-- {
		hop := parseHop(strings.TrimSpace(hops[i]))
		if !hop.IsValid() {
			return addr // what stands left of nonsense was not written by anybody trusted
		}
		addr = hop
		if !g.trusted(addr) {
			return addr
		}
	}
	return addr
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
	a, err := netip.ParseAddr(strings.Trim(s, "[]"))
	if err != nil {
		return netip.Addr{}
	}
	return a.Unmap().WithZone("")
}
