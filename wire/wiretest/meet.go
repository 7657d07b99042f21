package wiretest

import (
	"net"
	"sync"
	"testing"
)

// Meet listens on a port of the system's choice until the test ends, and returns its address. It gives each connection to
// meet, one after the other, and closes it then.
func Meet(t testing.TB, meet func(net.Conn)) string {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	t.Cleanup(func() { _ = ln.Close(); all.Wait() })
	all.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			meet(c)
			_ = c.Close()
		}
	})
	return ln.Addr().String()
}
