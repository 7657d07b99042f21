// Package wildcard matches names against patterns in which * matches any text and other characters match themselves.
package wildcard

import "strings"

// Match reports whether pattern matches all of s. It never backtracks.
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
		// The first match leaves the most for the rest of the pattern, so no other need be tried.
		i := strings.Index(s, part)
		if i < 0 {
			return false
		}
		s = s[i+len(part):]
	}
}

// MatchAny reports whether any of the patterns matches all of s.
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
	// Only a star of wide matches a star, so a star in narrow represents any text.
	return Match(wide, narrow)
}

// Overlap reports whether some text matches both patterns.
func Overlap(a, b string) bool {
	i, j := strings.IndexByte(a, '*'), strings.IndexByte(b, '*')
	switch {
	case i < 0:
		return Match(b, a)
	case j < 0:
		return Match(a, b)
	}
	// Both have stars: only their fixed ends can conflict, since what is between the ends of one fits into a star of the
	// other.
	n := min(i, j)
	x, y := a[strings.LastIndexByte(a, '*')+1:], b[strings.LastIndexByte(b, '*')+1:]
	m := min(len(x), len(y))
	return a[:n] == b[:n] && x[len(x)-m:] == y[len(y)-m:]
}

// Common returns a pattern for texts that match both patterns, which must overlap. whole reports whether it covers all of
// them.
func Common(a, b string) (pattern string, whole bool) {
	switch {
	case Covers(a, b):
		return b, true
	case Covers(b, a):
		return a, true
	}
	// Both have stars. The middle of a could as well follow that of b, so this covers only some of the texts.
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

// ends returns the fixed ends of a pattern with stars, and what is between them, including the outer stars.
func ends(pattern string) (prefix, between, suffix string) {
	i, j := strings.IndexByte(pattern, '*'), strings.LastIndexByte(pattern, '*')
	return pattern[:i], pattern[i : j+1], pattern[j+1:]
}

// IsExact reports whether the pattern has no star, so that it only matches itself.
func IsExact(pattern string) bool { return strings.IndexByte(pattern, '*') < 0 }
