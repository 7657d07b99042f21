package config

import (
	"fmt"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

func (c *checker) upstreams() {
	var byName names
	m := c.set.Manifest
	used, known := m.usedUpstreams()
	for i := range m.Upstreams {
		u, path := &m.Upstreams[i], fmt.Sprintf("upstreams[%d]", i)
		if first, taken := byName.taken(u.Name, m.Position(path+".name")); taken && u.Name != "" {
			c.manifest(path+".name", "the name %s is taken by the upstream in %s", u.Name, first)
		} else if u.Name != "" && known && !used[u.Name] {
			c.manifest(path+".name", "no service uses the upstream %s (services[].uses)", u.Name).Warning = true
		}
		c.resolve(path+".resolve", &u.Resolve)
		c.balancer(path+".loadBalancer", &u.LoadBalancer)
		c.pair(path+".tls", u.TLS)
		if !printable(u.Group, maxMetadataValue) {
			c.manifest(path+".group", "must be at most %d printable characters", maxMetadataValue)
		}
	}
}

// usedUpstreams are the upstreams that services use. They are not known when a service uses one that is none: it may be
// any, misspelt.
func (m *Manifest) usedUpstreams() (used map[string]bool, known bool) {
	used = map[string]bool{}
	names := m.UpstreamNames()
	for i := range m.Services {
		for _, upstream := range m.Services[i].Uses {
			if !slices.Contains(names, upstream) {
				return nil, false
			}
			used[upstream] = true
		}
	}
	return used, true
}

// UpstreamNames are the names of the upstreams.
func (m *Manifest) UpstreamNames() []string {
	all := make([]string, 0, len(m.Upstreams))
	for i := range m.Upstreams {
		all = append(all, m.Upstreams[i].Name)
	}
	return all
}

// resolve checks that an upstream is looked for in one place, and that this can be one.
func (c *checker) resolve(path string, r *Resolve) {
	var given []string
	for _, way := range []string{"etcd", "endpoints", "dns", "file"} {
		if c.set.Manifest.Written(path + "." + way) {
			given = append(given, way)
		}
	}
	switch len(given) {
	case 0:
		if c.set.Manifest.Written(path) {
			c.manifest(path, "says nowhere to look: one of etcd, endpoints, dns and file")
		}
		return
	case 1:
	default:
		c.manifest(path, "says %s: only one of them can hold", strings.Join(given, " and "))
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
			c.manifest(path+".file", "is empty: the path of a file with a list of endpoints")
		}
	}
}

func (c *checker) endpoints(path string, list []Address) {
	if len(list) == 0 {
		c.manifest(path, "is empty: there is nothing to call")
	}
	var seen names
	for i, a := range list {
		at := fmt.Sprintf("%s[%d]", path, i)
		key, wrong := a.callable()
		if first, taken := seen.taken(key, c.set.Manifest.Position(at)); wrong == "" && taken {
			wrong = fmt.Sprintf("%s stands in %s already", a, first)
		}
		if wrong != "" {
			c.manifest(at, "%s", wrong)
		}
	}
}

// dialable says what keeps others from reaching a host:port.
func dialable(address string) error {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return fmt.Errorf("%q is no host:port", clip(address))
	}
	n, err := strconv.Atoi(port)
	switch {
	case err != nil || n < 0 || n > 65535:
		return fmt.Errorf("port %q is not a number from 1 to 65535", clip(port))
	case sameHost(host) == "*":
		return fmt.Errorf("%s names no host: it is every address of a machine", clip(address))
	case n == 0:
		return fmt.Errorf("%s has no port that can be called", clip(address))
	case strings.ContainsAny(host, " \t/@?#"):
		return fmt.Errorf("%q is no name of a host", clip(host))
	}
	return nil
}

var (
	hostName = regexp.MustCompile(`^[A-Za-z0-9._-]{1,253}$`)
	srvName  = regexp.MustCompile(`^_[A-Za-z0-9-]{1,62}\._(tcp|udp)\.[A-Za-z0-9._-]{1,253}$`)
)

// dns takes host:port and the name of SRV records.
func (c *checker) dns(path, name string) {
	if rest, ok := strings.CutPrefix(name, "srv://"); ok || strings.HasPrefix(name, "_") {
		if !ok && !srvName.MatchString(name) || !hostName.MatchString(rest) {
			c.manifest(path, "%q is no name of SRV records: _rpcx._tcp.billing.internal, or srv://billing.internal", clip(name))
		}
		return
	}
	if err := dialable(name); err != nil {
		c.manifest(path, "%s: host:port, or the name of SRV records (_rpcx._tcp.billing.internal)", err)
	}
}

func (c *checker) balancer(path string, b *LoadBalancer) {
	switch hashes := b.Policy == "consistentHash"; {
	case hashes && b.HashOn == "" && !c.set.Manifest.Written(path+".hashOn"):
		c.manifest(path+".policy", "consistentHash needs hashOn beside it: metadata.NAME or argument.FIELD")
	case !hashes && b.HashOn != "":
		c.manifest(path+".hashOn", "is for policy: consistentHash, not for %s", b.Policy)
	}
}

// pair checks that a certificate comes with its key.
func (c *checker) pair(path string, t *ClientTLS) {
	switch {
	case t == nil:
	case t.CertFile == "" && t.KeyFile != "":
		c.manifest(path+".keyFile", "needs certFile beside it")
	case t.CertFile != "" && t.KeyFile == "":
		c.manifest(path+".certFile", "needs keyFile beside it")
	}
}
