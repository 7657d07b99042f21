package wire_test

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// A call in flight when the certificate expires is answered, and one that does not end is cut off.
func TestAnExpiredCertificateEndsItsConnection(t *testing.T) {
	for _, lasts := range []time.Duration{10 * time.Second, time.Hour} {
		synctest.Test(t, func(t *testing.T) {
			server := wire.NewServer(wire.ServerOptions{Handler: wire.HandlerFunc(func(ctx context.Context, _, _ *wire.Frame) error {
				select {
				case <-time.After(lasts):
					return nil
				case <-ctx.Done():
					return ctx.Err()
				}
			}), Limits: wire.Limits{IdleTimeout: 24 * time.Hour}})
			memory := wiretest.Listen()
			ctx, stop := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- server.Serve(ctx, wiretest.Verified(memory, time.Now().Add(time.Hour))) }()
			nc, err := memory.Dial(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			c := wire.NewConn(nc, wire.ConnOptions{})
			expires := time.Now().Add(time.Hour)
			time.Sleep(time.Hour - 5*time.Second)
			if err := c.Ping(t.Context()); err != nil {
				t.Fatalf("before the end: %v", err)
			}
			_, err = call(t.Context(), c, "Wait", "")
			switch after := time.Since(expires); {
			case lasts < time.Minute && (err != nil || after != 5*time.Second):
				t.Errorf("a call in flight: %v after %v", err, after)
			case lasts > time.Minute:
				wantError(t, err, code.Unavailable, code.ReasonConnectionLost)
				if after < 30*time.Second || after > 31*time.Second {
					t.Errorf("cut off after %v", after)
				}
			}
			<-c.Done()
			if after := time.Since(expires); after > 31*time.Second {
				t.Errorf("the connection has ended %v after its certificate", after)
			}
			_ = c.Close()
			stop()
			if err := <-served; !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		})
	}
}

func TestPeersThatAreNoLongerTrustedAreDrained(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var revoked atomic.Bool
		r := newRigWith(t, wire.ServerOptions{Handler: wire.HandlerFunc(echo), Trusts: func(c net.Conn) bool {
			return !revoked.Load() || c.RemoteAddr().(*net.TCPAddr).Port%2 == 0
		}})
		conns := []*wire.Conn{r.client(t, wire.ConnOptions{}), r.client(t, wire.ConnOptions{})}
		for _, c := range conns {
			if _, err := call(t.Context(), c, "Echo", "x"); err != nil {
				t.Fatal(err)
			}
		}
		revoked.Store(true)
		r.Recheck()
		conns = append(conns, r.client(t, wire.ConnOptions{}), r.client(t, wire.ConnOptions{}))
		time.Sleep(time.Second)
		ended := 0
		for _, c := range conns {
			select {
			case <-c.Done():
				ended++
			default:
				if _, err := call(t.Context(), c, "Echo", "x"); err != nil {
					t.Error(err)
				}
			}
		}
		if ended != 2 {
			t.Errorf("%d of 4 connections have ended, want the older and the newer one of two", ended)
		}
		r.stop()
	})
}

// A connection of its maximum age, ±10 %, is drained: its calls are answered however long they take, and then it is closed.
func TestAnOldConnectionIsDrained(t *testing.T) {
	const age = time.Hour
	for _, lasts := range []time.Duration{0, 2 * age} {
		synctest.Test(t, func(t *testing.T) {
			r := newRigWith(t, wire.ServerOptions{Handler: wire.HandlerFunc(func(context.Context, *wire.Frame, *wire.Frame) error {
				time.Sleep(lasts)
				return nil
			}), Limits: wire.Limits{IdleTimeout: 24 * time.Hour, MaxConnectionAge: age}})
			begin, c := time.Now(), r.client(t, wire.ConnOptions{})
			time.Sleep(age / 2)
			if _, err := call(t.Context(), c, "Wait", ""); err != nil {
				t.Errorf("a call of %v: %v", lasts, err)
			}
			<-c.Done()
			earliest, latest := max(age-age/10, age/2+lasts), max(age+age/10, age/2+lasts)+time.Second
			if after := time.Since(begin); after < earliest || after > latest {
				t.Errorf("with a call of %v the connection has ended after %v", lasts, after)
			}
		})
	}
}

// Connections that began together do not end together.
func TestAgesOfConnectionsDiffer(t *testing.T) {
	l, ages := wire.Limits{MaxConnectionAge: time.Hour}, map[time.Duration]bool{}
	for range 100 {
		age := l.ConnectionAge()
		if ages[age] = true; age < 54*time.Minute || age > 66*time.Minute {
			t.Errorf("%v", age)
		}
	}
	if len(ages) < 90 {
		t.Errorf("%d different ages of 100", len(ages))
	}
	if age := (wire.Limits{}).ConnectionAge(); age != 0 {
		t.Errorf("without a limit: %v", age)
	}
}
