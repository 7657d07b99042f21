package wiretest

import (
	"math/rand/v2"
	"net"
	"strconv"
	"sync"
	"testing"
)

// drawn are the addresses that Address has given in this process: who asked for one need not listen there yet.
var drawn sync.Map

// Address is one on loopback where nobody listens. Its port is none of those that the system hands out, as long as its
// ip_local_port_range begins above 30000, as it does by default: so that who stops listening there can come back. No
// address is given twice in a process.
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
