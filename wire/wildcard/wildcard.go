// Package wildcard matches names against patterns, in which * matches any text and every other character for itself.
package wildcard

import "strings"

// Match reports whether pattern matches the whole of s. It takes time linear in the two.
func Match(pattern, s string) bool {
	part, rest, star := strings.Cut(pattern, "*")
	if !star {
		return s == pattern
	}
	s, ok := strings.CutPrefix(s, part)
	if !ok {
		return false
	}
	for {
		if part, rest, star = strings.Cut(rest, "*"); !star {
			return strings.HasSuffix(s, part)
		}
		// The first match leaves the most for the rest of the pattern, so that there is no backtracking.
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
}

// MatchAny reports whether one of the patterns matches the whole of s.
func MatchAny(patterns []string, s string) bool {
	for _, p := range patterns {
		if Match(p, s) {
			return true
		}
	}
	return false
}

// Covers reports whether wide matches every text that narrow matches.
func Covers(wide, narrow string) bool {
	// Only a star of wide matches a star, so matching narrow as text is enough.
	return Match(wide, narrow)
}

// Overlap reports whether there is a text that both patterns match.
func Overlap(a, b string) bool {
	i, j := strings.IndexByte(a, '*'), strings.IndexByte(b, '*')
	switch {
	case i < 0:
		return Match(b, a)
	case j < 0:
		return Match(a, b)
	}
	// If both have a star, only their fixed ends can conflict: everything between them fits the other's stars.
	n := min(i, j)
	x, y := a[strings.LastIndexByte(a, '*')+1:], b[strings.LastIndexByte(b, '*')+1:]
	m := min(len(x), len(y))
	return a[:n] == b[:n] && x[len(x)-m:] == y[len(y)-m:]
}

// Common returns a pattern of texts that both patterns match, if they overlap. whole reports whether it matches all
// of them.
func Common(a, b string) (pattern string, whole bool) {
	switch {
	case Covers(a, b):
		return b, true
	case Covers(b, a):
		return a, true
	}
	// Neither is exact. The middle of a comes first; the other order would be as good.
	prefix, x, suffix := ends(a)
	first, y, last := ends(b)
	if len(first) > len(prefix) {
		prefix = first
	}
	if len(last) > len(suffix) {
		suffix = last
	}
	return prefix + x + y + suffix, false
}

// ends returns the fixed ends of a pattern with stars, and what is between them, stars included.
func ends(pattern string) (prefix, between, suffix string) {
	i, j := strings.IndexByte(pattern, '*'), strings.LastIndexByte(pattern, '*')
	return pattern[:i], pattern[i : j+1], pattern[j+1:]
}

// IsExact reports whether the pattern has no star.
func IsExact(pattern string) bool { return strings.IndexByte(pattern, '*') < 0 }
