package registry

import (
	"regexp"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// line matches the line number of a position.
var line = regexp.MustCompile(`:\d+$`)

// mustPanic returns what do panicked with, as text.
func mustPanic(t *testing.T, do func()) (text string) {
	t.Helper()
	defer func() {
		r := recover()
		if r == nil {
			t.Fatal("did not panic")
		}
		text, _ = r.(string)
	}()
	do()
	return ""
}
