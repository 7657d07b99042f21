package config

import (
	"maps"
	"slices"

	"github.com/easymicro/easymicro/wire/wildcard"
)

// Claims selects calls by claims of the caller, by name: for each of them, one of the patterns must match its value. A claim that the
// caller does not have matches no pattern, not even *.
type Claims map[string]Patterns

// namePath returns the path at which the position of a name is kept, whose patterns are at path.
func namePath(path string) string { return path + ".(name)" }

// Names returns the names of the claims, sorted.
func (c Claims) Names() []string { return slices.Sorted(maps.Keys(c)) }

// Match reports whether all claims match a caller with the given ones.
func (c Claims) Match(have map[string]string) bool {
	for name, patterns := range c {
		if value, ok := have[name]; !ok || !patterns.match(value) {
			return false
		}
	}
	return true
}

// cover reports whether c matches all callers that narrow matches.
func (c Claims) cover(narrow Claims) bool {
	for name, patterns := range c {
		n := narrow[name]
		if len(n) == 0 || !slices.Equal(patterns, n) && !allCovered(patterns, n, wildcard.Covers) {
			return false
		}
	}
	return true
}

// apart returns a claim of which no value matches both; "" if there is none, or if the lists are too long to compare.
func (c Claims) apart(other Claims) string {
	const most = 10_000
	for _, name := range c.Names() {
		ours, theirs := c[name], other[name]
		if n := len(ours) * len(theirs); n > 0 && n <= most && !slices.ContainsFunc(ours, func(p string) bool { return mayOverlap(p, theirs) }) {
			return name
		}
	}
	return ""
}

// equal reports whether both are written alike.
func (c Claims) equal(other Claims) bool { return maps.EqualFunc(c, other, slices.Equal[Patterns]) }

// widths returns in how many ways the patterns differ in their narrowness: a call is matched in one of them.
func (c Claims) widths() int {
	n := 1
	for _, patterns := range c {
		different := make(map[int]bool)
		for _, p := range patterns {
			different[Narrowness(p)] = true
		}
		n *= max(1, len(different))
	}
	return n
}
