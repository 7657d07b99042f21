package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire/code"
)

// OptionError is a mistake in the options, at the path of its field in a manifest.
type OptionError struct {
	Path    string // "gateway.routes[0].path"
	Message string
}

func (e OptionError) Error() string { return e.Path + ": " + e.Message }

// OptionErrors are all mistakes in the options.
type OptionErrors []OptionError

func (e OptionErrors) Error() string {
	lines := make([]string, len(e))
	for i := range e {
		lines[i] = e[i].Error()
	}
	return strings.Join(lines, "\n")
}

func (e *OptionErrors) add(path, format string, args ...any) {
	*e = append(*e, OptionError{Path: path, Message: fmt.Sprintf(format, args...)})
}

// Route maps a path to a method.
type Route struct {
	// Path is a pattern of net/http without method and host. A wildcard such as {id} is a member of the argument. It must not
	// be the built-in path of another method; a pattern with wildcards that also matches built-in paths, such as /Arith/{a},
	// takes precedence over them.
	Path    string
	Methods []string // default POST; GET needs the method in Options.Get
	Service string
	Method  string
}

// Target is a method under its exact names.
type Target struct {
	Service string
	Method  string
	Args    reflect.Type // of the argument, pointer or not; nil when it is not known
}

type names struct{ service, method string }

func (n names) String() string { return n.service + "." + n.method }

// routable are the HTTP methods that a route may have.
var routable = []string{
	http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete,
}

// router maps requests to methods, by configured routes and by built-in paths.
type router struct {
	rpc     string // the path of JSON-RPC; empty: none
	resolve func(service, method string) (Target, bool)
	remote  func(service string) bool
	unknown func(service, method string) *code.Error
	nearest func(word string, known []string) string

	routes   *http.ServeMux // nil without configured routes
	patterns []registered   // of routes
	get      map[names]*binder
}

// destination is the method of a route or a GET, and the binder of its argument. It is an http.Handler only for ServeMux, which
// sets the request's path values before it calls it.
type destination struct {
	target    names
	wildcards []string
	binder    *binder // of the query and the wildcards; nil when there is nothing to bind
}

func (*destination) ServeHTTP(http.ResponseWriter, *http.Request) {}

// registered is a pattern that ServeMux has accepted, and the position of its route.
type registered struct{ pattern, at string }

// isRPC reports whether a request is of JSON-RPC.
func (rt *router) isRPC(r *http.Request) bool { return rt.rpc != "" && r.URL.Path == rt.rpc }

func (rt *router) addGet(methods []string, errs *OptionErrors) {
	rt.get = make(map[names]*binder, len(methods))
	for i, m := range methods {
		path := fmt.Sprintf("gateway.get[%d]", i)
		dot := strings.LastIndexByte(m, '.')
		if dot <= 0 || dot == len(m)-1 {
			errs.add(path, "%q is not Service.Method", m)
			continue
		}
		t, ok := rt.named(m[:dot], m[dot+1:])
		if !ok {
			errs.add(path, "no method %s on this host", m)
			continue
		}
		b, err := rt.newBinder(t)
		if err != nil {
			errs.add(path, "%s cannot be called by GET: %v", m, err)
			continue
		}
		rt.get[names{t.Service, t.Method}] = b
	}
}

// named returns a method named in the options. A method of other hosts need not be available yet.
func (rt *router) named(service, method string) (Target, bool) {
	if rt.remote(service) {
		return Target{Service: service, Method: method}, true
	}
	return rt.resolve(service, method)
}

// newBinder returns the binder for the argument of a method named in the options.
func (rt *router) newBinder(t Target) (*binder, error) {
	if t.Args == nil && rt.remote(t.Service) {
		return textBinder, nil
	}
	return newBinder(t.Args)
}

func (rt *router) addRoutes(routes []Route, errs *OptionErrors) {
	if len(routes) == 0 {
		return
	}
	rt.routes = http.NewServeMux()
	for i, r := range routes {
		path := fmt.Sprintf("gateway.routes[%d]", i)
		t, ok := rt.named(r.Service, r.Method)
		if !ok {
			errs.add(path, "no method %s.%s on this host", r.Service, r.Method)
			continue
		}
		d := &destination{target: names{t.Service, t.Method}, wildcards: wildcards(r.Path)}
		if len(d.wildcards) > 0 {
			if err := rt.bindWildcards(d, t); err != nil {
				errs.add(path+".path", "%v", err)
				continue
			}
		}
		rt.addRoute(r, d, path, errs)
	}
}

// wildcards returns the names of the wildcards in a pattern of ServeMux.
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
func (rt *router) bindWildcards(d *destination, t Target) error {
	binder, err := rt.newBinder(t)
	if err != nil {
		return err
	}
	for _, w := range d.wildcards {
		if _, ok := binder.member(w); !ok {
			return fmt.Errorf("{%s} is not a member of %s", w, t.Args)
		}
	}
	d.binder = binder
	return nil
}

