package client

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// network is an in-memory network, for tests with synctest. An address that is not served refuses connections; a silent one
// does not respond.
type network struct {
	t testing.TB

	mu     sync.Mutex
	hosts  map[string]*wiretest.Listener
	silent map[string]bool
	dials  map[string][]time.Time
}

func newNetwork(t testing.TB) *network {
	return &network{t: t, hosts: map[string]*wiretest.Listener{}, silent: map[string]bool{}, dials: map[string][]time.Time{}}
}

func (n *network) client(o Options) *Client {
	c := newClient(n.t, o)
	c.dial = n.dial
	return c
}

func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dials[address] = append(n.dials[address], time.Now())
	ln, silent := n.hosts[address], n.silent[address]
	n.mu.Unlock()
	switch {
	case silent:
		<-ctx.Done()
		return nil, ctx.Err()
	case ln == nil:
		return nil, errors.New("connection refused")
	}
	return ln.Dial(ctx)
}

// serve serves an address until stop is called.
func (n *network) serve(address string, h wire.HandlerFunc) (stop func()) {
	_, stop = n.server(address, h)
	return stop
}

func (n *network) server(address string, h wire.HandlerFunc) (srv *wire.Server, stop func()) {
	return n.limited(address, h, wire.Limits{})
}

func (n *network) limited(address string, h wire.HandlerFunc, lim wire.Limits) (srv *wire.Server, stop func()) {
	ln := wiretest.Listen()
	n.mu.Lock()
	n.hosts[address] = ln
	n.mu.Unlock()
	srv = wire.NewServer(wire.ServerOptions{Handler: h, Limits: lim})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = srv.Serve(ctx, ln)
	}()
	return srv, func() {
		n.mu.Lock()
		if n.hosts[address] == ln {
			delete(n.hosts, address)
		}
		n.mu.Unlock()
		cancel()
		<-done
	}
}

func (n *network) silence(address string, silent bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.silent[address] = silent
}

func (n *network) dialled(address string) []time.Time {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.dials[address])
}

// inBubble runs a test with synctest. Its goroutines must end with the client.
func inBubble(t *testing.T, test func(t *testing.T, n *network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newNetwork(t)) })
}

func TestReconnectsForeverWithCappedAndJitteredBackoff(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		stop := n.serve("a", mul)
		c := n.client(Options{Resolver: serving("a")})
		defer c.Close()
		if err := six(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		stop()
		for range 600 { // calls all the time
			time.Sleep(100 * time.Millisecond)
			if err := six(t.Context(), c); err == nil {
				t.Fatal("nobody serves")
			}
		}
		dials := n.dialled("a")[1:]
		wantSlow(t, dials)
		if len(dials) < 60/3 {
			t.Errorf("%d dials in a minute", len(dials))
		}
		gaps := map[time.Duration]bool{}
		for i := 1; i < len(dials); i++ {
			gap := dials[i].Sub(dials[i-1])
			gaps[gap] = true
			if least := 400 * time.Millisecond; gap < least || gap > 2400*time.Millisecond || i > 4 && gap < 1600*time.Millisecond {
				t.Errorf("dial %d came after %v", i, gap)
			}
		}
		if len(gaps) < len(dials)/2 {
			t.Error("there is no jitter")
		}
		defer n.serve("a", mul)()
		time.Sleep(2400 * time.Millisecond)
		if err := six(t.Context(), c); err != nil {
			t.Errorf("after the longest pause: %v", err)
		}
		_ = c.Close()
	})
}

func TestEndpointsOfServicesThatAreNotCalledAreNotDialled(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		stop := n.serve("a", mul)
		c := n.client(Options{Resolver: serving("a")})
		if err := six(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		stop()
		time.Sleep(2 * time.Minute)
		before := len(n.dialled("a"))
		time.Sleep(5 * time.Minute)
		if now := len(n.dialled("a")); now != before {
			t.Errorf("%d dials", now-before)
		}
		if s := c.Status()[0].Endpoints[0].State; s != "idle" {
			t.Errorf("it is %s", s)
		}
		defer n.serve("a", mul)()
		if err := six(t.Context(), c); err != nil {
			t.Errorf("called again: %v", err)
		}
		_ = c.Close()
	})
}

