package cli

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/easymicro/easymicro/host/admin"
)

// painted matches the only escape sequences that a text may contain: those of printer.paint.
var painted = regexp.MustCompile("\x1b\\[[0-9;]{0,8}m")

// clean escapes control characters. Peers choose names, causes and messages, and must not control the user's terminal.
func clean(s string) string {
	if strings.IndexFunc(s, isControl) < 0 {
		return s
	}
	var b strings.Builder
	for at := 0; at < len(s); {
		next := painted.FindStringIndex(s[at:])
		if next == nil {
			next = []int{len(s) - at, len(s) - at}
		}
		for _, r := range s[at : at+next[0]] {
			if !isControl(r) {
				b.WriteRune(r)
				continue
			}
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		}
		b.WriteString(s[at+next[0] : at+next[1]])
		at += next[1]
	}
	return b.String()
}

// isControl reports whether a terminal interprets r; line feeds do not count.
func isControl(r rune) bool {
	return r != '\n' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r))
}

// width returns the number of columns that s takes on a terminal.
func width(s string) int {
	s = painted.ReplaceAllString(s, "")
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

func runeWidth(r rune) int {
	const joiner = '\u200d'
	switch {
	case r < utf8.RuneSelf:
		return 1
	case r == joiner, unicode.In(r, unicode.Mn, unicode.Me, unicode.Cf):
		return 0
	case unicode.Is(wide, r):
		return 2
	}
	return 1
}

// wide holds the runes that take two columns: East Asian scripts with their full-width forms, and emoji (Unicode Standard
// Annex 11, classes W and F).
var wide = &unicode.RangeTable{
	R16: []unicode.Range16{
		{Lo: 0x1100, Hi: 0x115f, Stride: 1},
		{Lo: 0x231a, Hi: 0x231b, Stride: 1},
		{Lo: 0x23e9, Hi: 0x23ec, Stride: 1},
		{Lo: 0x2e80, Hi: 0x303e, Stride: 1},
		{Lo: 0x3041, Hi: 0x4dbf, Stride: 1},
		{Lo: 0x4e00, Hi: 0xa4cf, Stride: 1},
		{Lo: 0xa960, Hi: 0xa97f, Stride: 1},
		{Lo: 0xac00, Hi: 0xd7a3, Stride: 1},
		{Lo: 0xf900, Hi: 0xfaff, Stride: 1},
		{Lo: 0xfe30, Hi: 0xfe6f, Stride: 1},
		{Lo: 0xff00, Hi: 0xff60, Stride: 1},
		{Lo: 0xffe0, Hi: 0xffe6, Stride: 1},
	},
	R32: []unicode.Range32{
		{Lo: 0x16fe0, Hi: 0x18cff, Stride: 1},
		{Lo: 0x1b000, Hi: 0x1b2ff, Stride: 1},
		{Lo: 0x1f300, Hi: 0x1f64f, Stride: 1},
		{Lo: 0x1f680, Hi: 0x1f6ff, Stride: 1},
		{Lo: 0x1f900, Hi: 0x1f9ff, Stride: 1},
		{Lo: 0x20000, Hi: 0x3fffd, Stride: 1},
	},
}

// ago formats a past time for people: "12s ago".
func ago(t time.Time) string {
	switch d := time.Since(t); {
	case t.IsZero():
		return "never"
	case d < time.Second:
		return "just now"
	case d > 48*time.Hour:
		return t.Local().Format("2006-01-02 15:04")
	default:
		return span(d) + " ago"
	}
}

// span formats a duration in its two largest units.
func span(d time.Duration) string {
	const day = 24 * time.Hour
	switch d = max(d, 0); {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < day:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	}
	return fmt.Sprintf("%dd%02dh", d/day, d%day/time.Hour)
}

// orDash replaces an empty cell.
func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}

// count formats a count: "no rules", "1 rule", "2 rules".
func count(n int, thing string) string {
	switch {
	case n == 1:
		return "1 " + thing
	case n == 0:
		return "no " + thing + "s"
	}
	return fmt.Sprintf("%d %ss", n, thing)
}

// few joins words; beyond most it counts the others: "a, b, 7 more".
func few(words []string, most int) string {
	if more := len(words) - most; more > 0 {
		words = append(words[:most:most], fmt.Sprintf("%d more", more))
	}
	return strings.Join(words, ", ")
}

// shapeText formats a shape on one line: {a integer, b integer}.
func shapeText(s *admin.Shape, depth int) string {
	const deep = 3
	switch {
	case s.Type == "object" && depth < deep:
		fields := make([]string, len(s.Fields))
		for i := range s.Fields {
			fields[i] = s.Fields[i].Name + " " + shapeText(&s.Fields[i].Shape, depth+1)
		}
		return "{" + strings.Join(fields, ", ") + "}"
	case s.Items != nil && depth < deep:
		return s.Type + " of " + shapeText(s.Items, depth+1)
	}
	return s.Type
}