func (rt *router) addRoute(r Route, d *destination, path string, errs *OptionErrors) {
	if !strings.HasPrefix(r.Path, "/") {
		errs.add(path+".path", "%q does not begin with /", r.Path)
		return
	}
	methods := r.Methods
	if len(methods) == 0 {
		methods = []string{http.MethodPost}
	}
	for i, m := range methods {
		at := fmt.Sprintf("%s.methods[%d]", path, i)
		get, ok := rt.get[d.target]
		own, isBuiltIn := rt.builtInOf(m, r.Path)
		switch {
		case !slices.Contains(routable, m):
			errs.add(at, "%q is not one of %s", m, strings.Join(routable, ", "))
		case slices.Contains(methods[:i], m):
			errs.add(at, "%s is listed twice", m)
		case m == http.MethodGet && !ok:
			errs.add(at, "GET needs %s in gateway.get", d.target)
		case isBuiltIn && own != d.target:
			errs.add(path+".path", "%s %s is the built-in path of %s and cannot lead to %s", m, r.Path, own, d.target)
		case m == http.MethodGet && d.binder == nil:
			withGet := *d
			withGet.binder = get
			rt.register(m, r.Path, &withGet, path, errs)
		default:
			rt.register(m, r.Path, d, path, errs)
		}
	}
}

// builtInOf returns the method whose built-in path a route uses: POST /Arith/Mul must not mean anything but Arith.Mul.
func (rt *router) builtInOf(httpMethod, path string) (names, bool) {
	plain, err := url.PathUnescape(path)
	if err != nil {
		return names{}, false // ServeMux reports it
	}
	service, method, ok := cutPath(&url.URL{Path: plain, RawPath: path})
	if !ok || method == "" {
		return names{}, false
	}
	t, ok := rt.named(service, method)
	if !ok {
		return names{}, false
	}
	n := names{t.Service, t.Method}
	_, get := rt.get[n]
	return n, httpMethod == http.MethodPost || httpMethod == http.MethodGet && get
}

// register adds the path of a method. ServeMux panics on a bad or conflicting pattern: that becomes an OptionError.
func (rt *router) register(method, path string, d *destination, at string, errs *OptionErrors) {
	pattern := method + " " + path
	err := handle(rt.routes, pattern, d)
	if err == nil {
		rt.patterns = append(rt.patterns, registered{pattern, at})
		return
	}
	if other, ok := rt.rival(pattern); ok {
		errs.add(at+".path", "%q conflicts with %s (%q): some requests match both", pattern, strings.TrimPrefix(other.at, "gateway."), other.pattern)
		return
	}
	errs.add(at+".path", "%v", err)
}

// rival returns the registered pattern that a refused one conflicts with.
func (rt *router) rival(pattern string) (registered, bool) {
	for _, r := range rt.patterns {
		pair := http.NewServeMux()
		d := &destination{}
		if handle(pair, r.pattern, d) == nil && handle(pair, pattern, d) != nil && handle(http.NewServeMux(), pattern, d) == nil {
			return r, true
		}
	}
	return registered{}, false
}

// handle is ServeMux.Handle with an error instead of its panic.
func handle(m *http.ServeMux, pattern string, d *destination) (err error) {
	defer func() {
		if v := recover(); v != nil {
			text, _, _ := strings.Cut(fmt.Sprint(v), " (registered at") // a position in this program
			text, _, _ = strings.Cut(text, "\n")
			err = errors.New(text)
		}
	}()
	m.Handle(pattern, d)
	return nil
}

// match returns the configured route of a request; nil if there is none.
func (rt *router) match(r *http.Request) *destination {
	if rt.routes == nil {
		return nil
	}
	h, _ := rt.routes.Handler(r)
	d, _ := h.(*destination)
	return d
}

// leads returns the names of the method that a request is for.
func (rt *router) leads(r *http.Request) (service, method string, ok bool) {
	d := rt.match(r)
	if d == nil {
		if service, method, ok = cutPath(r.URL); !ok || r.Method == http.MethodPost {
			return service, method, ok
		}
		if d = rt.byGet(service, method); d == nil || r.Method != http.MethodGet {
			return "", "", false
		}
	}
	return d.target.service, d.target.method, true
}

// byGet returns the binding of a method that may be called by GET; nil if it may not.
func (rt *router) byGet(service, method string) *destination {
	t, ok := rt.resolve(service, method)
	if !ok {
		return nil
	}
	n := names{t.Service, t.Method}
	if b, ok := rt.get[n]; ok {
		return &destination{target: n, binder: b}
	}
	return nil
}

// offer lists what a path offers by HTTP method.
type offer struct {
	methods []string // of HTTP, sorted
	targets []names  // of the calls
	builtIn names    // the method whose built-in path it is; zero if it is none
}

func (o *offer) add(httpMethod string, target names) {
	if !slices.Contains(o.methods, httpMethod) { // a route takes precedence over the built-in path
		o.methods = append(o.methods, httpMethod)
	}
	if !slices.Contains(o.targets, target) {
		o.targets = append(o.targets, target)
	}
}

// offered returns what the path of a request offers, for any HTTP method. service and method are the names of the built-in
// path, if it is one; with headers of a family, every HTTP method of that family calls them.
func (rt *router) offered(r *http.Request, service, method string, family bool) offer {
	var o offer
	if rt.isRPC(r) {
		o.methods = []string{http.MethodPost}
		return o
	}
	for _, m := range routable {
		as := *r
		as.Method = m
		if d := rt.match(&as); d != nil {
			o.add(m, d.target)
		}
	}
	if t, ok := rt.resolve(service, method); method != "" && ok {
		o.builtIn = names{t.Service, t.Method}
		if _, ok := rt.get[o.builtIn]; ok || family {
			o.add(http.MethodGet, o.builtIn)
		}
		if family {
			o.add(http.MethodPut, o.builtIn)
		}
		o.add(http.MethodPost, o.builtIn)
	}
	if slices.Contains(o.methods, http.MethodGet) {
		o.methods = append(o.methods, http.MethodHead)
	}
	slices.Sort(o.methods)
	return o
}

// cutPath splits /, /{service} and /{service}/{method}. An escaped slash is neither a separator nor part of a name.
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
