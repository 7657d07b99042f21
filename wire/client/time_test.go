package client

import (
	"context"
	"errors"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// network is a network in memory, for tests on synctest's time. An address that nobody serves refuses; one that is
// silent takes no connection and says nothing.
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
	ln := wiretest.Listen()
	n.mu.Lock()
	n.hosts[address] = ln
	n.mu.Unlock()
	srv = wire.NewServer(wire.ServerOptions{Handler: h})
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

// inBubble runs a test on synctest's time. What it started must have ended with the client.
func inBubble(t *testing.T, test func(t *testing.T, n *network)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) { test(t, newNetwork(t)) })
}

func TestReconnectsForEverWithCappedAndJitteredBackOff(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		stop := n.serve("a", mul)
		c := n.client(Options{Resolver: serving("a")})
		defer c.Close()
		if err := six(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		stop()
		for range 600 { // somebody calls all the time
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

func TestNobodyIsDialledForServicesThatAreNotCalled(t *testing.T) {
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

func TestDialThatFailsIsToldWithItsReasonAndWhenTheNextIsDue(t *testing.T) {
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
			t.Errorf("told after %v", took)
		}
		if d := len(n.dialled("a")) + len(n.dialled("b")); d != 2 {
			t.Errorf("%d dials", d)
		}
		_ = c.Close()
	})
}

func TestBlackHoledEndpointHoldsUpNobodyForLong(t *testing.T) {
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
					if took > patience {
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

func TestLoneBlackHoledEndpointFailsCallsAfterConnectTimeout(t *testing.T) {
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
		time.Sleep(time.Minute + 10*time.Second) // nobody calls: it is idle
		wantError(t, six(ctx, c), code.DeadlineExceeded, code.ReasonTimeout)
		_ = c.Close()
	})
}

func TestPeerThatFallsSilentIsFoundByKeepalive(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		ln := wiretest.Listen()
		n.hosts["a"] = ln
		c := n.client(Options{Resolver: serving("a"), KeepaliveInterval: 10 * time.Second, KeepaliveTimeout: 3 * time.Second})
		go func() { _, _ = ln.Accept() }()
		begin := time.Now()
		wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonConnectionLost)
		if took := time.Since(begin); took != 13*time.Second {
			t.Errorf("found after %v", took)
		}
		_ = c.Close()
		_ = ln.Close()
	})
}

func TestEmptyListAndErrorsOfTheResolverAreToldAtOnce(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		names := newNames()
		c := n.client(Options{Resolver: names, Group: "blue"})
		want := func(text string) {
			t.Helper()
			begin := time.Now()
			e := wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonNoEndpoint)
			if !strings.Contains(e.Message, text) || time.Since(begin) != 0 {
				t.Errorf("after %v: %q, want %q", time.Since(begin), e.Message, text)
			}
		}
		want("no endpoint of Arith is known: nobody serves it")
		names.set("Arith", Endpoint{Address: "a", Metadata: map[string]string{"group": "green"}})
		synctest.Wait()
		want(`no endpoint of Arith has the group "blue" (1 have another)`)
		names.set("Arith")
		synctest.Wait()
		names.fail(errors.New("etcd is away"))
		synctest.Wait()
		want("no endpoint of Arith is known: etcd is away")
		names.fail(nil)
		defer n.serve("a", mul)()
		names.set("Arith", Endpoint{Address: "a", Metadata: map[string]string{"group": "blue"}})
		synctest.Wait()
		if err := six(t.Context(), c); err != nil {
			t.Error(err)
		}
		names.fail(errors.New("etcd is away"))
		synctest.Wait()
		if err := six(t.Context(), c); err != nil {
			t.Errorf("the last list holds: %v", err)
		}
		if s := c.Status()[0]; s.Err != "etcd is away" || len(s.Endpoints) != 1 || s.Endpoints[0].State != "ready" {
			t.Errorf("%+v", s)
		}
		_ = c.Close()
	})
}

// watching makes a function a Resolver.
type watching func(ctx context.Context, service string, update func([]Endpoint, error)) error

func (w watching) Watch(ctx context.Context, service string, update func([]Endpoint, error)) error {
	return w(ctx, service, update)
}

