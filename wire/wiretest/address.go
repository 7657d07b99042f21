package wiretest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"testing"
)

// Address is one on loopback where nobody listens. Its port is none of those that the system hands out, so that who
// stops listening there can come back.
func Address(t testing.TB) string {
	t.Helper()
	const least, most = 10_000, 30_000
	for range 100 {
		address := net.JoinHostPort("127.0.0.1", strconv.Itoa(least+rand.N(most-least)))
		if ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", address); err == nil {
			_ = ln.Close()
			return address
		}
	}
	t.Fatal("there is no free port")
	return ""
}
