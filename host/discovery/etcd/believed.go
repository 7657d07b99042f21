package etcd

import (
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
)

// Kinds of addresses that are believed from etcd only where Options.AllowEndpoints has them: whoever may write a key could
// otherwise have this host call its own machine, or the services that a cloud has there.
const (
	KindLoopback  = "loopback"
	KindLinkLocal = "linkLocal"
	KindUnix      = "unix"
)

// kindOf returns the kind of an address that has to be allowed; empty for all others.
func kindOf(network, address string) string {
	if network == "unix" {
		return KindUnix
	}
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return ""
	}
	host = strings.ToLower(strings.TrimSuffix(host, "."))
	ip, err := netip.ParseAddr(host)
	if err != nil {
		// Some resolvers read 127.1 and 0x7f000001 as addresses.
		if host == "localhost" || strings.HasSuffix(host, ".localhost") || isNumber(host[strings.LastIndexByte(host, '.')+1:]) {
			return KindLoopback
		}
		return ""
	}
	switch ip = ip.Unmap(); {
	case ip.IsLoopback(), ip.IsUnspecified():
		return KindLoopback
	case ip.IsLinkLocalUnicast(), ip.IsLinkLocalMulticast():
		return KindLinkLocal
	}
	return ""
}

func isNumber(label string) bool {
	digits, set := label, "0123456789"
	if hex, ok := strings.CutPrefix(label, "0x"); ok {
		digits, set = hex, set+"abcdef"
	}
	return strings.Trim(digits, set) == ""
}

// believes reports whether an endpoint that a key names may be called.
func (c *Cluster) believes(key string, n *node) (kind string, ok bool) {
	kind = kindOf(n.Network, n.Address)
	switch {
	case kind == "" || slices.Contains(c.o.AllowEndpoints, kind) || c.registry.owns(key):
		return "", true
	case kind == KindLoopback && (c.o.onLoopback() || c.o.Host != "" && n.host == c.o.Host):
		return "", true
	}
	return kind, false
}

// onLoopback reports whether etcd itself is on this machine.
func (o *Options) onLoopback() bool {
	return !slices.ContainsFunc(o.Endpoints, func(text string) bool {
		u, err := url.Parse(text)
		return err != nil || kindOf("tcp", net.JoinHostPort(u.Hostname(), "1")) != KindLoopback
	})
}

// LeftOut is an endpoint that is not believed.
type LeftOut struct {
	Service, Address string
	Kind             string // loopback, linkLocal or unix
}

// leftOut are the endpoints that are not believed, by service and address.
func (t *table) leftOut() []LeftOut {
	t.mu.Lock()
	defer t.mu.Unlock()
	var list []LeftOut
	for _, s := range t.layouts {
		for _, n := range s.keys {
			if n.kind != "" {
				list = append(list, LeftOut{n.service, n.Address, n.kind})
			}
		}
	}
	slices.SortFunc(list, func(a, b LeftOut) int { return strings.Compare(a.Service+" "+a.Address, b.Service+" "+b.Address) })
	return slices.Compact(list)
}

// knowsLeftOut reports whether a key was left out before.
func (t *table) knowsLeftOut(layout int, key string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.layouts[layout].keys[key].kind != ""
}
