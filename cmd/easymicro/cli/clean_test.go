package cli

import "testing"

func TestTextFromOthersMovesNoCursor(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"plain → текст 文\nnext", "plain → текст 文\nnext"},
		{"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m"},
		{"a\x1b[2Jb\x1b]0;title\x07", `a\x1b[2Jb\x1b]0;title\a`},
		{"\x1b[1;31mx\x1b[Hy\r\u009b2J", "\x1b[1;31mx" + `\x1b[Hy\r\u009b2J`},
		{"\u202eturned", `\u202eturned`},
		{"\x1b", `\x1b`},
	} {
		if got := clean(tt.in); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.in, got, tt.want)
		}
	}
}

func TestCellsStandBelowEachOther(t *testing.T) {
	got := aligned([][]string{
		{"NAME", "STATE", "LAST"},
		{"\x1b[1marith\x1b[0m", "文字", "x"},
		{"ein\u0301", "👍 ok", "a\nb"},
		{"a row with a long last cell"},
	})
	want := []string{
		"NAME    STATE   LAST",
		"\x1b[1marith\x1b[0m   文字    x",
		"ein\u0301     👍 ok   a\\nb",
		"a row with a long last cell",
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("got  %q\nwant %q", got[i], want[i])
		}
	}
}
