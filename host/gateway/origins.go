package gateway

import (
	"fmt"
	"net/http"
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

func (o *origins) why(r *http.Request) string {
	return fmt.Sprintf("call from the other origin %.100q, which is not in gateway.cors.allowOrigins", r.Header.Get("Origin"))
}

// options answers OPTIONS, which is what browsers ask with before a call from another origin.
func (x *exchange) options() *code.Error {
	h, in := x.w.Header(), x.r.Header
	if origin := in.Get("Origin"); origin != "" && in.Get("Access-Control-Request-Method") != "" {
		if !x.g.origins.allows(origin) {
			return x.refuse(code.PermissionDenied, code.ReasonDenied, x.g.origins.why(x.r))
		}
		h.Set("Access-Control-Allow-Methods", strings.Join(routable, ", "))
		if asked := in.Get("Access-Control-Request-Headers"); asked != "" {
			h.Set("Access-Control-Allow-Headers", headerText(asked))
		}
		h.Set("Access-Control-Max-Age", "600")
	}
	h.Set("Allow", "OPTIONS, "+strings.Join(routable, ", "))
	x.succeedEmpty(http.StatusNoContent)
	return nil
}
