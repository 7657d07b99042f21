package cli

import (
	"regexp"
	"strconv"
	"strings"
	"unicode"
)

// painted is all that a text may ask of a terminal: the sequences of paint.
var painted = regexp.MustCompile("\x1b\\[[0-9;]{0,8}m")

// clean writes out what a terminal would obey. Names, causes and messages come from peers, who are not to move the
// cursor of whoever looks at them.
func clean(s string) string {
	if strings.IndexFunc(s, commands) < 0 {
		return s
	}
	var b strings.Builder
	for at := 0; at < len(s); {
		next := painted.FindStringIndex(s[at:])
		if next == nil {
			next = []int{len(s) - at, len(s) - at}
		}
		for _, r := range s[at : at+next[0]] {
			writeClean(&b, r)
		}
		b.WriteString(s[at+next[0] : at+next[1]])
		at += next[1]
	}
	return b.String()
}

func writeClean(b *strings.Builder, r rune) {
	if !commands(r) {
		b.WriteRune(r)
		return
	}
	quoted := strconv.QuoteRuneToASCII(r)
	b.WriteString(quoted[1 : len(quoted)-1])
}

// commands tells the runes that a terminal obeys; lines may be ended.
func commands(r rune) bool {
	return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
}
