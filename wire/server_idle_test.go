package wire_test

import (
	"net"
	"runtime"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// inUse is the memory of heap and stacks.
func inUse() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)

	return int64(m.HeapAlloc + m.StackInuse)
}

// connections opens n sockets to address, and returns the memory of each, including the client side. It waits until that is
// at most enough.
func connections(t *testing.T, n int, address string, enough int64, use func(net.Conn)) int64 {
	t.Helper()
	conns := make([]net.Conn, 0, n)
	before := inUse()
	for range n {
		c, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = c.Close() })
		conns = append(conns, c)
		use(c)
	}
	least := inUse() - before
	for range 600 { // idle connections free their memory after a while, late on a busy machine
		if least <= int64(n)*enough {
			break
		}
		<-time.After(100 * time.Millisecond)
		least = min(least, inUse()-before)
	}
	runtime.KeepAlive(conns)
	return least / int64(n)
}

func TestIdleConnectionCostsAtMostFiveKiBAfterOneCall(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector's own memory counts")
	}
	const n = 2000
	bare, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer bare.Close()
	accepted := make(chan net.Conn, n)
	go func() {
		for {
			c, err := bare.Accept()
			if err != nil {
				return
			}
			accepted <- c
		}
	}()
	sockets := connections(t, n, bare.Addr().String(), 4<<10, func(net.Conn) {})
	for range n {
		_ = (<-accepted).Close()
	}

	address, _, _ := onTCP(t, echo, wire.Limits{})
	request := wiretest.Bytes(wiretest.Request(1, "Test", "Echo", wire.Raw, make([]byte, 581)))
	response := make([]byte, 2048)
	served := connections(t, n, address, sockets+5<<10, func(c net.Conn) {
		if _, err := c.Write(request); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(response); err != nil {
			t.Fatal(err)
		}
	})
	t.Logf("%d bytes a pair of sockets, %d with the server", sockets, served)
	if served-sockets > 5<<10 {
		t.Errorf("an idle connection costs %d bytes", served-sockets)
	}
}
