package config

import (
	"fmt"
	"net"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config/lint"
)

// upstreamChecker checks upstreams and discovery.
type upstreamChecker struct{ *report }

func (c upstreamChecker) check() {
	c.upstreams()
	c.discovery()
	c.pairs()
}

func (c upstreamChecker) discovery() {
	m := c.m
	if m.Discovery == nil {
		return
	}
	var byName names
	for i := range m.Discovery.Etcd {
		e, path := &m.Discovery.Etcd[i], fmt.Sprintf("discovery.etcd[%d]", i)
		if first, taken := byName.taken(e.Name, m.Position(path+".name")); taken && e.Name != "" {
			c.manifest(lint.NameTaken, path+".name", "the name %s is taken by the discovery in %s", e.Name, first)
		}
		c.members(path, e)
		c.prefix(path+".prefix", e.Prefix)
		c.layouts(path+".layouts", e.Layouts)
		switch {
		case e.UsernameFile != "" && e.PasswordFile == "":
			c.manifest(lint.NeedsOther, path+".usernameFile", "needs passwordFile")
		case e.UsernameFile == "" && e.PasswordFile != "":
			c.manifest(lint.NeedsOther, path+".passwordFile", "needs usernameFile")
		}
		c.register(path+".register", e)
	}
}

// members checks the URLs of a cluster: either all use TLS or none does.
func (c upstreamChecker) members(path string, e *Etcd) {
	if len(e.Endpoints) == 0 && c.m.Written(path+".endpoints") {
		c.manifest(lint.Empty, path+".endpoints", "is empty: list the URL of at least one member")
	}
	var seen names
	for i, text := range e.Endpoints {
		at := fmt.Sprintf("%s.endpoints[%d]", path, i)
		u, err := url.Parse(text)
		switch {
		case err != nil || !strings.Contains(text, "://"):
			p := c.manifest(lint.BadSetting, at, "%q is not a valid URL", clip(text))
			if Address(text).valid() {
				p.Suggestion = "http://" + text
			}
			continue
		case u.Scheme != "http" && u.Scheme != "https":
			c.manifest(lint.BadSetting, at, "%s:// is not supported: use http:// or https://", clip(u.Scheme))
			continue
		case u.User != nil:
			c.manifest(lint.BadSetting, at, "contains credentials: use usernameFile and passwordFile")
			continue
		case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
			c.manifest(lint.BadSetting, at, "must be host and port only; where the keys begin is set by prefix")
			continue
		}
		host := u.Host
		if u.Port() == "" {
			host += ":2379" // the default port of etcd
		}
		if err := dialable(host); err != nil {
			c.manifest(lint.BadSetting, at, "%s", err)
			continue
		}
		if u.Scheme == "http" && e.TLS != nil {
			c.manifest(lint.BadSetting, at, "does not use TLS, though tls is set").Suggestion = "https://" + u.Host
		}
		if first, taken := seen.taken(host, c.m.Position(at)); taken {
			c.manifest(lint.NameTaken, at, "%s is listed in %s already", text, first)
		}
	}
}

const maxPrefix = 200

func (c upstreamChecker) prefix(path, prefix string) {
	switch {
	case prefix == "":
	case len(prefix) > maxPrefix || strings.ContainsAny(prefix, " \t") || !printable(prefix, maxPrefix):
		c.manifest(lint.BadSetting, path, "must be at most %d printable characters without whitespace", maxPrefix)
	case !strings.HasSuffix(prefix, "/"):
		c.manifest(lint.BadSetting, path, "must end in /, or it may match a part of another name").Suggestion = prefix + "/"
	}
}

func (c upstreamChecker) layouts(path string, layouts []string) {
	if len(layouts) == 0 {
		c.manifest(lint.Empty, path, "is empty: easymicro, rpcx or both")
	}
	for i, layout := range layouts {
		if slices.Index(layouts, layout) < i {
			c.manifest(lint.NameTaken, fmt.Sprintf("%s[%d]", path, i), "%s is listed twice", layout)
		}
	}
}

// register checks that the published address can be reached.
func (c upstreamChecker) register(path string, e *Etcd) {
	if e.Register == nil {
		return
	}
	if a := e.Register.Advertise; a != "" {
		if strings.Contains(a, "://") {
			c.manifest(lint.BadSetting, path+".advertise", "must be host:port without ://").Suggestion = a[strings.Index(a, "://")+3:]
		} else if err := dialable(a); err != nil {
			c.manifest(lint.BadSetting, path+".advertise", "%s", err)
		}
		return
	}
	l := c.m.PublishedListener()
	if l == nil {
		c.manifest(lint.NeedsOther, path, "no listener serves rpcx over TCP: add one, or set advertise: host:port")
		return
	}
	network, address, err := l.Address.Split()
	if err != nil || network != "tcp" {
		return // reported already
	}
	switch host, _, _ := net.SplitHostPort(address); {
	case sameHost(host) == "*":
		c.manifest(lint.NeedsOther, path, "advertise is required: listener %s listens on every address of the machine (%s)", l.Name, l.Address)
	case l.Address.Loopback() && !c.localCluster(e):
		c.manifest(lint.Unreachable, path, "listener %s is on %s, which other machines cannot reach: set advertise", l.Name, l.Address)
	}
}

