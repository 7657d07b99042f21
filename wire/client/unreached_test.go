package client

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// Rules may count only a missing connection in time as a failure of the endpoint.
func TestOnlyCallsWithoutAConnectionInTimeAreMarkedUnreached(t *testing.T) {
	late := func(ctx context.Context) (context.Context, context.CancelFunc) {
		return context.WithTimeout(ctx, 50*time.Millisecond)
	}
	hangUp := func(ctx context.Context) (context.Context, context.CancelFunc) {
		ctx, cancel := context.WithCancel(ctx)
		time.AfterFunc(50*time.Millisecond, cancel)
		return ctx, cancel
	}
	for _, tc := range []struct {
		name   string
		hosts  []string
		silent string // takes no connection
		end    func(context.Context) (context.Context, context.CancelFunc)
		code   code.Code
		marked bool
	}{
		{"nobody is listed", nil, "", late, code.Unavailable, true},
		{"nobody listens", []string{"a"}, "", late, code.Unavailable, true},
		{"no connection in time", []string{"a"}, "a", late, code.DeadlineExceeded, true},
		{"the caller hangs up before there is one", []string{"a"}, "a", hangUp, code.Cancelled, false},
		{"no answer in time", []string{"slow"}, "", late, code.DeadlineExceeded, false},
	} {
		inBubble(t, func(t *testing.T, n *network) {
			slow := func(ctx context.Context, _, _ *wire.Frame) error { <-ctx.Done(); return ctx.Err() }
			defer n.serve("slow", slow)()
			n.silence(tc.silent, true)
			c := n.client(Options{Resolver: serving(tc.hosts...)})
			ctx, cancel := tc.end(t.Context())
			defer cancel()
			err := six(ctx, c)
			if err == nil {
				t.Fatalf("%s: it went well", tc.name)
			}
			if e := code.From(err); e.Code != tc.code || e.Unreached() != tc.marked {
				t.Errorf("%s: marked %t: %v", tc.name, e.Unreached(), err)
			}
			_ = c.Close()
		})
	}
}

func TestAnAddressThatCheckRefusesIsNotDialled(t *testing.T) {
	s := newServer(t, mul)
	_, port, err := net.SplitHostPort(s.address)
	if err != nil {
		t.Fatal(err)
	}
	asked := make(chan netip.Addr, 10)
	refuse := func(ip netip.Addr) error {
		asked <- ip
		return errors.New("it is of the wrong kind")
	}
	names := newNames()
	names.set("Arith", Endpoint{Address: "localhost:" + port, Check: refuse})
	c := newClient(t, Options{Resolver: names})
	e := wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonNoEndpoint)
	if ip := <-asked; !ip.IsLoopback() || !strings.Contains(e.Message, "it is of the wrong kind") || s.conns() != 0 {
		t.Errorf("asked of %s, %d connections, %v", ip, s.conns(), e)
	}
	names.set("Arith", Endpoint{Address: "localhost:" + port, Check: func(netip.Addr) error { return nil }})
	eventually(t, "it may be called", func() bool { return six(t.Context(), c) == nil })
}

// Services share the connections to an address. Each has its own check, regardless of which one listed it last.
func TestAnAddressRefusedForOneServiceIsCalledForAnother(t *testing.T) {
	for _, order := range [][]string{{"Mine", "Other"}, {"Other", "Mine"}, {"Free", "Other", "Mine"}, {"Other", "Free"}} {
		t.Run(strings.Join(order, ", "), func(t *testing.T) {
			s := newServer(t, mul)
			_, port, err := net.SplitHostPort(s.address)
			if err != nil {
				t.Fatal(err)
			}
			refuse := func(netip.Addr) error { return errors.New("it is of the wrong kind") }
			names := newNames()
			names.set("Free", Endpoint{Address: "localhost:" + port})
			names.set("Mine", Endpoint{Address: "localhost:" + port, Check: func(netip.Addr) error { return nil }})
			names.set("Other", Endpoint{Address: "localhost:" + port, Check: refuse})
			c := newClient(t, Options{Resolver: names})
			call := func(service string) error { return c.Call(t.Context(), service, "Mul", &Args{2, 3}, new(Reply)) }
			for range 2 { // with the connection there, and with a new one
				for _, service := range order {
					if service != "Other" {
						eventually(t, service+" is called", func() bool { return call(service) == nil })
						continue
					}
					eventually(t, "Other is refused", func() bool { // until then the connection may be lost
						err := call(service)
						if err == nil {
							t.Fatal("Other is called")
						}
						return strings.Contains(err.Error(), "it is of the wrong kind")
					})
				}
				s.kill()
				s.start()
			}
		})
	}
}