func TestAFailedDialIsReportedWithItsReasonAndTheNextAttempt(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		c := n.client(Options{Resolver: serving("a", "b")})
		begin := time.Now()
		err := six(t.Context(), c)
		e := wantError(t, err, code.Unavailable, code.ReasonNoEndpoint)
		for _, want := range []string{"no endpoint of Arith can be reached (of 2)", "connection refused", "next attempt in "} {
			if !strings.Contains(e.Message, want) {
				t.Errorf("%q does not say %q", e.Message, want)
			}
		}
		if e.RetryAfter <= 0 || e.RetryAfter > 600*time.Millisecond {
			t.Errorf("to be retried after %v", e.RetryAfter)
		}
		err = six(t.Context(), c)
		wantError(t, err, code.Unavailable, code.ReasonNoEndpoint)
		if took := time.Since(begin); took != 0 {
			t.Errorf("refused after %v", took)
		}
		if d := len(n.dialled("a")) + len(n.dialled("b")); d != 2 {
			t.Errorf("%d dials", d)
		}
		_ = c.Close()
	})
}

func TestBlackHoledEndpointDelaysCallsOnlyBriefly(t *testing.T) {
	for _, p := range []Policy{P2C, RoundRobin, ConsistentHash} {
		t.Run(string(p), func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				defer n.serve("a", mul)()
				n.silence("b", true)
				c := n.client(Options{Resolver: serving("a", "b"), Policy: p, HashOn: "argument.A"})
				held := 0
				for range 300 {
					begin := time.Now()
					if err := six(t.Context(), c); err != nil {
						t.Fatal(err)
					}
					took := time.Since(begin)
					if took > firstLinkWait {
						t.Errorf("a call took %v", took)
					}
					if took > 0 {
						held++
					}
					time.Sleep(50 * time.Millisecond)
				}
				if held > 1 {
					t.Errorf("%d calls were held up", held)
				}
				wantSlow(t, n.dialled("b"))
				_ = c.Close()
			})
		})
	}
}

func TestSingleBlackHoledEndpointFailsCallsAfterConnectTimeout(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		n.silence("a", true)
		c := n.client(Options{Resolver: serving("a"), ConnectTimeout: 3 * time.Second})
		begin := time.Now()
		wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonNoEndpoint)
		if took := time.Since(begin); took != 3*time.Second {
			t.Errorf("failed after %v", took)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		time.Sleep(time.Minute + 10*time.Second) // no calls: it is idle
		wantError(t, six(ctx, c), code.DeadlineExceeded, code.ReasonTimeout)
		_ = c.Close()
	})
}

func TestKeepaliveDetectsASilentPeer(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ln := wiretest.Listen()
		n.hosts["a"] = ln
		c := n.client(Options{Resolver: serving("a"), KeepaliveInterval: 10 * time.Second, KeepaliveTimeout: 3 * time.Second})
		go func() {
			if nc, err := ln.Accept(); err == nil {
				wiretest.NewPeer(t, nc).Greet()
			}
		}()
		begin := time.Now()
		wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonConnectionLost)
		if took := time.Since(begin); took != 13*time.Second {
			t.Errorf("found after %v", took)
		}
		_ = c.Close()
		_ = ln.Close()
	})
}

func TestCallsUseAllConnectionsOfThePoolAndLostOnesAreReplaced(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		defer n.serve("a", mul)()
		c := n.client(Options{Resolver: serving("a"), PoolSize: 4})
		if err := six(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if d := len(n.dialled("a")); d != 4 {
			t.Fatalf("%d connections", d)
		}
		node := c.nodes[netAddress{"tcp", "a"}]
		seen := map[*link]int{}
		for range 40 {
			l := node.link(false)
			seen[l]++
			l.give()
		}
		for l, times := range seen {
			if times != 10 {
				t.Errorf("%d calls on one of %d connections", times, len(seen))
			}
			_ = l.Close()
			break
		}
		if err := six(t.Context(), c); err != nil {
			t.Errorf("with one connection fewer: %v", err)
		}
		time.Sleep(time.Second)
		if d := len(n.dialled("a")); d != 5 {
			t.Errorf("%d dials", d)
		}
		_ = c.Close()
	})
}
