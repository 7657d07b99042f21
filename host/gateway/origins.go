package gateway

import (
	"fmt"
	"net/http"
	"slices"

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
