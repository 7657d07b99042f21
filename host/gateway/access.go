package gateway

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire/code"
)

// origins keeps pages of other origins from making their visitors' browsers call. What is not a browser is not asked.
type origins struct {
	protection *http.CrossOriginProtection
	allowed    []string
	all        bool
}

func newOrigins(allow []string, problems *Problems) *origins {
	o := &origins{protection: http.NewCrossOriginProtection(), allowed: allow}
	for i, origin := range allow {
		if origin == "*" {
			o.all = true
			continue
		}
		if err := o.protection.AddTrustedOrigin(origin); err != nil {
			problems.add(fmt.Sprintf("gateway.cors.allowOrigins[%d]", i), "%v", err)
		}
	}
	return o
}

// admit tells whether a request may be served, and sets the headers that let an allowed page read the answer.
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

// answersTo reports whether a request is meant for this host. One of another machine's has come through a balancer, which
// said so in a PROXY header.
func (g *Gateway) answersTo(r *http.Request) bool {
	c := connOf(r.Context())
	if g.answers == nil || c == nil || !c.loopback || g.answers(r.Host) {
		return true
	}
	peer := parseHop(r.RemoteAddr)
	return peer.IsValid() && !peer.IsLoopback() || g.trusted(peer)
}

// misdirected refuses a request for another machine.
func (x *exchange) misdirected() *code.Error {
	name := code.Clip(headerText(x.r.Host), 100)
	return x.refuse(code.PermissionDenied, code.ReasonDenied, "the Host header does not name this machine, use localhost or the IP address").
		WithAdvice("the request was for " + name + ", which gateway.hosts may name; trusted proxies (auth.trustedProxies) may send any")
}

// foreign refuses the call of a page that may not call.
func (x *exchange) foreign() *code.Error {
	what, advice := "web pages of other sites may not call", "to let one, add its origin to gateway.cors.allowOrigins"
	switch origin := x.r.Header.Get("Origin"); origin {
	case "":
	case "null":
		what, advice = "web pages without an origin (files, sandboxed frames) may not call", "those of gateway.cors.allowOrigins may"
	default:
		what = "web pages of " + code.Clip(headerText(origin), 100) + " may not call"
		advice = "to let them, add that origin to gateway.cors.allowOrigins"
	}
	return x.refuse(code.PermissionDenied, code.ReasonDenied, what).WithAdvice(advice)
}

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
