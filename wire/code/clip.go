package code

import (
	"strings"
	"unicode/utf8"
)

// Clip returns s as valid UTF-8 of at most limit bytes. A longer text is cut between characters and ends in "…", which
// counts. Invalid bytes become U+FFFD. Use it for untrusted texts.
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

// boundary returns the end of the last character that lies within the first limit bytes of s.
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
	return limit // within invalid UTF-8
}