// localCluster reports whether a cluster is on this machine, as in tests and samples.
func (c upstreamChecker) localCluster(e *Etcd) bool {
	return !slices.ContainsFunc(e.Endpoints, func(text string) bool {
		_, at, _ := strings.Cut(text, "://")
		return !Address(strings.TrimSuffix(at, "/")).Loopback()
	})
}

func (c upstreamChecker) upstreams() {
	var byName names
	m := c.m
	used, known := m.usedUpstreams()
	for i := range m.Upstreams {
		u, path := &m.Upstreams[i], fmt.Sprintf("upstreams[%d]", i)
		if first, taken := byName.taken(u.Name, m.Position(path+".name")); taken && u.Name != "" {
			c.manifest(lint.NameTaken, path+".name", "the name %s is taken by the upstream in %s", u.Name, first)
		} else if u.Name != "" && known && !used[u.Name] {
			c.manifest(lint.Unused, path+".name", "no service uses the upstream %s (services[].uses)", u.Name)
		}
		c.resolve(path+".resolve", &u.Resolve)
		c.balancer(path+".loadBalancer", &u.LoadBalancer)
		if !printable(u.Group, maxMetadataValue) {
			c.manifest(lint.BadSetting, path+".group", "must be at most %d printable characters", maxMetadataValue)
		}
	}
}

// resolve checks that an upstream has exactly one valid way to resolve it.
func (c upstreamChecker) resolve(path string, r *Resolve) {
	var given []string
	for _, way := range []string{"etcd", "endpoints", "dns", "file"} {
		if c.m.Written(path + "." + way) {
			given = append(given, way)
		}
	}
	switch len(given) {
	case 0:
		if c.m.Written(path) {
			c.manifest(lint.Empty, path, "has no effect: set one of etcd, endpoints, dns and file")
		}
		return
	case 1:
	default:
		c.manifest(lint.Conflicting, path, "sets %s: only one of them is allowed", strings.Join(given, " and "))
		return
	}
	switch given[0] {
	case "etcd":
		c.knownCluster(path+".etcd", r.Etcd)
	case "endpoints":
		c.endpoints(path+".endpoints", r.Endpoints)
	case "dns":
		c.dns(path+".dns", r.DNS)
	case "file":
		if r.File == "" {
			c.manifest(lint.Empty, path+".file", "is empty: set the path of a file with a list of endpoints")
		}
	}
}

func (c upstreamChecker) endpoints(path string, list []Address) {
	if len(list) == 0 {
		c.manifest(lint.Empty, path, "is empty: there is nothing to call")
	}
	var seen names
	for i, a := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		key, wrong := a.callable()
		if first, taken := seen.taken(key, c.m.Position(at)); wrong == "" && taken {
			wrong = fmt.Sprintf("%s is listed in %s already", a, first)
		}
		if wrong != "" {
			c.manifest(lint.BadSetting, at, "%s", wrong)
		}
	}
}

var (
	hostName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,253}$`)
	srvName  = regexp.MustCompile(`^_[A-Za-z0-9-]{1,62}\._(tcp|udp)\.[A-Za-z0-9._-]{1,253}$`)
)

// dns accepts host:port and names of SRV records.
func (c upstreamChecker) dns(path, name string) {
	if rest, ok := strings.CutPrefix(name, "srv://"); ok || strings.HasPrefix(name, "_") {
		if !ok && !srvName.MatchString(name) || !hostName.MatchString(rest) {
			c.manifest(lint.BadSetting, path, "%q is not the name of SRV records: _rpcx._tcp.billing.internal, or srv://billing.internal", clip(name))
		}
		return
	}
	if err := dialable(name); err != nil {
		c.manifest(lint.BadSetting, path, "%s: host:port, or the name of SRV records (_rpcx._tcp.billing.internal)", err)
	}
}

func (c upstreamChecker) balancer(path string, b *LoadBalancer) {
	switch hashes := b.Policy == "consistentHash"; {
	case hashes && b.HashOn == "" && !c.m.Written(path+".hashOn"):
		c.manifest(lint.NeedsOther, path+".policy", "consistentHash needs hashOn: metadata.NAME or argument.FIELD")
	case !hashes && b.HashOn != "":
		c.manifest(lint.Conflicting, path+".hashOn", "is for policy: consistentHash, not for %s", b.Policy)
	}
}

// pairs checks that certificates and their keys are set together.
func (c upstreamChecker) pairs() {
	for _, t := range c.m.OutgoingTLS() {
		switch {
		case t.CertFile == "" && t.KeyFile != "":
			c.manifest(lint.NeedsOther, t.Path+".keyFile", "needs certFile")
		case t.CertFile != "" && t.KeyFile == "":
			c.manifest(lint.NeedsOther, t.Path+".certFile", "needs keyFile")
		}
	}
}