func TestFirstCallsWaitForTheListAndNotForLong(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		defer n.serve("a", mul)()
		answer := 500 * time.Millisecond
		c := n.client(Options{Resolver: watching(func(ctx context.Context, _ string, update func([]Endpoint, error)) error {
			select {
			case <-time.After(answer):
				update(at("a"), nil)
			case <-ctx.Done():
			}
			<-ctx.Done()
			return ctx.Err()
		})})
		begin := time.Now()
		if err := six(t.Context(), c); err != nil || time.Since(begin) != answer {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		answer, begin = time.Hour, time.Now()
		err := c.Call(t.Context(), "Other", "Mul", &Args{}, nil)
		if wantError(t, err, code.Unavailable, code.ReasonNoEndpoint); time.Since(begin) != time.Second {
			t.Errorf("after %v: %v", time.Since(begin), err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		wantError(t, c.Call(ctx, "Other", "Mul", &Args{}, nil), code.DeadlineExceeded, code.ReasonTimeout)
		late := make(chan error, 1)
		go func() { late <- c.Call(t.Context(), "Other", "Mul", &Args{}, nil) }()
		synctest.Wait()
		_ = c.Close()
		wantError(t, <-late, code.Unavailable, code.ReasonNoEndpoint)
	})
}

func TestWatchThatReturnsIsCalledAgain(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		defer n.serve("a", mul)()
		var times atomic.Int64
		c := n.client(Options{Resolver: watching(func(_ context.Context, _ string, update func([]Endpoint, error)) error {
			if times.Add(1) > 1 {
				update(at("a"), nil)
			}
			return errors.New("no luck")
		})})
		wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonNoEndpoint)
		time.Sleep(time.Second)
		if err := six(t.Context(), c); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Minute)
		if times := times.Load(); times < 5 || times > 30 {
			t.Errorf("watched %d times", times)
		}
		_ = c.Close()
	})
}

func TestServicesAreForgottenWhenNobodyCallsThem(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		defer n.serve("a", mul)()
		names := serving("a")
		c := n.client(Options{Resolver: names})
		if err := six(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		for i := range maxServices + 100 {
			wantError(t, c.Call(t.Context(), "Invented"+strconv.Itoa(i), "Mul", &Args{}, nil), code.Unavailable, code.ReasonNoEndpoint)
		}
		synctest.Wait()
		if got := names.count(); got > maxServices {
			t.Errorf("%d services are watched", got)
		}
		if err := six(t.Context(), c); err != nil {
			t.Errorf("one that is served: %v", err)
		}
		time.Sleep(unknownKept + 2*sweepEvery)
		if got := names.count(); got != 1 {
			t.Errorf("%d services are watched, want the one that is served", got)
		}
		time.Sleep(serviceKept + 2*sweepEvery)
		synctest.Wait()
		if got := names.count(); got != 0 || len(c.Status()) != 0 || len(c.nodes) != 0 {
			t.Errorf("%d services, %d nodes", got, len(c.nodes))
		}
		if err := six(t.Context(), c); err != nil {
			t.Errorf("called again: %v", err)
		}
		_ = c.Close()
	})
}

func TestPoolIsSpreadOverItsConnectionsAndFilledAgain(t *testing.T) {
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
		node := c.nodes[place{"tcp", "a"}]
		seen := map[*link]int{}
		for range 40 {
			l := node.link()
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

func TestHandOverOfTheOnlyEndpointLosesNoCall(t *testing.T) {
	inBubble(t, func(t *testing.T, n *network) {
		quick := func(ctx context.Context, req, res *wire.Frame) error {
			time.Sleep(20 * time.Millisecond)
			return mul(ctx, req, res)
		}
		srv, stop := n.server("a", quick)
		c := n.client(Options{Resolver: serving("a"), PoolSize: 2})
		ctx, enough := context.WithCancel(t.Context())
		var callers sync.WaitGroup
		var calls atomic.Int64
		for range 20 {
			callers.Go(func() {
				for ctx.Err() == nil {
					if err := six(t.Context(), c); err != nil {
						t.Error(err)
					}
					calls.Add(1)
				}
			})
		}
		for range 5 {
			time.Sleep(3 * time.Second)
			next, stopNext := n.server("a", quick) // takes the address over
			if err := srv.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
			stop()
			srv, stop = next, stopNext
		}
		time.Sleep(time.Second)
		enough()
		callers.Wait()
		if calls.Load() < 10_000 {
			t.Errorf("%d calls", calls.Load())
		}
		_ = c.Close()
		stop()
	})
}
