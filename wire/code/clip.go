package code

import (
	"strings"
	"unicode/utf8"
)

// Clip returns s as valid UTF-8 of at most limit bytes, for texts that a peer, a handler or a file may choose. What is
// too long ends in "…", which counts, and never in half a character. Bytes that are no UTF-8 become U+FFFD.
func Clip(s string, limit int) string {
	if len(s) <= limit && utf8.ValidString(s) {
		return s
	}
	cut := len(s) > limit
	s = strings.ToValidUTF8(s[:boundary(s, limit)], "\uFFFD")
	if !cut && len(s) <= limit {
		return s
	}
	const more = "…"
	if limit < len(more) {
		return s[:boundary(s, limit)]
	}
	return s[:boundary(s, limit-len(more))] + more
}

// boundary is the end of the last character that stands wholly within the first limit bytes of s.
func boundary(s string, limit int) int {
	limit = max(limit, 0)
	if limit >= len(s) {
		return len(s)
	}
	for back := range utf8.UTFMax {
		if back <= limit && utf8.RuneStart(s[limit-back]) {
			return limit - back
		}
	}
	return limit // in the middle of bytes that are no UTF-8
}
