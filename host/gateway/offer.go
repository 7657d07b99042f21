package gateway

import (
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire/code"
)

// reasonMethodNotAllowed is the reason of a 405: the method exists, but not under this HTTP method.
const reasonMethodNotAllowed = "method_not_allowed"

// offer is what a path has.
type offer struct {
	methods []string // of HTTP, sorted
	targets []names  // where they lead
	builtIn names    // the method whose built-in path it is; zero if it is none
}

// offered finds what the request's path has, whatever the request's own HTTP method.
func (x *exchange) offered() offer {
	var o offer
	for _, m := range routable {
		as := *x.r
		as.Method = m
		if b := x.g.match(&as); b != nil {
			o.add(m, b.target)
		}
	}
	service, method, ok := cutPath(x.r.URL)
	if x.family != nil { // its headers give what the path does not have
		service, method = x.service, x.method
	}
	if ok && method != "" {
		x.offerBuiltIn(&o, service, method)
	}
	if slices.Contains(o.methods, http.MethodGet) {
		o.methods = append(o.methods, http.MethodHead)
	}
	slices.Sort(o.methods)
	return o
}

func (x *exchange) offerBuiltIn(o *offer, service, method string) {
	t, ok := x.g.resolve(service, method)
	if !ok {
		return
	}
	o.builtIn = names{t.Service, t.Method}
	if _, ok := x.g.get[o.builtIn]; ok || x.family != nil {
		o.add(http.MethodGet, o.builtIn)
	}
	if x.family != nil {
		o.add(http.MethodPut, o.builtIn)
	}
	o.add(http.MethodPost, o.builtIn)
}

func (o *offer) add(httpMethod string, target names) {
	if !slices.Contains(o.methods, httpMethod) { // a route comes before the built-in path
		o.methods = append(o.methods, httpMethod)
	}
	if !slices.Contains(o.targets, target) {
		o.targets = append(o.targets, target)
	}
}

// notAllowed is the answer to an HTTP method that a path does not have; to an unknown path it is the one of that.
func (x *exchange) notAllowed() *code.Error {
	o := x.offered()
	if len(o.methods) == 0 {
		return x.unknownPath()
	}
	x.service, x.method = "", "" // parts of a path that may be no names at all
	if len(o.targets) == 1 {
		x.service, x.method = o.targets[0].service, o.targets[0].method
	}
	x.w.Header().Set("Allow", strings.Join(o.methods, ", "))
	x.status = http.StatusMethodNotAllowed
	what := x.r.Method + " is not allowed here, use " + strings.Join(o.methods, " or ")
	e := x.refuse(code.Unimplemented, reasonMethodNotAllowed, what)
	if x.r.Method == http.MethodGet && o.builtIn != (names{}) {
		return e.WithAdvice(fmt.Sprintf("to call it by GET add %q to gateway.get", o.builtIn))
	}
	return e
}

// unknownPath is the answer to a path that leads nowhere, in the words of the handler where it has names.
func (x *exchange) unknownPath() *code.Error {
	if x.service == "" || x.method == "" {
		return x.refuse(code.Unimplemented, code.ReasonUnknownMethod, "no such path: calls are POST /{service}/{method}")
	}
	return x.g.unknown(x.service, x.method)
}

// options answers OPTIONS, which is what browsers ask with before a call from another origin.
func (x *exchange) options() *code.Error {
	methods := x.offered().methods
	if service, method, ok := cutPath(x.r.URL); ok && len(methods) == 0 {
		if method != "" {
			x.service, x.method = service, method
			return x.unknownPath()
		}
		methods = []string{http.MethodPost} // headers of the call, which are not seen yet, may name the rest
	}
	if len(methods) == 0 {
		return x.unknownPath()
	}
	h, in := x.w.Header(), x.r.Header
	if origin := in.Get("Origin"); origin != "" && in.Get("Access-Control-Request-Method") != "" {
		if !x.g.origins.allows(origin) {
			return x.foreign()
		}
		h.Set("Access-Control-Allow-Methods", strings.Join(methods, ", "))
		if asked := in.Get("Access-Control-Request-Headers"); asked != "" {
			h.Set("Access-Control-Allow-Headers", headerText(asked))
		}
		h.Set("Access-Control-Max-Age", "600")
	}
	h.Set("Allow", "OPTIONS, "+strings.Join(methods, ", "))
	x.succeedEmpty(http.StatusNoContent)
	return nil
}
