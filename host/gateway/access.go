package gateway

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// origins rejects calls that browsers make for pages of other origins. It does not affect other clients.
type origins struct {
	protection *http.CrossOriginProtection
	allowed    []string
	all        bool
}

func newOrigins(allow []string, errs *OptionErrors) *origins {
	o := &origins{protection: http.NewCrossOriginProtection(), allowed: allow}
	for i, origin := range allow {
		if origin == "*" {
			o.all = true
			continue
		}
		if err := o.protection.AddTrustedOrigin(origin); err != nil {
			errs.add(fmt.Sprintf("gateway.cors.allowOrigins[%d]", i), "%v", err)
		}
	}
	return o
}

// admit reports whether a request may be served, and sets the headers that let an allowed page read the response.
func (o *origins) admit(w http.ResponseWriter, r *http.Request) bool {
	if len(o.allowed) > 0 {
		h := w.Header()
		h.Add("Vary", "Origin")
		if origin := r.Header.Get("Origin"); origin != "" && o.allows(origin) {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Expose-Headers", "Retry-After, WWW-Authenticate, Easymicro-Meta")
		}
	}
	return o.all || o.protection.Check(r) == nil
}

func (o *origins) allows(origin string) bool { return o.all || slices.Contains(o.allowed, origin) }

// peers determines the origin of a request and whether it is meant for this host.
type peers struct {
	proxies   []netip.Prefix
	trustUnix bool
	answersTo func(host string) bool
}

// reaches reports whether a request is meant for this host. A peer on another machine came through a load balancer, which
// named it in a PROXY header.
func (p *peers) reaches(c *conn, r *http.Request) bool {
	if p.answersTo == nil || c == nil || !c.loopback || p.answersTo(r.Host) {
		return true
	}
	return c.peer.IsValid() && !c.peer.IsLoopback() || p.trusted(c.peer)
}

// maxHops bounds how many proxies a request may have passed through.
const maxHops = 64

// address returns the address that rules see: the direct peer's or, if that is a trusted proxy, the last one in
// X-Forwarded-For that is not. At an element that cannot be parsed the search ends, with the last address it saw.
func (p *peers) address(c *conn, r *http.Request) netip.Addr {
	var direct netip.Addr
	if c != nil {
		direct = c.peer
	} else {
		direct = parseHop(r.RemoteAddr)
	}
	if !p.trusted(direct) && (!p.trustUnix || !overUnix(r)) {
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
			if !hop.IsValid() || hops > maxHops {
				return client // what precedes it was not written by a trusted proxy
			}
			if client = hop; !p.trusted(hop) {
				return client
			}
		}
	}
	return client
}

func (p *peers) trusted(a netip.Addr) bool {
	for _, prefix := range p.proxies {
		if prefix.Contains(a) {
			return true
		}
	}
	return false
}

// cutLastHop splits the last element off a list.
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

// parseHop parses an address with or without a port. It returns the zero Addr for anything else, such as a unix socket.
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
