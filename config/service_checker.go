package config

import (
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/easymicro/easymicro/config/lint"
)

// serviceChecker checks the services and the identification of callers.
type serviceChecker struct{ *report }

func (c serviceChecker) check() {
	c.auth()
	c.services()
	c.around()
}

func (c serviceChecker) auth() {
	a := &c.m.Auth
	for i, way := range a.Identify {
		if slices.Index(a.Identify, way) < i {
			c.manifest(lint.NameTaken, fmt.Sprintf("auth.identify[%d]", i), "%s is listed twice", way)
		}
	}
	usesTokens := slices.Contains(a.Identify, "token")
	if usesTokens && a.Tokens == nil {
		c.manifest(lint.NeedsOther, "auth.identify", "token needs auth.tokens.file")
	}
	usesMTLS := slices.Contains(a.Identify, "mtls")
	verifies := slices.ContainsFunc(c.m.Listeners, func(l Listener) bool { return l.TLS != nil && l.TLS.ClientAuth != ClientAuthNone })
	switch {
	case usesMTLS && a.MTLS == nil:
		c.manifest(lint.NeedsOther, "auth.identify", "mtls needs auth.mtls.callerFrom")
	case !usesMTLS && a.MTLS != nil:
		c.manifest(lint.Unused, "auth.mtls", "is not used: auth.identify does not have mtls")
	case usesMTLS && !verifies:
		c.manifest(lint.Unused, "auth.mtls", "identifies nobody: no listener has tls with clientAuth")
	}
	switch usesJWT := slices.Contains(a.Identify, "jwt"); {
	case usesJWT && a.JWT == nil:
		c.manifest(lint.NeedsOther, "auth.identify", "jwt needs auth.jwt")
	case !usesJWT && a.JWT != nil:
		c.manifest(lint.Unused, "auth.jwt", "is not used: auth.identify does not have jwt")
	}
	if a.JWT != nil {
		c.keys(a.JWT)
	}
	if !usesTokens && a.Tokens != nil {
		c.manifest(lint.Unused, "auth.tokens", "is not used: auth.identify does not have token")
	}
}

// keys checks where the keys of signed tokens are.
func (c serviceChecker) keys(j *JWT) {
	const field = "auth.jwt.jwksURL"
	switch {
	case j.JWKSURL == "" && j.JWKSFile == "":
		c.manifest(lint.NeedsOther, "auth.jwt", "needs the keys of the issuer: set jwksFile or jwksURL")
	case j.JWKSURL != "" && j.JWKSFile != "":
		c.manifest(lint.Conflicting, field, "sets the keys beside jwksFile: only one of them is allowed")
	case j.JWKSURL == "" && j.TLS != nil:
		c.manifest(lint.NeedsOther, "auth.jwt.tls", "is for jwksURL, which is not set: remove it")
	case j.JWKSURL != "":
		if wrong := wrongKeyURL(j.JWKSURL); wrong != "" {
			c.manifest(lint.BadSetting, field, "%s", wrong)
		} else if j.TLS != nil && !strings.HasPrefix(strings.ToLower(j.JWKSURL), "https:") {
			c.manifest(lint.Contradiction, "auth.jwt.tls", "is not used: jwksURL is http://")
		}
	}
}

// wrongKeyURL returns what is wrong with the URL of a JWKS, or "".
func wrongKeyURL(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil || u.Hostname() == "" || u.Opaque != "":
		return fmt.Sprintf("%q is not a URL: want https://HOST/PATH", clip(withoutUser(text)))
	case u.User != nil:
		return "contains credentials: a key set is public, and the manifest is not the place for secrets"
	case u.Fragment != "":
		return "must not have a fragment (#)"
	case u.Scheme == "http" && !Address(net.JoinHostPort(u.Hostname(), "1")).Loopback():
		return "http:// lets anyone on the way replace the keys: use https://"
	case u.Scheme != "http" && u.Scheme != "https":
		return clip(u.Scheme) + ":// is not supported: use https://"
	}
	return ""
}

func (c serviceChecker) services() {
	var exact, folded names
	m := c.m
	if len(m.Services) == 0 && m.Gateway.Remote == nil {
		c.manifest(lint.NothingServed, "services", "no services: nothing is served")
	}
	use := func(path, name string) {
		at := m.Position(path)
		first, taken := exact.taken(name, at)
		if taken {
			c.manifest(lint.NameTaken, path, "the name %s is taken by %s", name, first)
			return
		}
		if first, taken := folded.taken(strings.ToLower(name), at); taken {
			c.manifest(lint.CaseOnly, path, "%s differs from the name in %s by case only: callers that write names in lower case reach neither", name, first)
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
			c.manifest(lint.Empty, path+".methods.expose", "is empty, which exposes nothing: leave the key out to expose all methods")
		}
	}
}

// around checks that no interceptor runs twice around a call.
func (c serviceChecker) around() {
	for _, p := range c.m.AroundPlaces() {
		for i := range p.List {
			at, name := fmt.Sprintf("%s[%d]", p.Path, i), p.List[i].Name
			isSame := func(a Around) bool { return a.Name == name }
			if slices.ContainsFunc(p.List[:i], isSame) {
				c.manifest(lint.NameTaken, at, "%s is listed twice", clip(name))
			}
			if j := slices.IndexFunc(c.m.Around, isSame); p.Service != "" && j >= 0 {
				c.manifest(lint.NameTaken, at, "%s runs around all services already: around[%d] lists it", clip(name), j)
			}
		}
	}
}

// Bounds of published metadata, which every caller reads.
const (
	maxMetadataPairs = 32
	maxMetadataKey   = 128
	maxMetadataValue = 1024
	maxWeight        = 1_000_000
)

