package policies

import (
	"cmp"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/wire/wildcard"
)

// glob is a compiled pattern: text, with * for any text (none included).
type glob struct {
	text       string
	exact      bool
	prefix     string // before the first *
	suffix     string // behind the last *
	literal    int    // length without the stars
	narrowness int
}

func compileGlob(text string) glob {
	g := glob{text: text, literal: len(text) - strings.Count(text, "*"), narrowness: config.Narrowness(text)}
	if g.exact = g.literal == len(text); !g.exact {
		g.prefix, g.suffix = text[:strings.IndexByte(text, '*')], text[strings.LastIndexByte(text, '*')+1:]
	}
	return g
}

func compileGlobs(patterns []string) []glob {
	globs := make([]glob, len(patterns))
	for i, p := range patterns {
		globs[i] = compileGlob(p)
	}
	return globs
}

func (g *glob) matches(s string) bool {
	if g.exact {
		return g.text == s
	}
	return len(s) >= g.literal && wildcard.Match(g.text, s)
}

// patternSet is a list of patterns that may be long: a map of exact texts, and a walk over globs.
type patternSet struct {
	exact map[string]bool
	globs []glob
}

func newPatternSet(texts []string) patternSet {
	var p patternSet
	for _, text := range texts {
		g := compileGlob(text)
		if !g.exact {
			p.globs = append(p.globs, g)
			continue
		}
		if p.exact == nil {
			p.exact = make(map[string]bool)
		}
		p.exact[text] = true
	}
	return p
}

func (p *patternSet) empty() bool { return len(p.exact)+len(p.globs) == 0 }

func (p *patternSet) match(s string) bool { return p.exact[s] || matchesAny(p.globs, s) }

// narrowest returns the narrowness of the narrowest pattern that matches s, if one does: 0 without patterns.
func (p *patternSet) narrowest(s string) (int, bool) {
	if p.exact[s] {
		return config.Exact, true
	}
	if len(p.globs) == 0 {
		return 0, len(p.exact) == 0
	}
	return narrowest(p.globs, s)
}

// list returns all patterns.
func (p *patternSet) list() []glob {
	list := slices.Clone(p.globs)
	for text := range p.exact {
		list = append(list, compileGlob(text))
	}
	return list
}

func matchesAny(globs []glob, s string) bool {
	for i := range globs {
		if globs[i].matches(s) {
			return true
		}
	}
	return false
}

func allExact(globs []glob) bool {
	return len(globs) > 0 && !slices.ContainsFunc(globs, func(g glob) bool { return !g.exact })
}

// overlap reports whether there is a text that both match.
func (g *glob) overlap(o *glob) bool { return wildcard.Overlap(g.text, o.text) }

// rank has the narrowness with which a rule matches a call, for each field in the order of comparison. The larger one is
// narrower.
type rank struct {
	method, service, caller, claims, peer, upstream int
}

// narrowest returns the narrowness of the narrowest pattern that matches s, if one does: 0 without patterns.
func narrowest(globs []glob, s string) (int, bool) {
	if len(globs) == 0 {
		return 0, true
	}
	best := 0
	for i := range globs {
		if globs[i].matches(s) {
			best = max(best, globs[i].narrowness)
		}
	}
	return best, best > 0
}

// compareRanks is negative if a is narrower, and so evaluated first.
func compareRanks(a, b rank) int {
	return cmp.Or(cmp.Compare(b.method, a.method), cmp.Compare(b.service, a.service), cmp.Compare(b.caller, a.caller),
		cmp.Compare(b.claims, a.claims), cmp.Compare(b.peer, a.peer), cmp.Compare(b.upstream, a.upstream))
}

// parseNetwork parses a CIDR or a single address.
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

func contains(networks []netip.Prefix, a netip.Addr) bool {
	return slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(a) })
}

// shortList shortens long lists.
func shortList(patterns []string) string {
	const most = 5
	if len(patterns) > most {
		return strings.Join(patterns[:most], ", ") + ", …"
	}
	return strings.Join(patterns, ", ")
}
