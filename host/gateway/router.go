package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire/code"
)

// routable are the HTTP methods that a route may have.
var routable = []string{
	http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
}

// bound is where a path leads: a route, or a method called by GET. It is a http.Handler for ServeMux alone, which fills
// in the request's path values on the way to it.
type bound struct {
	target    names
	wildcards []string
	*binder   // of the query and the wildcards; nil when there is nothing to bind
}

func (*bound) ServeHTTP(http.ResponseWriter, *http.Request) {}

func (g *Gateway) addGet(methods []string, problems *Problems) {
	g.get = make(map[names]*binder, len(methods))
	for i, m := range methods {
		path := fmt.Sprintf("gateway.get[%d]", i)
		dot := strings.LastIndexByte(m, '.')
		if dot <= 0 || dot == len(m)-1 {
			problems.add(path, "%q is no Service.Method", m)
			continue
		}
		t, ok := g.named(m[:dot], m[dot+1:])
		if !ok {
			problems.add(path, "no method %s on this host", m)
			continue
		}
		b, err := g.newBinder(t)
		if err != nil {
			problems.add(path, "%s cannot be called by GET: %v", m, err)
			continue
		}
		g.get[names{t.Service, t.Method}] = b
	}
}

// named finds a method that the options name. One of other hosts need not be there yet.
func (g *Gateway) named(service, method string) (Target, bool) {
	if g.remote(service) {
		return Target{Service: service, Method: method}, true
	}
	return g.resolve(service, method)
}

// newBinder makes the binder for the argument of a method that the options name.
func (g *Gateway) newBinder(t Target) (*binder, error) {
	if t.Args == nil && g.remote(t.Service) {
		return textBinder, nil
	}
	return newBinder(t.Args)
}

func (g *Gateway) addRoutes(routes []Route, problems *Problems) {
	if len(routes) == 0 {
		return
	}
	g.routes = http.NewServeMux()
	for i, r := range routes {
		path := fmt.Sprintf("gateway.routes[%d]", i)
		t, ok := g.named(r.Service, r.Method)
		if !ok {
			problems.add(path, "no method %s.%s on this host", r.Service, r.Method)
			continue
		}
		b := &bound{target: names{t.Service, t.Method}, wildcards: wildcards(r.Path)}
		if len(b.wildcards) > 0 {
			if err := g.bindWildcards(b, t); err != nil {
				problems.add(path+".path", "%v", err)
				continue
			}
		}
		g.addRoute(r, b, path, problems)
	}
}

func (g *Gateway) addRoute(r Route, b *bound, path string, problems *Problems) {
	if !strings.HasPrefix(r.Path, "/") {
		problems.add(path+".path", "%q does not begin with /", r.Path)
		return
	}
	methods := r.Methods
	if len(methods) == 0 {
		methods = []string{http.MethodPost}
	}
	for i, m := range methods {
		at := fmt.Sprintf("%s.methods[%d]", path, i)
		get, ok := g.get[b.target]
		own, isBuiltIn := g.builtInOf(m, r.Path)
		switch {
		case !slices.Contains(routable, m):
			problems.add(at, "%q is none of %s", m, strings.Join(routable, ", "))
		case slices.Contains(methods[:i], m):
			problems.add(at, "%s is there twice", m)
		case m == http.MethodGet && !ok:
			problems.add(at, "GET needs %s in gateway.get", b.target)
		case isBuiltIn && own != b.target:
			problems.add(path+".path", "%s %s is the path of %s itself and cannot lead to %s", m, r.Path, own, b.target)
		case m == http.MethodGet && b.binder == nil:
			withGet := *b
			withGet.binder = get
			g.register(m, r.Path, &withGet, path, problems)
		default:
			g.register(m, r.Path, b, path, problems)
		}
	}
}

// route finds out which method is called, and how its argument is bound if not from the body alone.
func (x *exchange) route() (*bound, *code.Error) {
	x.family = familyOf(x.r.Header)
	get := x.r.Method == http.MethodGet || x.r.Method == http.MethodHead
	if b := x.g.match(x.r); b != nil {
		x.query = get
		x.service, x.method = b.target.service, b.target.method
		if len(b.wildcards) > 0 {
			x.g.routes.ServeHTTP(x.w, x.r) // fills in the path values, see bound
		}
		return b, x.sameNames()
	}
	if e := x.builtIn(); e != nil {
		return nil, e
	}
	if x.r.Method == http.MethodPost {
		return nil, nil
	}
	bodied := x.family != nil && x.r.ContentLength != 0
	if b := x.byGet(); get && b != nil && !bodied {
		x.service, x.method, x.query = b.target.service, b.target.method, true
		return b, nil
	}
	if x.family != nil && (get || x.r.Method == http.MethodPut) {
		return nil, nil // the gateways of these headers take the body, whatever the HTTP method
	}
	return nil, x.notAllowed()
}

// byGet is the binding of a method that may be called by GET; nil when the one that is asked for may not.
func (x *exchange) byGet() *bound {
	t, ok := x.g.resolve(x.service, x.method)
	if !ok {
		return nil
	}
	n := names{t.Service, t.Method}
	if b, ok := x.g.get[n]; ok {
		return &bound{target: n, binder: b}
	}
	return nil
}