// published checks what a service publishes.
func (c serviceChecker) published(path string, s *Service) {
	m := c.m
	if s.Publish != nil && *s.Publish && !m.Registers() {
		c.manifest(lint.NeedsOther, path+".publish", "cannot be published: no discovery.etcd has register")
	}
	if len(s.Metadata) > maxMetadataPairs {
		c.manifest(lint.BadSetting, path+".metadata", "has %d pairs: at most %d are published", len(s.Metadata), maxMetadataPairs)
	}
	for _, key := range slices.Sorted(maps.Keys(s.Metadata)) {
		value, at := s.Metadata[key], path+".metadata."+key
		switch {
		case key == "" || strings.ContainsAny(key, " \t") || !printable(key, maxMetadataKey):
			c.manifest(lint.BadSetting, path+".metadata", "the key %q must be 1 to %d printable characters without whitespace", clip(key), maxMetadataKey)
		case !printable(value, maxMetadataValue):
			c.manifest(lint.BadSetting, at, "must be at most %d printable characters", maxMetadataValue)
		case key == "weight" && !isWeight(value):
			c.manifest(lint.BadSetting, at, "must be an integer from 1 to %d, not %q", maxWeight, clip(value))
		}
	}
}

func isWeight(text string) bool {
	n, err := strconv.Atoi(text)
	return err == nil && n >= 1 && n <= maxWeight
}

// uses checks that the upstreams of a service exist.
func (c serviceChecker) uses(path string, s *Service) {
	known := c.m.UpstreamNames()
	for _, client := range slices.Sorted(maps.Keys(s.Uses)) {
		upstream, at := s.Uses[client], fmt.Sprintf("%s.uses.%s", path, client)
		switch {
		case slices.Contains(known, upstream):
		case len(known) == 0:
			c.manifest(lint.NoSuchName, at, "this manifest has no upstreams")
		default:
			c.manifest(lint.NoSuchName, at, "this manifest has no upstream %s", clip(upstream)).Suggestion = Suggest(upstream, known)
		}
	}
}

// gatewayChecker checks the gateway.
type gatewayChecker struct{ *report }

func (c gatewayChecker) check() {
	c.gateway()
	c.remote()
}

func (c gatewayChecker) gateway() {
	g, known := &c.m.Gateway, c.m.serviceNames()
	for i, entry := range g.Get {
		path := fmt.Sprintf("gateway.get[%d]", i)
		dot := strings.LastIndexByte(entry, '.')
		if dot <= 0 || dot == len(entry)-1 {
			p := c.manifest(lint.BadSetting, path, "must be Service.Method, not %q", clip(entry))
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
	c.jsonrpc(g.JSONRPC.Path)
	for i, origin := range g.CORS.AllowOrigins {
		u, err := url.Parse(origin)
		if origin != "*" && (err != nil || u.Scheme == "" || u.Host == "" || u.Path != "" || u.RawQuery != "") {
			c.manifest(lint.BadSetting, fmt.Sprintf("gateway.cors.allowOrigins[%d]", i), "must be an origin like https://app.example, or *, not %q", clip(origin))
		}
	}
}

// jsonrpc checks that the path of JSON-RPC leads to nothing else.
func (c gatewayChecker) jsonrpc(at string) {
	const field = "gateway.jsonrpc.path"
	first, rest, _ := strings.Cut(strings.TrimPrefix(at, "/"), "/")
	switch {
	case at == "":
		return
	case !strings.HasPrefix(at, "/") || path.Clean(at) != at || strings.ContainsAny(at, "%?#{} "):
		c.manifest(lint.BadSetting, field, "must be a plain path such as /rpc, not %q", clip(at))
	case rest != "" && slices.ContainsFunc(c.m.serviceNames(), func(name string) bool { return strings.EqualFold(name, first) }):
		c.manifest(lint.Conflicting, field, "%s is the path of a method of service %s", clip(at), first)
	}
	for i, r := range c.m.Gateway.Routes {
		if r.Path == at {
			c.manifest(lint.Conflicting, field, "%s is the path of gateway.routes[%d] already", clip(at), i)
		}
	}
}

func (c gatewayChecker) remote() {
	r := c.m.Gateway.Remote
	if r == nil {
		return
	}
	c.knownCluster("gateway.remote.etcd", r.Etcd)
	if len(r.Services) == 0 && c.m.Written("gateway.remote.services") {
		c.manifest(lint.Empty, "gateway.remote.services", "is empty, which allows nothing: [\"*\"] allows every service")
	}
}

func (c gatewayChecker) knownService(path, name string, known []string) *Problem {
	for _, k := range known {
		if strings.EqualFold(k, name) {
			return nil
		}
	}
	if c.m.Gateway.Remote.Allows(name) {
		return nil
	}
	p := c.manifest(lint.NoSuchName, path, "this manifest has no service %s", clip(name))
	p.Suggestion = Suggest(name, known)
	return p
}

// route registers a route with a mux, which knows invalid and conflicting patterns.
func (c gatewayChecker) route(mux *http.ServeMux, path string, r Route) {
	if !strings.HasPrefix(r.Path, "/") {
		c.manifest(lint.BadSetting, path+".path", "must begin with /, not %q", clip(r.Path))
		return
	}
	if len(r.Methods) == 0 {
		c.manifest(lint.Empty, path+".methods", "is empty: a route has at least one HTTP method")
	}
	for _, method := range r.Methods {
		if why := tryPattern(mux, method+" "+r.Path); why != "" {
			c.manifest(lint.BadSetting, path+".path", "%s", why)
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

// routeReason strips source lines from a message of net/http.
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
