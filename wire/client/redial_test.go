package client

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire/code"
)

// down returns a client of a service whose only endpoint could not be reached for a while, so that it is dialled rarely.
func down(t *testing.T, n *network, names *names, guard Guard) *Client {
	t.Helper()
	c := n.client(Options{Resolver: names, Guard: guard})
	for range 100 {
		wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonNoEndpoint)
		time.Sleep(100 * time.Millisecond)
	}
	for dials := len(n.dialled("a")); len(n.dialled("a")) == dials; { // the next dial is as far off as can be
		time.Sleep(time.Millisecond)
	}
	return c
}

func TestEndpointThatIsListedAgainIsDialledBeforeItsBackoff(t *testing.T) {
	for name, absent := range map[string]bool{"it was listed": false, "it was not": true} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				names := serving("a")
				c := down(t, n, names, nil)
				defer n.serve("a", mul)()
				if absent {
					names.set("Arith")
					synctest.Wait()
				}
				names.set("Arith", at("a")...)
				synctest.Wait()
				begin := time.Now()
				if err := six(t.Context(), c); err != nil {
					t.Errorf("the list has it anew: %v", err)
				}
				if took := time.Since(begin); took != 0 {
					t.Errorf("served after %v", took)
				}
				wantSlow(t, n.dialled("a"))
				_ = c.Close()
			})
		})
	}
}

// Rules that probe whether an upstream is back need not wait for the client's backoff.
func TestRedialDialsBeforeTheBackoff(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		redial, soon := false, false
		c := down(t, n, serving("a"), &scripted{do: func(ctx context.Context, call OutgoingCall) (int, error) {
			if redial {
				soon = call.Redial(0, func(address string) bool { return address == "a" })
			}
			return 0, call.Attempt(ctx, 0, nil)
		}})
		defer n.serve("a", mul)()
		wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonNoEndpoint)
		redial = true
		begin := time.Now()
		if err := six(t.Context(), c); err != nil || time.Since(begin) != 0 || !soon {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		if err := six(t.Context(), c); err != nil || soon {
			t.Errorf("it is connected: %v", err)
		}
		wantSlow(t, n.dialled("a"))
		_ = c.Close()
	})
}

func TestConstantUpdatesDialAnEndpointAtMostTwiceASecond(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		names := serving("a")
		c := down(t, n, names, nil)
		before := len(n.dialled("a"))
		for i := range 600 {
			if i%7 == 0 {
				names.set("Arith")
				synctest.Wait()
			}
			names.set("Arith", at("a")...)
			synctest.Wait()
			if i%10 == 0 {
				begin := time.Now()
				wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonNoEndpoint)
				if took := time.Since(begin); took > time.Second {
					t.Errorf("a call waited for %v", took)
				}
			}
			time.Sleep(13 * time.Millisecond)
		}
		wantSlow(t, n.dialled("a"))
		if d := len(n.dialled("a")) - before; d < 8 {
			t.Errorf("%d dials", d)
		}
		_ = c.Close()
	})
}

func TestEndpointThatDrainedIsDialledWhenItIsListedAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		names := serving("a")
		srv, stop := n.server("a", mul)
		c := n.client(Options{Resolver: names})
		if err := six(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		if err := srv.Shutdown(t.Context()); err != nil {
			t.Fatal(err)
		}
		stop()
		for range 50 {
			wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonNoEndpoint)
			time.Sleep(100 * time.Millisecond)
		}
		for dials := len(n.dialled("a")); len(n.dialled("a")) == dials; {
			time.Sleep(time.Millisecond)
		}
		defer n.serve("a", mul)()
		names.set("Arith", at("a")...)
		synctest.Wait()
		if err := six(t.Context(), c); err != nil {
			t.Errorf("the list has it anew: %v", err)
		}
		wantSlow(t, n.dialled("a"))
		_ = c.Close()
	})
}
