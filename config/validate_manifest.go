package config

import (
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/wire/wildcard"
)

func (c *checker) listeners() {
	var byName names
	m := c.set.Manifest
	for i, l := range m.Listeners {
		path := fmt.Sprintf("listeners[%d]", i)
		if first, taken := byName.taken(l.Name, m.Position(path+".name")); taken {
			c.manifest(path+".name", "the name %s is taken by the listener in %s", l.Name, first)
		}
		if len(l.Protocols) == 0 {
			c.manifest(path+".protocols", "is empty: a listener speaks rpcx, http or both")
		}
		if p := l.ProxyProtocol; p != nil && len(p.From) == 0 && m.Written(path+".proxyProtocol.from") {
			c.manifest(path+".proxyProtocol.from", "is empty: name the networks of the balancers, or leave proxyProtocol out")
		}
		if l.Limits.MaxDecompressedBytes < l.Limits.MaxMessageBytes {
			c.manifest(path+".limits.maxDecompressedBytes", "%s is below maxMessageBytes (%s)", l.Limits.MaxDecompressedBytes, l.Limits.MaxMessageBytes)
		}
		one := l.Limits.MaxMessageBytes + l.Limits.MaxDecompressedBytes
		if most := m.Host.Limits.MaxBufferedBytes; most > 0 && most < 2*one {
			c.manifest("host.limits.maxBufferedBytes", "%s is less than two of the largest calls of listener %s (maxMessageBytes and "+
				"maxDecompressedBytes, %s): such calls are refused while others are served; write at least %s, or lower those",
				most, l.Name, one, 2*one).Warning = true
		}
	}
}

func (c *checker) operators() {
	m := c.set.Manifest
	if m.Admin.Address == "" || m.Admin.TokenFile != "" || m.Admin.Address.Loopback() {
		return
	}
	if _, _, err := m.Admin.Address.Split(); err == nil {
		c.manifest("admin.address", "%s can be reached from other machines: that needs admin.tokenFile", m.Admin.Address)
	}
}

func (c *checker) auth() {
	a := &c.set.Manifest.Auth
	for i, way := range a.Identify {
		if slices.Index(a.Identify, way) < i {
			c.manifest(fmt.Sprintf("auth.identify[%d]", i), "%s stands here twice", way)
		}
	}
	usesTokens := slices.Contains(a.Identify, "token")
	if usesTokens && a.Tokens == nil {
		c.manifest("auth.identify", "token needs auth.tokens.file")
	}
	if !usesTokens && a.Tokens != nil {
		c.manifest("auth.tokens", "is not used: auth.identify does not have token").Warning = true
	}
}

func (c *checker) services() {
	var exact, folded names
	m := c.set.Manifest
	if len(m.Services) == 0 && m.Gateway.Remote == nil {
		c.manifest("services", "no services: nothing is served").Warning = true
	}
	use := func(path, name string) {
		at := m.Position(path)
		first, taken := exact.taken(name, at)
		if taken {
			c.manifest(path, "the name %s is taken by %s", name, first)
			return
		}
		if first, taken := folded.taken(strings.ToLower(name), at); taken {
			c.manifest(path, "%s differs from the name in %s by case only: callers that write names in lower case reach neither", name, first).Warning = true
		}
	}
	for i, s := range m.Services {
		path := fmt.Sprintf("services[%d]", i)
		use(path+".name", s.Name)
		for j, alias := range s.Aliases {
			use(fmt.Sprintf("%s.aliases[%d]", path, j), alias)
		}
		c.uses(path, &m.Services[i])
		c.published(path, &m.Services[i])
		if s.Methods.Expose != nil && len(s.Methods.Expose) == 0 {
			c.manifest(path+".methods.expose", "is empty, which exposes nothing: leave the key out to expose all methods")
		}
	}
}

// serviceNames are the names that services are served under.
func (m *Manifest) serviceNames() []string {
	var all []string
	for _, s := range m.Services {
		all = append(append(all, s.Name), s.Aliases...)
	}
	return all
}

func (c *checker) gateway() {
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
	c.remote(g.Remote)
	for i, origin := range g.CORS.AllowOrigins {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "") {
			c.manifest(fmt.Sprintf("gateway.cors.allowOrigins[%d]", i), "must be an origin like https://app.example, or *, not %q", clip(origin))
		}
	}
}

func (c *checker) remote(r *Remote) {
	if r == nil {
		return
	}
	c.knownCluster("gateway.remote.etcd", r.Etcd)
	if len(r.Services) == 0 && c.set.Manifest.Written("gateway.remote.services") {
		c.manifest("gateway.remote.services", "is empty, which allows nothing: [\"*\"] allows every service")
	}
}

// Allows tells whether services of that name may be reached on other hosts.
func (r *Remote) Allows(service string) bool {
	return r != nil && wildcard.MatchAny(r.Services, service)
}

// AllowsSpelling reports whether a service may be reached on other hosts whose name differs from this one in case alone, if
// at all.
func (r *Remote) AllowsSpelling(service string) bool {
	return slices.ContainsFunc(r.Services, func(pattern string) bool {
		return wildcard.Match(strings.ToLower(pattern), strings.ToLower(service))
	})
}

func (c *checker) knownService(path, name string, known []string) *Problem {
	for _, k := range known {
		if strings.EqualFold(k, name) {
			return nil
		}
	}
	if c.set.Manifest.Gateway.Remote.Allows(name) {
		return nil
	}
	p := c.manifest(path, "there is no service %s in this manifest", clip(name))
	p.Suggestion = Suggest(name, known)
	return p
}

// route tries the path of a route on a mux, which knows what is no pattern and which patterns conflict.
func (c *checker) route(mux *http.ServeMux, path string, r Route) {
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

func (c *checker) globs(path string, globs []string) {
	for i, glob := range globs {
		at := fmt.Sprintf("%s[%d]", path, i)
		switch _, err := filepath.Match(glob, "x"); {
		case glob == "":
			c.manifest(at, "is empty")
		case err != nil:
			c.manifest(at, "%q is no file pattern: a [ is not closed", clip(glob))
		case strings.Contains(glob, "**"):
			c.manifest(at, "** is not understood: * matches inside of one folder; name the folders one by one")
		}
	}
}