// match is the configured route of a request; nil if there is none.
func (g *Gateway) match(r *http.Request) *bound {
	if g.routes == nil {
		return nil
	}
	h, _ := g.routes.Handler(r)
	b, _ := h.(*bound)
	return b
}

// builtIn takes the names from /{service}/{method}, and from the family's headers what the path does not have.
func (x *exchange) builtIn() *code.Error {
	service, method, ok := cutPath(x.r.URL)
	if !ok {
		return x.notAllowed()
	}
	x.service, x.method = service, method
	if x.family == nil {
		if method == "" {
			return x.notAllowed()
		}
		return nil
	}
	if service == "" {
		x.service = x.family.get(x.r.Header, famServicePath)
	}
	if method == "" {
		x.method = x.family.get(x.r.Header, famServiceMethod)
	}
	if x.service == "" || x.method == "" {
		return x.notAllowed()
	}
	return x.sameNames()
}

// sameNames refuses headers that name another method than the path does: whoever guards paths in front of this host
// must see what is called.
func (x *exchange) sameNames() *code.Error {
	if x.family == nil {
		return nil
	}
	for _, p := range []struct{ header, name string }{{famServicePath, x.service}, {famServiceMethod, x.method}} {
		values := x.r.Header[x.family.keys[p.header]]
		if len(values) > 1 {
			return x.bad("more than one header " + x.family.keys[p.header])
		}
		if len(values) == 1 && values[0] != "" && !strings.EqualFold(values[0], p.name) {
			return x.bad("the header " + x.family.keys[p.header] + " names another method than the path")
		}
	}
	return nil
}

// cutPath splits /, /{service} and /{service}/{method}. A slash that was escaped is no slash, and no part of a name.
func cutPath(u *url.URL) (service, method string, ok bool) {
	path, ok := strings.CutPrefix(u.Path, "/")
	if !ok || strings.Contains(strings.ToLower(u.RawPath), "%2f") {
		return "", "", false
	}
	service, method, two := strings.Cut(path, "/")
	if two && (service == "" || method == "" || strings.Contains(method, "/")) {
		return "", "", false
	}
	return service, method, true
}

// registered is a pattern that ServeMux has taken, and the place of its route.
type registered struct{ pattern, at string }

// register gives a path to a method. ServeMux panics about a bad or conflicting pattern: that becomes a problem.
func (g *Gateway) register(method, path string, b *bound, at string, problems *Problems) {
	pattern := method + " " + path
	err := handle(g.routes, pattern, b)
	if err == nil {
		g.patterns = append(g.patterns, registered{pattern, at})
		return
	}
	if other, ok := g.rival(pattern); ok {
		place := strings.TrimPrefix(other.at, "gateway.")
		problems.add(at+".path", "%q is in conflict with %s (%q): no request may lead to both", pattern, place, other.pattern)
		return
	}
	problems.add(at+".path", "%v", err)
}

// rival finds the registered pattern that a refused one is in conflict with.
func (g *Gateway) rival(pattern string) (registered, bool) {
	for _, r := range g.patterns {
		pair := http.NewServeMux()
		if handle(pair, r.pattern, &bound{}) == nil && handle(pair, pattern, &bound{}) != nil && handle(http.NewServeMux(), pattern, &bound{}) == nil {
			return r, true
		}
	}
	return registered{}, false
}

// handle is ServeMux.Handle with an error in place of its panic.
func handle(m *http.ServeMux, pattern string, b *bound) (err error) {
	defer func() {
		if v := recover(); v != nil {
			err = errors.New(cutLines(fmt.Sprint(v)))
		}
	}()
	m.Handle(pattern, b)
	return nil
}

// cutLines leaves out where patterns were registered: those are places in this program, not in a manifest.
func cutLines(s string) string {
	s, _, _ = strings.Cut(s, " (registered at")
	s, _, _ = strings.Cut(s, "\n")
	return s
}

// builtInOf is the method whose built-in path a route's path is: whoever reads POST /Arith/Mul takes it for Arith.Mul.
func (g *Gateway) builtInOf(httpMethod, path string) (names, bool) {
	plain, err := url.PathUnescape(path)
	if err != nil {
		return names{}, false // ServeMux says why
	}
	service, method, ok := cutPath(&url.URL{Path: plain, RawPath: path})
	if !ok || method == "" {
		return names{}, false
	}
	t, ok := g.named(service, method)
	if !ok {
		return names{}, false
	}
	n := names{t.Service, t.Method}
	_, get := g.get[n]
	return n, httpMethod == http.MethodPost || httpMethod == http.MethodGet && get
}

// wildcards are the names of the wildcards in a pattern of ServeMux.
func wildcards(pattern string) []string {
	var found []string
	for {
		_, rest, ok := strings.Cut(pattern, "{")
		if !ok {
			return found
		}
		name, after, ok := strings.Cut(rest, "}")
		if !ok {
			return found
		}
		if name != "$" {
			found = append(found, strings.TrimSuffix(name, "..."))
		}
		pattern = after
	}
}

// bindWildcards checks that each wildcard is a member of the argument.
func (g *Gateway) bindWildcards(b *bound, t Target) error {
	binder, err := g.newBinder(t)
	if err != nil {
		return err
	}
	for _, w := range b.wildcards {
		if _, ok := binder.member(w); !ok {
			return fmt.Errorf("{%s} is no member of %s", w, t.Args)
		}
	}
	b.binder = binder
	return nil
}
