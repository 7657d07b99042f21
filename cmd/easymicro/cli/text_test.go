package cli

import (
	"testing"
	"testing/synctest"
	"time"
)

func TestControlCharactersAreEscaped(t *testing.T) {
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

func TestCellsAreAligned(t *testing.T) {
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

func TestSpansHaveTwoUnits(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 0: "0s", 59 * time.Second: "59s", 61 * time.Second: "1m01s", time.Hour: "1h00m",
		25*time.Hour + 3*time.Minute: "1d01h",
	} {
		if got := span(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
}

func TestAgo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for d, want := range map[time.Duration]string{-time.Minute: "just now", time.Millisecond: "just now", 90 * time.Second: "1m30s ago"} {
			if got := ago(time.Now().Add(-d)); got != want {
				t.Errorf("%v: %s, want %s", d, got, want)
			}
		}
		if got := ago(time.Time{}); got != "never" {
			t.Error(got)
		}
		if got, want := ago(time.Now().Add(-72*time.Hour)), time.Now().Add(-72*time.Hour).Local().Format("2006-01-02 15:04"); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	})
}
