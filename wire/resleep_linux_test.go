package wire

import (
	"context"
	"net"
	"testing"
	"time"
)

// A connection that was asleep sleeps again after its calls, not only when it would have been idle for too long.
func TestAConnectionThatWasAsleepSleepsAgain(t *testing.T) {
	t.Parallel()
	const n = 10
	s, conns, call := sleeping(t, n, Limits{})
	asleep := func() int {
		s.pool.sleepers.mu.Lock()
		defer s.pool.sleepers.mu.Unlock()
		return len(s.pool.sleepers.conns)
	}
	for _, c := range conns {
		call(c)
	}
	if k := asleep(); k > 0 {
		t.Fatalf("%d connections are asleep after a call", k)
	}
	for end := time.Now().Add(4 * sleepAfter); asleep() < n; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d of %d connections are asleep again", asleep(), n)
		}
	}
	_ = net.Conn(nil)
}

// A connection that ends while it falls asleep is not kept.
func TestAConnectionThatWasRousedBeforeItSleepsIsForgotten(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	conn, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	s := NewServer(ServerOptions{})
	c := newServerConn(&connGroup{ctx: context.Background(), env: &s.env, pool: &s.pool}, conn, s.limits)
	defer s.pool.sleepers.close()
	if !s.pool.sleepers.add(c) || len(s.pool.sleepers.conns) > 0 { // as when fail has roused it just before
		t.Errorf("%d connections are kept", len(s.pool.sleepers.conns))
	}
}
