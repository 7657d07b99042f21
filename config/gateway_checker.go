package config

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
)

// gatewayChecker checks how HTTP callers reach methods.
type gatewayChecker struct{ *report }

func (c gatewayChecker) check() {
	c.gateway()
	c.remote()
}

func (c gatewayChecker) gateway() {
	g, known := &c.set.Manifest.Gateway, c.set.Manifest.serviceNames()
	for i, entry := range g.Get {
		path := fmt.Sprintf("gateway.get[%d]", i)
		dot := strings.LastIndexByte(entry, '.')
		if dot <= 0 || dot == len(entry)-1 {
			p := c.manifest(path, "must be Service.Method, not %q", clip(entry))
			if strings.Count(entry, "/") == 1 {
				p.Suggestion = strings.Replace(entry, "/", ".", 1)
			}
			continue
		}
		if p := c.knownService(path, entry[:dot], known); p != nil && p.Suggestion != "" {
			p.Suggestion += entry[dot:]
		}
	}
	mux := http.NewServeMux()
	mux.Handle("POST /{service}/{method}", http.NotFoundHandler())
	for i, r := range g.Routes {
		path := fmt.Sprintf("gateway.routes[%d]", i)
		c.knownService(path+".service", r.Service, known)
		c.route(mux, path, r)
	}
	for i, origin := range g.CORS.AllowOrigins {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "") {
			c.manifest(fmt.Sprintf("gateway.cors.allowOrigins[%d]", i), "must be an origin like https://app.example, or *, not %q", clip(origin))
		}
	}
}

func (c gatewayChecker) remote() {
	r := c.set.Manifest.Gateway.Remote
	if r == nil {
		return
	}
	c.knownCluster("gateway.remote.etcd", r.Etcd)
	if len(r.Services) == 0 && c.set.Manifest.Written("gateway.remote.services") {
		c.manifest("gateway.remote.services", "is empty, which allows nothing: [\"*\"] allows every service")
	}
}

func (c gatewayChecker) knownService(path, name string, known []string) *Problem {
	for _, k := range known {
		if strings.EqualFold(k, name) {
			return nil
		}
	}
	if c.set.Manifest.Gateway.Remote.Allows(name) {
		return nil
	}
	p := c.manifest(path, "this manifest has no service %s", clip(name))
	p.Suggestion = Suggest(name, known)
	return p
}

// route tries the path of a route on a mux, which knows what is no pattern and which patterns conflict.
func (c gatewayChecker) route(mux *http.ServeMux, path string, r Route) {
	if !strings.HasPrefix(r.Path, "/") {
		c.manifest(path+".path", "must begin with /, not %q", clip(r.Path))
		return
	}
	if len(r.Methods) == 0 {
		c.manifest(path+".methods", "is empty: a route has at least one HTTP method")
	}
	for _, method := range r.Methods {
		if why := tryPattern(mux, method+" "+r.Path); why != "" {
			c.manifest(path+".path", "%s", why)
			return
		}
	}
}

func tryPattern(mux *http.ServeMux, pattern string) (why string) {
	defer func() {
		if r := recover(); r != nil {
			why = fmt.Sprintf("%s cannot be a route: %s", pattern, routeReason(fmt.Sprint(r)))
		}
	}()
	mux.Handle(pattern, http.NotFoundHandler())
	return ""
}

// routeReason drops what net/http says about source lines.
func routeReason(said string) string {
	if i := strings.Index(said, "conflicts with pattern"); i >= 0 {
		other, _, _ := strings.Cut(said[i+len("conflicts with pattern"):], " (registered")
		return "it is in conflict with " + strings.TrimSpace(other)
	}
	if i := strings.LastIndex(said, ": "); i >= 0 {
		return said[i+2:]
	}
	return said
}
