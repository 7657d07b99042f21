package listen

import (
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config"
)

func TestANewLeaseTakesOverWithoutLosingAConnection(t *testing.T) {
	s, err := binder{set: &config.Set{Manifest: new(config.Manifest)}}.bind(t.Context(), "listeners[0].address", "main", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	accepted := make(chan net.Conn, 100)
	serve := func(l *lease) chan error {
		done := make(chan error, 1)
		go func() {
			for {
				conn, err := l.Accept()
				if err != nil {
					done <- err
					return
				}
				accepted <- conn
			}
		}()
		return done
	}
	a := &Listeners{outages: newOutages(slog.New(slog.DiscardHandler), func(string, string) {}), held: released()}
	old := newLease(s, "main", a)
	oldDone := serve(old)
	const dials = 60
	for i := range dials {
		if i == dials/2 {
			next := newLease(s, "main", a)
			nextDone := serve(next)
			defer func() {
				_ = next.Close()
				<-nextDone
			}()
			if err := old.Close(); err != nil {
				t.Fatal(err)
			}
			if err := <-oldDone; !errors.Is(err, net.ErrClosed) {
				t.Errorf("the closed lease ended with %v", err)
			}
		}
		conn, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatalf("dial %d: %v", i, err)
		}
		defer conn.Close()
	}
	for i := range dials {
		select {
		case conn := <-accepted:
			_ = conn.Close()
		case <-time.After(10 * time.Second):
			t.Fatalf("only %d of %d connections were accepted", i, dials)
		}
	}
}

// released returns Listeners.held of listeners that accept.
func released() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}
