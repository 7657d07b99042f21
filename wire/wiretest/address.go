package wiretest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// drawn has the addresses that Address has returned, on which nothing may listen yet.
var drawn sync.Map

// Address returns a loopback address without a listener, never the same twice in a process. Its port is below the default
// ephemeral range, so that a test can close a listener there and listen again.
func Address(t testing.TB) string {
	t.Helper()
	const least, most = 10_000, 30_000
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(least+rand.N(most-least)))
		ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address)
		if err != nil {
			continue
		}
		_ = ln.Close()
		if _, taken := drawn.LoadOrStore(address, true); !taken {
			return address
		}
	}
	t.Fatal("there is no free port")
	return ""
}
