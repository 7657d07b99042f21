package config

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
)

func (c *checker) discovery() {
	m := c.set.Manifest
	if m.Discovery == nil {
		return
	}
	var byName names
	for i := range m.Discovery.Etcd {
		e, path := &m.Discovery.Etcd[i], fmt.Sprintf("discovery.etcd[%d]", i)
		if first, taken := byName.taken(e.Name, m.Position(path+".name")); taken && e.Name != "" {
			c.manifest(path+".name", "the name %s is taken by the discovery in %s", e.Name, first)
		}
		c.members(path, e)
		c.prefix(path+".prefix", e.Prefix)
		c.layouts(path+".layouts", e.Layouts)
		c.pair(path+".tls", e.TLS)
		switch {
		case e.UsernameFile != "" && e.PasswordFile == "":
			c.manifest(path+".usernameFile", "needs passwordFile beside it")
		case e.UsernameFile == "" && e.PasswordFile != "":
			c.manifest(path+".passwordFile", "needs usernameFile beside it")
		}
		c.register(path+".register", e)
	}
}

// members checks the URLs of a cluster: all with TLS or none.
func (c *checker) members(path string, e *Etcd) {
	if len(e.Endpoints) == 0 && c.set.Manifest.Written(path+".endpoints") {
		c.manifest(path+".endpoints", "is empty: the URL of at least one member")
	}
	var seen names
	for i, text := range e.Endpoints {
		at := fmt.Sprintf("%s.endpoints[%d]", path, i)
		u, err := url.Parse(text)
		switch {
		case err != nil || !strings.Contains(text, "://"):
			p := c.manifest(at, "%q is no URL", clip(text))
			if Address(text).valid() {
				p.Suggestion = "http://" + text
			}
			continue
		case u.Scheme != "http" && u.Scheme != "https":
			c.manifest(at, "%s:// is not how etcd is reached: http:// or https://", clip(u.Scheme))
			continue
		case u.User != nil:
			c.manifest(at, "has a user in it: usernameFile and passwordFile are for that")
			continue
		case u.Path != "" && u.Path != "/" || u.RawQuery != "" || u.Fragment != "":
			c.manifest(at, "has more than host and port; the keys begin with prefix")
			continue
		}
		host := u.Host
		if u.Port() == "" {
			host += ":2379" // etcd's own
		}
		if err := dialable(host); err != nil {
			c.manifest(at, "%s", err)
			continue
		}
		if u.Scheme == "http" && e.TLS != nil {
			c.manifest(at, "goes without TLS, though tls is given").Suggestion = "https://" + u.Host
		}
		if first, taken := seen.taken(host, c.set.Manifest.Position(at)); taken {
			c.manifest(at, "%s stands in %s already", text, first)
		}
	}
}

func (a Address) valid() bool {
	_, _, err := a.Split()
	return err == nil
}

const maxPrefix = 200

func (c *checker) prefix(path, prefix string) {
	switch {
	case prefix == "":
	case len(prefix) > maxPrefix || strings.ContainsAny(prefix, " \t") || !printable(prefix, maxPrefix):
		c.manifest(path, "must be at most %d printable characters without blanks", maxPrefix)
	case !strings.HasSuffix(prefix, "/"):
		c.manifest(path, "must end in /, so that it is no part of another name").Suggestion = prefix + "/"
	}
}

func (c *checker) layouts(path string, layouts []string) {
	if len(layouts) == 0 {
		c.manifest(path, "is empty: easymicro, rpcx or both")
	}
	for i, layout := range layouts {
		if slices.Index(layouts, layout) < i {
			c.manifest(fmt.Sprintf("%s[%d]", path, i), "%s stands here twice", layout)
		}
	}
}

// knownCluster checks a reference to an entry of discovery.etcd.
func (c *checker) knownCluster(path, name string) {
	var known []string
	if d := c.set.Manifest.Discovery; d != nil {
		for i := range d.Etcd {
			known = append(known, d.Etcd[i].Name)
		}
	}
	if slices.Contains(known, name) {
		return
	}
	if len(known) == 0 {
		c.manifest(path, "there is no discovery.etcd in this manifest")
		return
	}
	c.manifest(path, "there is no %s in discovery.etcd", clip(name)).Suggestion = Suggest(name, known)
}
