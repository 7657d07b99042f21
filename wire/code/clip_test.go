package code

import (
	"strings"
	"testing"
	"unicode/utf8"
)

func TestTextIsCutBetweenCharacters(t *testing.T) {
	for _, tc := range []struct {
		text  string
		limit int
		want  string
	}{
		{"", 0, ""},
		{"short", 5, "short"},
		{"longer", 5, "lo…"},
		{"üüü", 6, "üüü"},
		{"üüüü", 6, "ü…"}, // the limit falls between two bytes of a ü
		{"日本語", 8, "日…"},
		{"a😀😀", 8, "a😀…"},
		{"a😀😀", 7, "a…"},
		{"ab\xffcd", 10, "ab\uFFFDcd"},
		{"ab\xff", 3, "…"}, // valid it is longer than it was
		{"abc\xe6\x97", 5, "ab…"},
		{"\x80\x80\x80\x80\x80\x80\x80\x80", 6, "\uFFFD…"},
		{"abc", 2, "ab"}, // no room for the mark
		{"üü", 1, ""},
		{"abc", -1, ""},
	} {
		if got := Clip(tc.text, tc.limit); got != tc.want {
			t.Errorf("Clip(%q, %d) = %q, want %q", tc.text, tc.limit, got, tc.want)
		}
	}
}

func TestTextThatFitsIsNotCopied(t *testing.T) {
	text := strings.Repeat("ü", 100)
	if n := testing.AllocsPerRun(100, func() { text = Clip(text, 200) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzClip(f *testing.F) {
	f.Add("a😀\xe6\x97日", 7)
	f.Fuzz(func(t *testing.T, s string, limit int) {
		limit = min(max(limit, 0), 1<<10)
		got := Clip(s, limit)
		if len(got) > limit || !utf8.ValidString(got) {
			t.Errorf("Clip(%q, %d) = %q", s, limit, got)
		}
		if len(s) <= limit && utf8.ValidString(s) && got != s {
			t.Errorf("Clip(%q, %d) changed what fits: %q", s, limit, got)
		}
	})
}
