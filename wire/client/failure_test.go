package client

import (
	"context"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// callers is a set of callers that call continuously until stopped.
type callers struct {
	calls  atomic.Int64
	failed atomic.Int64
	each   [8]atomic.Int64 // calls that failed, by caller
	stop   func()

	mu   sync.Mutex
	errs []error
}

func load8(t testing.TB, c *Client) *callers {
	t.Helper()
	l := new(callers)
	ctx, cancel := context.WithCancel(context.Background())
	var all sync.WaitGroup
	for i := range l.each {
		all.Go(func() {
			for ctx.Err() == nil {
				err := six(t.Context(), c)
				l.calls.Add(1)
				if err == nil {
					continue
				}
				l.failed.Add(1)
				l.each[i].Add(1)
				l.mu.Lock()
				if len(l.errs) < 100 {
					l.errs = append(l.errs, err)
				}
				l.mu.Unlock()
			}
		})
	}
	l.stop = sync.OnceFunc(func() {
		cancel()
		all.Wait()
	})
	t.Cleanup(l.stop)
	return l
}

// more waits for n more calls.
func (l *callers) more(t testing.TB, n int64) {
	t.Helper()
	from := l.calls.Load()
	eventually(t, "the callers are at work", func() bool { return l.calls.Load() >= from+n })
}

func ready2(c *Client) func() bool {
	return func() bool {
		n := 0
		for _, s := range c.Status() {
			for _, e := range s.Endpoints {
				if e.State == "ready" {
					n++
				}
			}
		}
		return n == 2
	}
}

func TestOnlyCallsInFlightFailWhenAServerIsKilled(t *testing.T) {
	for _, p := range []Policy{P2C, RoundRobin, LeastRequest} {
		t.Run(string(p), func(t *testing.T) {
			a, b := newServer(t, mul), newServer(t, mul)
			c := newClient(t, Options{Resolver: serving(a.address, b.address), Policy: p})
			l := load8(t, c)
			eventually(t, "both are connected", ready2(c))
			l.more(t, 500)
			a.kill()
			l.more(t, 2500)
			l.stop()
			for i := range l.each {
				if n := l.each[i].Load(); n > 1 {
					t.Errorf("%d calls of a caller that makes one at a time have failed", n)
				}
			}
			for _, err := range l.errs {
				wantError(t, err, code.Unavailable, code.ReasonConnectionLost)
			}
		})
	}
}

// counted counts the client's dials by the time of the decision: on a busy machine they may begin later.
func counted(c *Client) func() []time.Time {
	var mu sync.Mutex
	var dials []time.Time
	dial := c.dial
	c.dial = func(ctx context.Context, network, address string) (net.Conn, error) {
		c.mu.RLock()
		n := c.nodes[netAddress{network, address}]
		c.mu.RUnlock()
		n.mu.Lock()
		begun := n.backoff.dials[1]
		n.mu.Unlock()
		mu.Lock()
		dials = append(dials, begun)
		mu.Unlock()
		return dial(ctx, network, address)
	}
	return func() []time.Time {
		mu.Lock()
		defer mu.Unlock()
		return dials
	}
}

// wantSlow checks that there were at most two dials within a second.
func wantSlow(t testing.TB, dials []time.Time) {
	t.Helper()
	for i := 2; i < len(dials); i++ {
		if gap := dials[i].Sub(dials[i-2]); gap < time.Second {
			t.Errorf("three dials within %v", gap)
		}
	}
}

func TestARestartedServerIsFoundWithTwoDialsASecond(t *testing.T) {
	s := newServer(t, mul)
	c := newClient(t, Options{Resolver: serving(s.address)})
	dials := counted(c)
	if err := six(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	s.kill()
	var e *code.Error
	eventually(t, "the first dial has failed", func() bool {
		begin := time.Now()
		e = code.From(six(t.Context(), c))
		if took := time.Since(begin); took >= defaultConnectTimeout {
			t.Errorf("a call waited for %v", took)
		}
		return e.RetryAfter > 0
	})
	wantError(t, e, code.Unavailable, code.ReasonNoEndpoint)
	for end := time.Now().Add(1500 * time.Millisecond); time.Now().Before(end); {
		if err := six(t.Context(), c); err == nil {
			t.Fatal("served by a stopped server")
		}
	}
	s.start()
	eventually(t, "calls are served again", func() bool { return six(t.Context(), c) == nil })
	wantSlow(t, dials())
	if n := len(dials()); n < 3 {
		t.Errorf("%d dials", n)
	}
}

func TestManyClientsReconnectToARestartedServerInTimeButNotAtOnce(t *testing.T) {
	n := 60
	if os.Getenv("TEST_EASYMICRO_LONG") != "" {
		n = 1000
	}
	s := newServer(t, mul)
	clients, dials := make([]*Client, n), make([]func() []time.Time, n)
	for i := range clients {
		clients[i] = newClient(t, Options{Resolver: serving(s.address), ConnectTimeout: 5 * time.Second})
		dials[i] = counted(clients[i])
	}
	each := func(do func(i int) bool) {
		var all sync.WaitGroup
		for i := range clients {
			all.Go(func() { eventually(t, "its call is served", func() bool { return do(i) }) })
		}
		all.Wait()
	}
	each(func(i int) bool { return six(t.Context(), clients[i]) == nil })
	s.kill()
	each(func(i int) bool { return len(dials[i]()) >= 2 })
	s.start()
	each(func(i int) bool { return six(t.Context(), clients[i]) == nil })
	for i := range clients {
		wantSlow(t, dials[i]())
	}
}

func TestRollingRestartUnderLoadLosesNoCall(t *testing.T) {
	a, b := newServer(t, mul), newServer(t, mul)
	c := newClient(t, Options{Resolver: serving(a.address, b.address)})
	l := load8(t, c)
	for range 2 {
		for _, s := range []*server{a, b} {
			eventually(t, "both are connected", ready2(c))
			l.more(t, 500)
			s.drain()
			s.start()
		}
	}
	eventually(t, "both are connected", ready2(c))
	l.more(t, 500)
	l.stop()
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d of %d calls failed: %v", n, l.calls.Load(), l.errs[0])
	}
}

func TestADrainingAnswerMovesTheCallToEachEndpointOnce(t *testing.T) {
	var refused atomic.Int64
	refuses := func(context.Context, *wire.Frame, *wire.Frame) error {
		refused.Add(1)
		return code.Refuse(code.Unavailable, code.ReasonDraining, "draining", "", "h1", 0)
	}
	x, y, z := newServer(t, refuses), newServer(t, refuses), newServer(t, mul)
	names := serving(x.address, y.address, z.address)
	c := newClient(t, Options{Resolver: names, Policy: RoundRobin})
	for range 12 {
		if err := six(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if refused.Load() == 0 {
		t.Error("nobody refused")
	}
	names.set("Arith", at(x.address, y.address)...)
	eventually(t, "the third has left", func() bool { return len(c.Status()[0].Endpoints) == 2 })
	refused.Store(0)
	err := six(t.Context(), c)
	if e := wantError(t, err, code.Unavailable, code.ReasonDraining); e.Host != "h1" {
		t.Errorf("got %v of %q", err, e.Host)
	}
	if n := refused.Load(); n != 2 {
		t.Errorf("sent %d times to two endpoints", n)
	}
}

func TestRemovedEndpointsFinishTheirCallsAndKeepTheConnectionIfListedAgain(t *testing.T) {
	running, release := make(chan struct{}, 1), make(chan struct{})
	s := newServer(t, func(ctx context.Context, req, res *wire.Frame) error {
		if req.Method == "Slow" {
			running <- struct{}{}
			<-release
		}
		return mul(ctx, req, res)
	})
	names := serving(s.address)
	c := newClient(t, Options{Resolver: names})
	done := make(chan error, 1)
	slow := func() {
		done <- c.Call(t.Context(), "Arith", "Slow", &Args{1, 2}, new(Reply))
	}
	go slow()
	<-running
	gone := func() bool { return len(c.Status()[0].Endpoints) == 0 }
	names.set("Arith")
	eventually(t, "it has left", gone)
	wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonNoEndpoint)
	names.set("Arith", at(s.address)...)
	eventually(t, "it is back", func() bool { return !gone() })
	if err := six(t.Context(), c); err != nil {
		t.Error(err)
	}
	if n := s.conns(); n != 1 {
		t.Errorf("%d connections, want the one from before", n)
	}
	names.set("Arith")
	eventually(t, "it has left", gone)
	close(release)
	if err := <-done; err != nil {
		t.Errorf("a call that was out: %v", err)
	}
	eventually(t, "its connection is closed", func() bool { return s.open.Load() == 0 })
	names.set("Arith", at(s.address)...)
	eventually(t, "calls are served", func() bool { return six(t.Context(), c) == nil })
	if n := s.conns(); n != 2 {
		t.Errorf("%d connections", n)
	}
}

func TestListsThatChangeUnderLoadLoseNoCall(t *testing.T) {
	var list []string
	for range 4 {
		list = append(list, newServer(t, mul).address)
	}
	loseNoCallWhile(t, list, 100, 20, func(i int) []string { return []string{list[i%4], list[(i+1)%4]} })
}

func TestAlternatingListsLoseNoCall(t *testing.T) {
	a, b := newServer(t, mul), newServer(t, mul)
	loseNoCallWhile(t, []string{a.address}, 1000, 1, func(i int) []string { return []string{[]string{a.address, b.address}[i%2]} })
}

// loseNoCallWhile calls continuously while the list changes from first to what next returns, several times, with some calls
// after each change.
func loseNoCallWhile(t *testing.T, first []string, changes int, calls int64, next func(i int) []string) {
	t.Helper()
	names := serving(first...)
	l := load8(t, newClient(t, Options{Resolver: names}))
	for i := range changes {
		names.set("Arith", at(next(i)...)...)
		l.more(t, calls)
	}
	l.stop()
	if n := l.failed.Load(); n > 0 {
		t.Errorf("%d of %d calls failed: %v", n, l.calls.Load(), l.errs[0])
	}
}

func TestCloseUnderLoadFailsCallsAndLeavesNothing(t *testing.T) {
	a, b := newServer(t, mul), newServer(t, mul)
	for range 5 {
		c := newClient(t, Options{Resolver: serving(a.address, b.address), PoolSize: 3})
		l := load8(t, c)
		l.more(t, 200)
		_ = c.Close()
		l.stop()
		for _, err := range l.errs {
			if e := code.From(err); e.Code != code.Unavailable {
				t.Errorf("got %v", err)
			}
		}
		e := wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonNoEndpoint)
		if e.Error() != ErrClosed.Error() {
			t.Errorf("got %v", e)
		}
		eventually(t, "its connections are gone", func() bool { return a.open.Load()+b.open.Load() == 0 })
	}
}

func TestShutdownWaitsForTheCallsInFlight(t *testing.T) {
	running, release := make(chan struct{}, 2), make(chan struct{})
	s := newServer(t, func(ctx context.Context, req, res *wire.Frame) error {
		running <- struct{}{}
		<-release
		return mul(ctx, req, res)
	})
	c := newClient(t, Options{Resolver: serving(s.address)})
	done, down := make(chan error, 1), make(chan error, 1)
	go func() { done <- six(t.Context(), c) }()
	<-running
	go func() { down <- c.Shutdown(t.Context()) }()
	eventually(t, "no more calls are taken", func() bool { return c.shut.Load() })
	wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonNoEndpoint)
	close(release)
	if err := <-done; err != nil {
		t.Error(err)
	}
	if err := <-down; err != nil {
		t.Error(err)
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := c.Shutdown(short); err != nil {
		t.Errorf("again: %v", err)
	}
}
