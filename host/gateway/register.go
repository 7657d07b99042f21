package gateway

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

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
