package etcd

import (
	"encoding/binary"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/easymicro/easymicro/wire/client"
)

// Kinds of addresses that are accepted from etcd only if Options.AllowEndpoints lists them. Anyone who can write a key
// could otherwise make this host call its own machine, or the metadata service of a cloud.
const (
	KindLoopback  = "loopback"
	KindLinkLocal = "linkLocal"
	KindUnix      = "unix"
)

// trust determines which endpoints in etcd may be called.
type trust struct {
	allow     []string // kinds
	host      string   // name of this host
	etcdLocal bool     // etcd itself is on loopback
	owns      func(key string, n node) bool
	log       *slog.Logger

	mu     sync.Mutex
	logged map[string]bool // rejections that were logged, by key and address
}

const maxLoggedRejections = 1000

// accepts reports whether an endpoint may be called, and returns the kind of its address.
func (t *trust) accepts(key string, n node) (kind string, ok bool) {
	kind = addressKind(n.Network, n.Address)
	return kind, kind == "" || t.allows(kind, key, n)
}

// allows reports whether the endpoint of a key may have an address of this kind.
func (t *trust) allows(kind, key string, n node) bool {
	return slices.Contains(t.allow, kind) || t.owns(key, n) ||
		kind == KindLoopback && (t.etcdLocal || t.host != "" && n.host == t.host)
}

// checked returns the endpoint of n. If its address is a name, the addresses that it resolves to are checked at each dial.
func (t *trust) checked(key string, n node) client.Endpoint {
	e := n.Endpoint
	host, _, err := net.SplitHostPort(e.Address)
	if _, notIP := netip.ParseAddr(host); e.Network == "unix" || err != nil || notIP == nil {
		return e
	}
	e.Check = func(ip netip.Addr) error {
		kind := ipKind(ip)
		if kind == "" || t.allows(kind, key, n) {
			return nil
		}
		if t.isNew(key + " " + ip.String()) {
			t.log.Warn("endpoint from etcd not called: its name resolves to an address that discovery.etcd[].allowEndpoints does not allow",
				"service", n.service, "endpoint", n.Address, "address", ip.String(), "kind", kind, "key", key)
		}
		return fmt.Errorf("resolves to %s, a %s address, which discovery.etcd[].allowEndpoints does not allow", ip, kind)
	}
	return e
}

// isNew reports whether a rejection has not been logged yet.
func (t *trust) isNew(rejection string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.logged[rejection] || len(t.logged) >= maxLoggedRejections {
		return false
	}
	if t.logged == nil {
		t.logged = map[string]bool{}
	}
	t.logged[rejection] = true
	return true
}

// addressKind returns the kind of an address that must be allowed explicitly, and "" for all others.
func addressKind(network, address string) string {
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
		ip, _ = parseLegacyIPv4(host)
	}
	return ipKind(ip)
}

func ipKind(ip netip.Addr) string {
	switch ip = ip.Unmap(); {
	case ip.IsLoopback(), ip.IsUnspecified():
		return KindLoopback
	case ip.IsLinkLocalUnicast(), ip.IsLinkLocalMulticast():
		return KindLinkLocal
	}
	return ""
}

// parseLegacyIPv4 parses an IPv4 address as inet_aton does, which some resolvers use: 127.1, 0x7f000001, 169.254.43518.
func parseLegacyIPv4(host string) (ip netip.Addr, ok bool) {
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
