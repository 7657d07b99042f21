package wire_test

import (
	"testing"

	"go.uber.org/goleak"
)

// The msgpack decoder keeps a goroutine for each type of an embedded pointer.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/vmihailenco/msgpack/v5.cachedValue.func1"))
}
