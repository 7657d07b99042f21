package keepalive_test

import (
	"net"
	"sync"
	"testing"
	"time"

	"github.com/easymicro/easymicro/host"
	"github.com/easymicro/easymicro/host/hosttest"
	"github.com/easymicro/easymicro/samples"
	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// A busy machine may stall for a second; a peer must not count as dead then.
const (
	interval = 100 * time.Millisecond
	timeout  = 2 * time.Second
	patience = 20 * time.Second
)

func dial(t *testing.T, address string, o wire.ConnOptions) *wire.Conn {
	t.Helper()
	c, err := wire.Dial(t.Context(), "tcp", address, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

func mul(t *testing.T, c *wire.Conn) error {
	t.Helper()
	var got samples.Reply
	err := hosttest.CallJSON(t.Context(), c, "Arith", "Mul", samples.Args{A: 6, B: 7}, &got)
	if err == nil && got.C != 42 {
		t.Errorf("got %d", got.C)
	}
	return err
}

// Both connections are idle for the same time: the host closes the silent one, which ends the test.
func TestHeartbeatsKeepAnIdleConnection(t *testing.T) {
	t.Parallel()
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	h.Edit("easymicro.yaml", "idleTimeout: 1s", "idleTimeout: 3s")
	if r := h.Revision(); r.Result != host.ResultApplied {
		t.Fatalf("%s %v", r.Result, r.Problems)
	}
	kept := dial(t, h.Address, wire.ConnOptions{KeepaliveInterval: interval, KeepaliveTimeout: patience})
	silent := dial(t, h.Address, wire.ConnOptions{KeepaliveInterval: -1})
	for _, c := range []*wire.Conn{kept, silent} {
		if err := mul(t, c); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case <-silent.Done():
	case <-time.After(patience):
		t.Fatal("the host keeps a silent connection")
	}
	if err := mul(t, kept); err != nil {
		t.Errorf("the connection with heartbeats: %v", err)
	}
	if e := code.From(mul(t, silent)); e == nil || e.Reason != code.ReasonNoEndpoint {
		t.Errorf("the silent connection: %+v", e)
	}
}

func TestADeadPeerIsDetected(t *testing.T) {
	t.Parallel()
	h := hosttest.StartCopy(t, ".", hosttest.Options{})
	network := newNetwork(t, h.Address)
	c := dial(t, network.Addr().String(), wire.ConnOptions{KeepaliveInterval: interval, KeepaliveTimeout: timeout})
	if err := mul(t, c); err != nil {
		t.Fatal(err)
	}
	network.cut()
	start := time.Now()
	e := code.From(mul(t, c)) // the answer never arrives
	if e == nil || e.Code != code.Unavailable || e.Reason != code.ReasonConnectionLost {
		t.Errorf("%+v", e)
	}
	if took := time.Since(start); took < interval || took > patience {
		t.Errorf("noticed after %s, want about %s", took, interval+timeout)
	}
	<-c.Done()
}

// network passes bytes on until it is cut: then it drops them without closing connections.
type network struct {
	net.Listener
	to   string
	dead chan struct{}
	all  sync.WaitGroup
}

func newNetwork(t *testing.T, to string) *network {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{Listener: ln, to: to, dead: make(chan struct{})}
	n.all.Go(n.accept)
	t.Cleanup(func() {
		_ = ln.Close()
		n.all.Wait()
	})
	return n
}

func (n *network) cut() { close(n.dead) }

func (n *network) accept() {
	for {
		near, err := n.Accept()
		if err != nil {
			return
		}
		far, err := net.Dial("tcp", n.to)
		if err != nil {
			_ = near.Close()
			return
		}
		n.all.Go(func() { n.pass(far, near) })
		n.all.Go(func() { n.pass(near, far) })
	}
}

func (n *network) pass(to, from net.Conn) {
	defer to.Close()
	buf := make([]byte, 4<<10)
	for {
		got, err := from.Read(buf)
		if err != nil {
			return
		}
		select {
		case <-n.dead:
		default:
			if _, err := to.Write(buf[:got]); err != nil {
				return
			}
		}
	}
}
