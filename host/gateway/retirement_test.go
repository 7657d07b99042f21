package gateway

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// A request in flight when the certificate expires is answered, and one that does not end is cut off.
func TestAnExpiredCertificateEndsItsConnection(t *testing.T) {
	for _, proto := range []int{1, 2} {
		for _, lasts := range []time.Duration{0, 10 * time.Second, time.Hour} {
			synctest.Test(t, func(t *testing.T) { endExpired(t, proto, lasts) })
		}
	}
}

func endExpired(t *testing.T, proto int, lasts time.Duration) {
	b := &backend{hook: func(ctx context.Context, _, _ *wire.Frame) error {
		select {
		case <-time.After(lasts):
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}}
	g, err := New(Options{Handler: b, Resolve: b.resolve})
	if err != nil {
		t.Fatal(err)
	}
	expires := time.Now().Add(5 * time.Second)
	ln, s := newPipes(), NewServer(ServerOptions{Handler: g, Limits: wire.Limits{IdleTimeout: 24 * time.Hour}})
	var served sync.WaitGroup
	served.Go(func() { _ = s.Serve(context.Background(), wiretest.Verified(ln, expires)) })
	peer := &watchedConn{Conn: ln.dial(), closed: make(chan struct{})}
	tr := overHTTP2(peer)
	if proto == 1 {
		tr.Protocols = nil
	}
	post := func(path string) error {
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x"+path, strings.NewReader("{}"))
		res, err := tr.RoundTrip(req)
		if err != nil {
			return err
		}
		defer res.Body.Close()
		_, err = io.Copy(io.Discard, res.Body)
		return err
	}
	if err := post("/Arith/Mul"); err != nil {
		t.Fatal(err)
	}
	if lasts > 0 {
		err := post("/Arith/Hook")
		if after := time.Since(expires); lasts < time.Minute && (err != nil || after != 5*time.Second) || lasts > time.Minute && err == nil {
			t.Errorf("HTTP/%d, a request of %s: %v after %s", proto, lasts, err, after)
		}
	}
	<-peer.closed
	earliest := map[time.Duration]time.Duration{0: 0, 10 * time.Second: 5 * time.Second, time.Hour: retireGrace}[lasts]
	if after := time.Since(expires); after < earliest || after > earliest+3*sweepEvery {
		t.Errorf("HTTP/%d, a request of %s: the connection has ended %s after the certificate", proto, lasts, after)
	}
	_ = s.Close()
	served.Wait()
}

// What Recheck does while a connection is being accepted is not lost.
func TestAPeerThatIsNoLongerTrustedMeanwhileIsNotMissed(t *testing.T) {
	var s *Server
	revoked := false
	s = NewServer(ServerOptions{Trusts: func(net.Conn) bool {
		trusted := !revoked
		if trusted {
			revoked = true
			s.Recheck()
		}
		return trusted
	}})
	if c, _ := newTestConn(t, s); !c.leaves.begun() {
		t.Error("the connection stays")
	}
}

// A connection of its maximum age, ±10 %, is closed once it has no request, which may take as long as it likes.
func TestAnOldConnectionEndsOnceItIsIdle(t *testing.T) {
	const age = time.Hour
	for _, proto := range []int{1, 2} {
		for _, lasts := range []time.Duration{0, 2 * age} {
			synctest.Test(t, func(t *testing.T) {
				b := &backend{hook: func(context.Context, *wire.Frame, *wire.Frame) error {
					time.Sleep(lasts)
					return nil
				}}
				g, err := New(Options{Handler: b, Resolve: b.resolve})
				if err != nil {
					t.Fatal(err)
				}
				ln, s := newPipes(), NewServer(ServerOptions{Handler: g, Limits: wire.Limits{IdleTimeout: 24 * time.Hour, MaxConnectionAge: age}})
				var served sync.WaitGroup
				served.Go(func() { _ = s.Serve(context.Background(), ln) })
				begin, peer := time.Now(), &watchedConn{Conn: ln.dial(), closed: make(chan struct{})}
				tr := overHTTP2(peer)
				if proto == 1 {
					tr.Protocols = nil
				}
				for _, method := range []string{"Mul", "Hook"} {
					req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://x/Arith/"+method, strings.NewReader("{}"))
					res, err := tr.RoundTrip(req)
					if err != nil {
						t.Fatalf("HTTP/%d, a request of %s: %v", proto, lasts, err)
					}
					_, _ = io.Copy(io.Discard, res.Body)
					_ = res.Body.Close()
					if method == "Mul" {
						time.Sleep(age / 2)
					}
				}
				<-peer.closed
				earliest := max(age-age/10, age/2+lasts)
				latest := max(age+age/10, age/2+lasts) + 3*sweepEvery
				if after := time.Since(begin); after < earliest || after > latest {
					t.Errorf("HTTP/%d, a request of %s: the connection has ended after %s", proto, lasts, after)
				}
				_ = s.Close()
				served.Wait()
			})
		}
	}
}
