package client

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// slowly delays the dials of a client, and counts them by address.
func slowly(c *Client, by time.Duration) *sync.Map {
	var dials sync.Map
	dial := c.dial
	c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		n, _ := dials.LoadOrStore(address, new(atomic.Int64))
		n.(*atomic.Int64).Add(1)
		select {
		case <-time.After(by):
			return dial(ctx, network, address)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	return &dials
}

func TestConnectSparesCallsTheDials(t *testing.T) {
	for name, tt := range map[string]struct {
		up, listed []string // the endpoints that answer, and those of the new client
		dial       time.Duration
		services   []string
		took       time.Duration
		dialled    map[string]int
	}{
		"each at once":                          {up: []string{"a", "b"}, listed: []string{"a", "b"}, dial: 5 * time.Second, took: 5 * time.Second, dialled: map[string]int{"a": 1, "b": 1}},
		"not one that could not be reached":     {up: []string{"a"}, listed: []string{"a", "b"}, dial: time.Second, took: time.Second, dialled: map[string]int{"a": 1, "b": 1}},
		"another one":                           {up: []string{"a", "b", "c"}, listed: []string{"c"}, dial: time.Second, took: time.Second, dialled: map[string]int{"a": 0, "c": 1}},
		"of a service":                          {up: []string{"a", "b"}, listed: []string{"a"}, services: []string{"Arith"}, dialled: map[string]int{"a": 1}},
		"until a handshake takes much too long": {up: []string{"a", "b"}, listed: []string{"a"}, dial: time.Hour, took: 10 * time.Second, dialled: map[string]int{"a": 1}},
		"without anything to replace":           {listed: []string{"a"}, dial: time.Second, dialled: map[string]int{"a": 0}},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				for _, at := range tt.up {
					defer n.serve(at, mul)()
				}
				before := n.client(Options{Resolver: serving("a", "b"), Policy: RoundRobin})
				for range 4 {
					_ = six(t.Context(), before)
				}
				synctest.Wait()
				c := n.client(Options{Resolver: serving(tt.listed...)})
				dials := slowly(c, tt.dial)
				begin := time.Now()
				c.Connect(t.Context(), before, tt.services...)
				if took := time.Since(begin); took != tt.took {
					t.Errorf("took %v, want %v", took, tt.took)
				}
				for at, want := range tt.dialled {
					if got, _ := dials.LoadOrStore(at, new(atomic.Int64)); got.(*atomic.Int64).Load() != int64(want) {
						t.Errorf("%s was dialled %d times, want %d", at, got, want)
					}
				}
				if tt.took < 10*time.Second && len(tt.up) > 0 {
					begin = time.Now()
					if err := six(t.Context(), c); err != nil || time.Since(begin) != 0 {
						t.Errorf("the first call: %v after %v", err, time.Since(begin))
					}
				}
				_ = c.Close()
				_ = before.Close()
			})
		})
	}
}

// An endpoint that cannot be reached is tried again: its host may learn of new certificates a moment later.
func TestConnectTriesAgainForASecond(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		stop := n.serve("a", mul)
		before := n.client(Options{Resolver: serving("a")})
		if err := six(t.Context(), before); err != nil {
			t.Fatal(err)
		}
		n.mu.Lock()
		ln := n.hosts["a"]
		delete(n.hosts, "a")
		n.mu.Unlock()
		time.AfterFunc(100*time.Millisecond, func() {
			n.mu.Lock()
			defer n.mu.Unlock()
			n.hosts["a"] = ln
		})
		c := n.client(Options{Resolver: serving("a")})
		begin := time.Now()
		c.Connect(t.Context(), before)
		if took := time.Since(begin); took < 100*time.Millisecond || took > time.Second {
			t.Errorf("took %v", took)
		}
		begin = time.Now()
		if err := six(t.Context(), c); err != nil || time.Since(begin) != 0 {
			t.Errorf("the first call: %v after %v", err, time.Since(begin))
		}
		_ = c.Close()
		_ = before.Close()
		stop()
	})
}
