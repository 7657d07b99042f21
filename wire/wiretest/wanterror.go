package wiretest

import (
	"errors"
	"testing"

	"github.com/easymicro/easymicro/wire/code"
)

// WantError ends a test whose call did not fail with that code and that reason, and returns the error.
func WantError(t testing.TB, err error, c code.Code, reason string) *code.Error {
	t.Helper()
	var e *code.Error
	if !errors.As(err, &e) {
		t.Fatalf("got error %v, want %s/%s", err, c, reason)
	}
	if e.Code != c || e.Reason != reason {
		t.Fatalf("got %s/%s (%v), want %s/%s", e.Code, e.Reason, err, c, reason)
	}
	return e
}
