package etcd

import (
	"encoding/binary"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/easymicro/easymicro/wire/client"
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
	if host == "localhost" || strings.HasSuffix(host, ".localhost") {
		return KindLoopback
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		ip, _ = numbers(host)
	}
	return kindOfIP(ip)
}

func kindOfIP(ip netip.Addr) string {
	switch ip = ip.Unmap(); {
	case ip.IsLoopback(), ip.IsUnspecified():
		return KindLoopback
	case ip.IsLinkLocalUnicast(), ip.IsLinkLocalMulticast():
		return KindLinkLocal
	}
	return ""
}

// numbers reads an IPv4 address as some resolvers do: 127.1, 0x7f000001 and 169.254.43518 are addresses to them.
func numbers(host string) (ip netip.Addr, ok bool) {
	parts := strings.Split(host, ".")
	if len(parts) > 4 {
		return ip, false
	}
	var all uint64
	for i, part := range parts {
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (4 - i)
		}
		n, err := strconv.ParseUint(part, 0, 32)
		if err != nil || n >= 1<<bits {
			return ip, false
		}
		all = all<<bits | n
	}
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, uint32(all)))), true
}

// believes reports whether an endpoint that a key names may be called.
func (c *Cluster) believes(key string, n *node) (kind string, ok bool) {
	kind = kindOf(n.Network, n.Address)
	return kind, kind == "" || c.trusts(kind, key, n)
}

// trusts reports whether the endpoint of a key may have an address of a kind.
func (c *Cluster) trusts(kind, key string, n *node) bool {
	return slices.Contains(c.o.AllowEndpoints, kind) || c.registry.owns(key, n) ||
		kind == KindLoopback && (c.o.onLoopback() || c.o.Host != "" && n.host == c.o.Host)
}

// checked has the addresses that a name resolves to checked, each time the endpoint is dialled.
func (c *Cluster) checked(key string, n node) client.Endpoint {
	e := n.Endpoint
	host, _, err := net.SplitHostPort(e.Address)
	if _, is := netip.ParseAddr(host); e.Network == "unix" || err != nil || is == nil {
		return e
	}
	e.Check = func(ip netip.Addr) error {
		kind := kindOfIP(ip)
		if kind == "" || c.trusts(kind, key, &n) {
			return nil
		}
		if c.refusals.news(key + " " + ip.String()) {
			c.log.Warn("an endpoint in etcd is not called: its name resolves to an address of a kind that discovery.etcd[].allowEndpoints does not have",
				"service", n.service, "endpoint", n.Address, "address", ip.String(), "kind", kind, "key", key)
		}
		return fmt.Errorf("it resolves to %s, of the kind %s, which discovery.etcd[].allowEndpoints does not have", ip, kind)
	}
	return e
}

// refusals are the endpoints of which the log has been told that they are not called.
type refusals struct {
	mu   sync.Mutex
	told map[string]bool
}

const mostRefusals = 1000

// news reports whether a refusal is one that the log does not have yet.
func (r *refusals) news(what string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.told[what] || len(r.told) >= mostRefusals {
		return false
	}
	if r.told == nil {
		r.told = map[string]bool{}
	}
	r.told[what] = true
	return true
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
