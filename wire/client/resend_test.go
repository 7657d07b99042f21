package client

import (
	"bytes"
	"context"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
)

const parkedCalls = 20

// parking is a server of which all places are taken by a call that ends when it is cut, so that it has read one-way calls
// and not begun to run them.
type parking struct {
	n     *network
	names *names
	c     *Client
	srv   *wire.Server
	stop  func()
	log   bytes.Buffer
	ran   atomic.Int64 // one-way calls, there
}

func newParking(t *testing.T, n *network) *parking {
	t.Helper()
	p := &parking{n: n, names: serving("a")}
	p.srv, p.stop = n.limited("a", func(ctx context.Context, req, _ *wire.Frame) error {
		if req.OneWay {
			p.ran.Add(1)
			return nil
		}
		<-ctx.Done()
		return nil
	}, wire.Limits{MaxInFlight: 1})
	p.c = n.client(Options{Resolver: p.names, Logger: slog.New(slog.NewTextHandler(&p.log, nil))})
	go func() { _ = six(context.Background(), p.c) }()
	synctest.Wait()
	return p
}

func (p *parking) notify(t *testing.T, timeout time.Duration) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), timeout)
	defer cancel()
	for range parkedCalls {
		if err := p.c.Notify(ctx, "Arith", "Mul", &Args{2, 3}); err != nil {
			t.Fatal(err)
		}
	}
}

// end drains the server, which is over before the calls are.
func (p *parking) end(grace time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), grace)
	defer cancel()
	_ = p.srv.Shutdown(ctx)
	p.stop()
}

// ending is end in the background.
func (p *parking) ending(grace time.Duration) (wait func()) {
	var over sync.WaitGroup
	over.Go(func() { p.end(grace) })
	synctest.Wait()
	return over.Wait
}

// count serves an address, and counts the one-way calls.
func (p *parking) count(address string) (ran *atomic.Int64, stop func()) {
	ran = new(atomic.Int64)
	return ran, p.n.serve(address, func(_ context.Context, req, _ *wire.Frame) error {
		if req.OneWay {
			ran.Add(1)
		}
		return nil
	})
}

func TestOneWayCallsThatWereNotRunWaitForTheHostToReturn(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		p := newParking(t, n)
		defer p.c.Close()
		p.notify(t, time.Hour)
		time.Sleep(30 * time.Second) // heartbeats are answered
		p.end(time.Second)
		time.Sleep(3 * time.Second)
		ran, stop := p.count("a")
		defer stop()
		time.Sleep(resendTimeout)
		_ = p.c.Close()
		if ran.Load() != parkedCalls || p.log.Len() > 0 {
			t.Errorf("%d are run, %s", ran.Load(), p.log.String())
		}
	})
}

func TestExpiredOneWayCallsAreNotResent(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		p := newParking(t, n)
		defer p.c.Close()
		p.notify(t, 5*time.Second)
		time.Sleep(3 * time.Second)
		p.end(time.Second)
		time.Sleep(1500 * time.Millisecond)
		ran, stop := p.count("a")
		defer stop()
		time.Sleep(time.Minute)
		_ = p.c.Close()
		log := p.log.String()
		if ran.Load() != 0 || strings.Count(log, "level=WARN") != 1 || !strings.Contains(log, "calls=20 method=Arith.Mul") {
			t.Errorf("%d are run, %s", ran.Load(), log)
		}
	})
}

func TestAClosingClientWaitsForItsOneWayCalls(t *testing.T) {
	for name, end := range map[string]func(*Client) error{
		"Close": (*Client).Close,
		"Shutdown": func(c *Client) error {
			ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
			defer cancel()
			_ = c.Shutdown(ctx) // the two-way call is still out
			return nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(t *testing.T, n *network) {
				p := newParking(t, n)
				p.notify(t, time.Hour)
				ran, stop := p.count("b")
				defer stop()
				p.names.set("Arith", at("a", "b")...)
				synctest.Wait()
				defer p.ending(2 * time.Second)()
				if err := end(p.c); err != nil {
					t.Error(err)
				}
				synctest.Wait() // what was read is run now
				if ran.Load() != parkedCalls || p.log.Len() > 0 {
					t.Errorf("%d are run, %s", ran.Load(), p.log.String())
				}
			})
		})
	}
}

func TestAClosedClientLogsLostOneWayCalls(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		p := newParking(t, n)
		p.notify(t, time.Hour)
		defer p.ending(2 * time.Second)()
		_ = p.c.Close()
		synctest.Wait()
		if log := p.log.String(); !strings.Contains(log, "calls=20") {
			t.Errorf("%d are run, %s", p.ran.Load(), log)
		}
	})
}

// With the peer neither draining nor gone, Close waits for one sign of life only: what was read before the end is run.
func TestParkedOneWayCallsAreRunAfterTheClientIsClosed(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		p := newParking(t, n)
		defer p.stop()
		p.notify(t, time.Hour)
		begin := time.Now()
		_ = p.c.Close()
		if took := time.Since(begin); took > time.Second {
			t.Errorf("Close took %v", took)
		}
		synctest.Wait()
		time.Sleep(time.Second)
		if p.ran.Load() != parkedCalls {
			t.Errorf("%d are run", p.ran.Load())
		}
	})
}
