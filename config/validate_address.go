package config

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// endpoint is an address of the host in a form that can be compared.
type endpoint struct {
	path    string // of the field
	text    Address
	network string
	host    string // or the path of a socket; * is every address of the machine
	port    int
}

// addresses checks the addresses of the host, and that no two of them are one.
func (c *checker) addresses() {
	m := c.set.Manifest
	var all []endpoint
	for i, l := range m.Listeners {
		all = append(all, endpoint{path: fmt.Sprintf("listeners[%d].address", i), text: l.Address})
	}
	all = append(all, endpoint{path: "admin.address", text: m.Admin.Address}, endpoint{path: "health.address", text: m.Health.Address})
	// Defaults come first: who wrote an address is told, at its place, of the default that is in its way.
	slices.SortStableFunc(all, func(a, b endpoint) int { return cmp.Compare(c.given(a.path), c.given(b.path)) })
	var taken []endpoint
	for _, e := range all {
		if !c.locate(&e) {
			continue
		}
		if i := slices.IndexFunc(taken, e.conflicts); i >= 0 {
			c.manifest(e.path, "%s is taken by %s", e.text, c.owner(&taken[i], e.text))
			continue
		}
		taken = append(taken, e)
	}
}

// given is 0 for a field that has its default, else 1.
func (c *checker) given(path string) int {
	m := c.set.Manifest
	if m.Written(path) || m.sources[path] != "" {
		return 1
	}
	return 0
}

// owner names the field that has the address, where it stands, and what it says if that is not the same.
func (c *checker) owner(e *endpoint, text Address) string {
	where := "default"
	if c.given(e.path) == 1 {
		where = c.set.Manifest.Position(e.path).String()
	}
	if e.text != text {
		return fmt.Sprintf("%s %s (%s)", e.path, e.text, where)
	}
	return fmt.Sprintf("%s (%s)", e.path, where)
}

// locate fills in where e is; false when that is nowhere or cannot be taken by anything else.
func (c *checker) locate(e *endpoint) bool {
	if e.text == "" && !strings.HasPrefix(e.path, "listeners") {
		return false // off
	}
	network, address, err := e.text.Split()
	switch {
	case errors.Is(err, ErrAddressLater):
		c.manifest(e.path, "not supported yet: %s", e.text)
		return false
	case err != nil:
		c.manifest(e.path, "%s", err)
		return false
	}
	e.network = network
	if network == "unix" {
		if e.host = filepath.Clean(address); !filepath.IsAbs(address) {
			e.host = filepath.Join(c.set.Dir, address)
		}
		return true
	}
	host, port, _ := net.SplitHostPort(address)
	e.host = sameHost(host)
	e.port, _ = strconv.Atoi(port)
	return e.port != 0
}

// sameHost is one name for the spellings of a host that are known without asking anybody.
func sameHost(host string) string {
	host = strings.ToLower(host)
	if host == "localhost" {
		return "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	switch {
	case host == "" || (err == nil && ip.Unmap().IsUnspecified()):
		return "*"
	case err == nil:
		return ip.Unmap().String()
	}
	return host
}

// conflicts tells that a host cannot listen on both.
func (e *endpoint) conflicts(other endpoint) bool {
	if e.network != other.network || e.port != other.port {
		return false
	}
	return e.host == other.host || (e.network == "tcp" && (e.host == "*" || other.host == "*"))
}
