package code

import (
	"fmt"
	"reflect"
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

const maxPanicText = 4 << 10

// PanicText returns the text of a value that was passed to panic, at most 4 KiB of it: of errors, Stringers and values of
// basic kinds. Of others it is the type, since values may contain themselves, and printing such ends the process.
func PanicText(v any) (text string) {
	defer func() {
		if recover() != nil {
			text = fmt.Sprintf("%T, whose text cannot be had: its method panics", v)
		}
	}()
	switch v := v.(type) {
	case error:
		return Clip(v.Error(), maxPanicText)
	case fmt.Stringer:
		return Clip(v.String(), maxPanicText)
	}
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.String:
		return Clip(r.String(), maxPanicText)
	case reflect.Array, reflect.Chan, reflect.Func, reflect.Interface, reflect.Map, reflect.Pointer, reflect.Slice,
		reflect.Struct, reflect.UnsafePointer:
		return fmt.Sprintf("%T", v)
	default:
		return fmt.Sprint(v)
	}
}
