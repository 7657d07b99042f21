package wire_test

import (
	"testing"

	"go.uber.org/goleak"

	"github.com/easymicro/easymicro/wire"
)

// The msgpack decoder keeps a goroutine for each type of an embedded pointer. The shared zstd coders are created before any
// test, since those created in a synctest bubble could not be used outside of it.
func TestMain(m *testing.M) {
	packed, err := wire.AppendCompressed(nil, wire.Zstd, []byte("text"))
	if err != nil {
		panic(err)
	}
	if _, err := wire.Decompress(nil, wire.Zstd, packed, 4); err != nil {
		panic(err)
	}
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/vmihailenco/msgpack/v5.cachedValue.func1"))
}
