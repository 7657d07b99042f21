package wire_test

import (
	"context"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// paced is a socket whose reads are limited to a rate.
type paced struct {
	*net.TCPConn
	rate float64 // bytes a second
	free time.Time
}

func newPaced(t testing.TB, c net.Conn, rate float64) *paced {
	t.Helper()
	tcp := c.(*net.TCPConn)
	if err := tcp.SetReadBuffer(64 << 10); err != nil {
		t.Error(err)
	}
	return &paced{TCPConn: tcp, rate: rate}
}

func (p *paced) Read(b []byte) (int, error) {
	time.Sleep(time.Until(p.free))
	n, err := p.TCPConn.Read(b[:min(len(b), 64<<10)])
	if now := time.Now(); p.free.Before(now) {
		p.free = now
	}
	p.free = p.free.Add(time.Duration(float64(n) / p.rate * float64(time.Second)))
	return n, err
}

// pacedListener has its connections read at a rate.
type pacedListener struct {
	net.Listener
	t    testing.TB
	rate float64
}

func (l pacedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return newPaced(l.t, c, l.rate), nil
}

func TestSocketsThatAreReadAt8MBPerSecondLoseNoCall(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes as long as 40 MB take at 8 MB/s")
	}
	const rate, most = 8e6, 128 << 20
	t.Parallel()
	for name, tc := range map[string]struct {
		calls, argument int
		method          string
		fromServer      float64 // rates
		fromClient      float64
	}{
		"40 replies of 1 MiB":     {calls: 40, method: "Get", fromServer: rate, fromClient: 1e9},
		"400 requests of 100 KiB": {calls: 400, argument: 100 << 10, method: "Put", fromServer: 1e9, fromClient: rate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			budget, seen := wire.NewBudget(0, most), new(counting)
			s := wire.NewServer(wire.ServerOptions{
				Handler: wire.HandlerFunc(mebibyte), Budget: budget, Observer: seen, Limits: wire.Limits{WriteTimeout: time.Second},
			})
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			ctx, cancel := context.WithCancel(t.Context())
			served := make(chan error, 1)
			go func() { served <- s.Serve(ctx, pacedListener{ln, t, tc.fromClient}) }()
			c := wire.NewConn(newPaced(t, socket(t, ln.Addr().String()), tc.fromServer), wire.ConnOptions{})
			var peak atomic.Int64
			var all sync.WaitGroup
			begin := time.Now()
			for range tc.calls {
				all.Go(func() {
					req := wiretest.Request(0, "Test", tc.method, wire.Raw, make([]byte, tc.argument))
					if err := c.Do(t.Context(), req, nil); err != nil {
						t.Error(err)
					}
					peak.Store(max(peak.Load(), budget.Usage().BufferedBytes))
				})
			}
			all.Wait()
			if took := time.Since(begin); took < 3*time.Second {
				t.Errorf("40 MB took %v: that is no slow link", took)
			}
			if n := seen.count("slow_reader"); n > 0 || peak.Load() > most {
				t.Errorf("%d connections are cut, %d bytes of %d are held", n, peak.Load(), most)
			}
			_ = c.Close()
			cancel()
			<-served
		})
	}
}

func TestAnUnreadSocketIsCutInTime(t *testing.T) {
	t.Parallel()
	budget := wire.NewBudget(0, 128<<20)
	address, _, seen := onTCPWith(t, wire.ServerOptions{
		Handler: wire.HandlerFunc(mebibyte), Budget: budget, Limits: wire.Limits{WriteTimeout: 500 * time.Millisecond},
	})
	begin := time.Now()
	write(t, socket(t, address), requests(40, "Get", false))
	eventually(t, "the peer is cut", func() bool { return seen.count("slow_reader") == 1 })
	if took := time.Since(begin); took < 500*time.Millisecond {
		t.Errorf("cut after %v", took)
	}
	eventually(t, "nothing is held", func() bool { return budget.Usage().BufferedBytes == 0 })
}
