package code_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

type (
	word   string
	broken struct{}
)

func (broken) Error() string {
	inner := []any{nil}
	inner[0] = inner
	panic(inner)
}

func TestPanicText(t *testing.T) {
	list, table := []any{nil}, map[string]any{}
	list[0], table["self"] = list, table
	for _, tc := range []struct {
		value any
		want  string
	}{
		{nil, "<nil>"},
		{"out of range", "out of range"},
		{word("named"), "named"},
		{errors.New("an error"), "an error"},
		{time.Second, "1s"},
		{42, "42"},
		{1.5, "1.5"},
		{true, "true"},
		{list, "[]interface {}"},
		{table, "map[string]interface {}"},
		{&list, "*[]interface {}"},
		{struct{ self any }{list}, "struct { self interface {} }"},
		{broken{}, "code_test.broken, whose Error or String method panics"},
		{(*broken)(nil), "*code_test.broken, whose Error or String method panics"},
	} {
		if got := code.PanicText(tc.value); got != tc.want {
			t.Errorf("got %q, want %q", got, tc.want)
		}
	}
	if n := len(code.PanicText(strings.Repeat("x", 1<<20))); n > 4<<10 {
		t.Errorf("%d bytes of a long one", n)
	}
}
