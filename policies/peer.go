package policies

import (
	"fmt"
	"net/netip"
	"strings"
)

// parseNetwork reads a CIDR or a single address.
func parseNetwork(text string) (netip.Prefix, error) {
	if !strings.Contains(text, "/") {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return netip.Prefix{}, fmt.Errorf("peer %q: %w", text, err)
		}
		addr = addr.Unmap().WithZone("")
		return netip.PrefixFrom(addr, addr.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, fmt.Errorf("peer %q: %w", text, err)
	}
	if a := p.Addr(); a.Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(a.Unmap(), p.Bits()-96)
	}
	return p.Masked(), nil
}

func parseNetworks(texts []string) ([]netip.Prefix, error) {
	var networks []netip.Prefix
	for _, text := range texts {
		p, err := parseNetwork(text)
		if err != nil {
			return nil, err
		}
		networks = append(networks, p)
	}
	return networks, nil
}

// networkNarrowness puts networks of both families on one scale: a single address is exact, a network is narrower the
// longer its prefix.
func networkNarrowness(p *netip.Prefix) int32 {
	if p.IsSingleIP() {
		return exactly
	}
	if p.Addr().Is4() {
		return globFloor + int32(p.Bits()) + 96
	}
	return globFloor + int32(p.Bits())
}

func contains(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}
