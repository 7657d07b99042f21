package client

import (
	"context"
	"fmt"
	"net"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
)

// slowed is a connection on which long writes wait.
type slowed struct {
	net.Conn
	gate <-chan struct{}
}

func (s *slowed) Write(b []byte) (int, error) {
	if len(b) > 64<<10 {
		<-s.gate
	}
	return s.Conn.Write(b)
}

func TestSmallCallsDoNotWaitBehindLongOnes(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		defer n.serve("a", func(ctx context.Context, req, res *wire.Frame) error {
			if req.Method == "Put" {
				return nil
			}
			return mul(ctx, req, res)
		})()
		gate := make(chan struct{})
		close(gate)
		c := n.client(Options{Resolver: serving("a")})
		c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := n.dial(ctx, network, address)
			return &slowed{nc, gate}, err
		}
		put := func() error { return c.Call(t.Context(), "Arith", "Put", make([]byte, 3<<20), nil) }
		if err := put(); err != nil { // after which there is a connection for the next
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		gate = make(chan struct{})
		for _, n := range c.nodes {
			for _, l := range n.all() {
				_ = l.Close() // those that do not wait
			}
		}
		time.Sleep(time.Second)
		if err := six(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		done := make(chan error, 1)
		go func() { done <- put() }()
		synctest.Wait()
		for range 20 {
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := six(ctx, c); err != nil {
				t.Fatalf("a small call waits for a long one: %v", err)
			}
			cancel()
		}
		select {
		case err := <-done:
			t.Fatalf("the long call did not wait: %v", err)
		default:
		}
		close(gate)
		if err := <-done; err != nil {
			t.Error(err)
		}
		_ = c.Close()
	})
}

func TestCallsWithLongRepliesUseTheConnectionForLongMessages(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		held := make(chan struct{})
		close(held)
		defer n.serve("a", func(ctx context.Context, req, res *wire.Frame) error {
			<-held
			if req.Method == "Get" {
				res.Payload = append(res.Payload, make([]byte, 3<<20)...)
				return nil
			}
			return mul(ctx, req, res)
		})()
		c := n.client(Options{Resolver: serving("a"), Codec: "raw"})
		get := func() error {
			var reply []byte
			return c.Call(t.Context(), "Arith", "Get", []byte(nil), &reply)
		}
		for range 2 { // it is learned of the first, and the second has the connection made
			if err := get(); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Second)
		}
		held = make(chan struct{})
		done := make(chan error, 2)
		go func() { done <- get() }()
		go func() { done <- c.Call(t.Context(), "Arith", "Mul", []byte(nil), nil) }()
		synctest.Wait()
		for _, node := range c.nodes {
			for i := range node.links.inUse {
				if l := node.links.inUse[i].Load(); l == nil || l.calls.Load() != 1 {
					t.Errorf("connection %d has not one of the two calls", i)
				}
			}
		}
		close(held)
		if err := <-done; err != nil {
			t.Log(err) // mul takes no raw argument
		}
		<-done
		time.Sleep(2 * recently)
		if s := c.services["Arith"]; s != nil && s.longReplies.of(s.c, "Get") {
			t.Error("it is remembered for ever")
		}
		_ = c.Close()
	})
}

func TestMethodsWithLongRepliesAreKnownInAnyCaseAndForgottenInTime(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		c := n.client(Options{Resolver: serving("a")})
		s, err := c.service("Arith")
		if err != nil {
			t.Fatal(err)
		}
		const name, spellings = "downloadReport", 2 * maxLongReplies
		for i := range spellings {
			b := []byte(name)
			for at := range 11 {
				if i>>at&1 != 0 {
					b[at] ^= 'a' ^ 'A'
				}
			}
			s.longReplies.add(s.c.now(), string(b))
		}
		s.longReplies.add(s.c.now(), "Größe")
		for _, method := range []string{"DOWNLOADreport", name, "GRÖßE"} {
			if !s.longReplies.of(s.c, method) {
				t.Errorf("%s is not known", method)
			}
		}
		for i := range spellings {
			s.longReplies.add(s.c.now(), fmt.Sprint("m", i))
		}
		if s.longReplies.of(s.c, fmt.Sprint("m", spellings-1)) {
			t.Error("any number is kept")
		}
		time.Sleep(recently / 2)
		s.longReplies.add(s.c.now(), name)
		time.Sleep(recently/2 + time.Second)
		s.longReplies.add(s.c.now(), "Late")
		for method, want := range map[string]bool{"late": true, name: true, "m0": false, "GRÖßE": false} {
			if s.longReplies.of(s.c, method) != want {
				t.Errorf("%s: %t", method, !want)
			}
		}
		if got := testing.AllocsPerRun(100, func() { s.longReplies.of(s.c, "DownloadReport") }); got > 0 {
			t.Errorf("%v allocations", got)
		}
		_ = c.Close()
	})
}
