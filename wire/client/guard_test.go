package client

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
)

// scripted is a Guard that does what a test says: a nil do makes one attempt.
type scripted struct {
	do   func(ctx context.Context, call OutgoingCall) (int, error)
	pool Pool
}

func (s *scripted) Do(ctx context.Context, call OutgoingCall) (int, error) {
	if s.do != nil {
		return s.do(ctx, call)
	}
	return 0, call.Attempt(ctx, 0, nil)
}

func (s *scripted) Pool() *Pool { return &s.pool }

// gate is Endpoints that write down what happens.
type gate struct {
	admit func(address string) bool

	mu      sync.Mutex
	asked   []string
	settled map[string][]error
}

func (g *gate) Admit(address string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asked = append(g.asked, address)
	return g.admit == nil || g.admit(address)
}

func (g *gate) Settle(address string, err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.settled == nil {
		g.settled = map[string][]error{}
	}
	g.settled[address] = append(g.settled[address], err)
}

func TestGuardSeesTheCallAndTheEndpoints(t *testing.T) {
	s := newServer(t, mul)
	g := new(scripted)
	c := newClient(t, Options{
		Resolver: serving(s.address), Guard: g, Upstream: "arithmetic", Idempotent: []string{"Get*", "List*All"},
		Caller: func(context.Context) string { return "web" },
	})
	g.do = func(ctx context.Context, call OutgoingCall) (int, error) {
		if call.Upstream() != "arithmetic" || call.Service() != "Arith" || call.Method() != "Mul" || call.Caller() != "web" ||
			call.Get("k") != "v" || call.Idempotent() {
			t.Errorf("%s %s %s %s %s %v", call.Upstream(), call.Service(), call.Method(), call.Caller(), call.Get("k"), call.Idempotent())
		}
		return 0, call.Attempt(ctx, 0, nil)
	}
	if err := six(t.Context(), c, Metadata("k", "v")); err != nil {
		t.Error(err)
	}
	if known := g.pool.Endpoints("arithmetic", "Arith"); !slices.Equal(known, []string{s.address}) {
		t.Errorf("the pool of the guard has %v", known)
	}
	for method, want := range map[string]bool{"GetIt": true, "Get": true, "ListThemAll": true, "ListAllOf": false, "Put": false} {
		g.do = func(_ context.Context, call OutgoingCall) (int, error) {
			if call.Idempotent() != want {
				t.Errorf("%s is idempotent: %v", method, !want)
			}
			return 0, errors.New("no")
		}
		_ = c.Call(t.Context(), "Arith", method, &Args{}, nil)
	}
}

func TestManyStarsInIdempotentPatternsAreCheap(t *testing.T) {
	asked := false
	g := &scripted{do: func(_ context.Context, call OutgoingCall) (int, error) {
		if asked = true; call.Idempotent() { // would take for ever if each star were tried at each place
			t.Error("it is idempotent")
		}
		return 0, errors.New("no")
	}}
	c := newClient(t, Options{
		Resolver: serving("127.0.0.1:1"), Guard: g, Upstream: "arithmetic", Idempotent: []string{strings.Repeat("a*", 9) + "b"},
	})
	if _ = c.Call(t.Context(), "Arith", strings.Repeat("a", 4000), &Args{}, nil); !asked {
		t.Error("the guard was not asked")
	}
}

func TestResponseIsThatOfTheSlotThatWon(t *testing.T) {
	first := make(chan struct{})
	s := newServer(t, func(ctx context.Context, req, res *wire.Frame) error {
		if req.Metadata.Get(wire.MetaTimeout) == "" { // the first attempt, which is lost
			select {
			case <-first:
			case <-ctx.Done():
			}
			return errors.New("late")
		}
		return mul(ctx, req, res)
	})
	g := &scripted{do: func(ctx context.Context, call OutgoingCall) (int, error) {
		var all sync.WaitGroup
		quick, cancel := context.WithTimeout(ctx, 1<<40)
		defer cancel()
		slow, stop := context.WithCancel(ctx)
		all.Go(func() { _ = call.Attempt(slow, 0, nil) })
		err := call.Attempt(quick, 1, nil)
		stop()
		all.Wait()
		return 1, err
	}}
	c := newClient(t, Options{Resolver: serving(s.address), Guard: g})
	for range 20 {
		if err := six(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	close(first)
}

func TestGuardThatMakesNoAttemptGivesNoAnswer(t *testing.T) {
	g := &scripted{do: func(context.Context, OutgoingCall) (int, error) { return 3, nil }}
	c := newClient(t, Options{Resolver: serving("127.0.0.1:1"), Guard: g})
	if err := six(t.Context(), c); code.Of(err) != code.Internal {
		t.Errorf("got %v", err)
	}
	refusal := code.Refuse(code.Unavailable, code.ReasonBreakerOpen, "open", "r@r1", "", 0)
	g.do = func(context.Context, OutgoingCall) (int, error) { return 0, refusal }
	if err := six(t.Context(), c); !errors.Is(err, refusal) {
		t.Errorf("got %v", err)
	}
}

func TestEveryAdmittedEndpointIsSettledOnce(t *testing.T) {
	s := newServer(t, mul)
	dead := newServer(t, mul)
	dead.kill()
	g := new(scripted)
	gate := new(gate)
	g.do = func(ctx context.Context, call OutgoingCall) (int, error) { return 0, call.Attempt(ctx, 0, gate) }
	c := newClient(t, Options{Resolver: serving(s.address, dead.address), Guard: g, Policy: RoundRobin})
	for range 4 {
		if err := six(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	if n := len(gate.settled[s.address]) + len(gate.settled[dead.address]); n != len(gate.asked) {
		t.Errorf("asked %d times, settled %d times", len(gate.asked), n)
	}
	if errs := gate.settled[dead.address]; len(errs) != 1 || code.From(errs[0]).Reason != code.ReasonNoEndpoint {
		t.Errorf("the dead one: %v", errs)
	}
	for _, err := range gate.settled[s.address] {
		if err != nil {
			t.Errorf("the other one: %v", err)
		}
	}
}

func TestEndpointsThatTheRulesExcludeAreAskedOnce(t *testing.T) {
	a, b := newServer(t, mul), newServer(t, mul)
	g := new(scripted)
	var last *gate
	refuse := ""
	g.do = func(ctx context.Context, call OutgoingCall) (int, error) {
		last = &gate{admit: func(address string) bool { return refuse != "all" && address != refuse }}
		return 0, call.Attempt(ctx, 0, last)
	}
	c := newClient(t, Options{Resolver: serving(a.address, b.address), Guard: g, Policy: RoundRobin})
	refuse = a.address
	for range 6 {
		if err := six(t.Context(), c); err != nil {
			t.Fatal(err)
		}
		if len(last.asked) > 2 || len(last.settled[a.address]) > 0 || len(last.settled[b.address]) != 1 {
			t.Errorf("asked %v, settled %v", last.asked, last.settled)
		}
	}
	refuse = "all"
	wantError(t, six(t.Context(), c), code.Unavailable, code.ReasonNoEndpoint)
	if len(last.asked) != 2 || last.settled != nil {
		t.Errorf("asked %v, settled %v", last.asked, last.settled)
	}
}

// A hedge that loses, and an attempt whose time is over, end at the server too, where their place is free again.
func TestAbandonedAttemptsEndAtTheServer(t *testing.T) {
	for name, tc := range map[string]struct {
		giveUp func(context.Context) (context.Context, context.CancelFunc)
		want   error
	}{
		"a hedge that loses": {giveUp: context.WithCancel, want: context.Canceled},
		"perTryTimeout": {giveUp: func(ctx context.Context) (context.Context, context.CancelFunc) {
			return context.WithTimeout(ctx, 50*time.Millisecond)
		}, want: context.DeadlineExceeded},
	} {
		t.Run(name, func(t *testing.T) {
			entered, ended := make(chan bool, 1), make(chan error, 1)
			slow := onLoopback(t, func(ctx context.Context, req, res *wire.Frame) error {
				if req.Method == "Mul" {
					return mul(ctx, req, res)
				}
				if at, ok := wire.CallerDeadline(wire.CallFrom(ctx).Arrived(), req.Metadata); ok { // as hosts do
					wire.CallFrom(ctx).ExpireAt(at, wire.ExpirerFunc(func() *code.Error { return code.Errorf(code.DeadlineExceeded, "late") }))
				}
				entered <- true
				<-ctx.Done()
				ended <- ctx.Err()
				return ctx.Err()
			}, wire.Limits{MaxInFlight: 1})
			g := &scripted{do: func(ctx context.Context, call OutgoingCall) (int, error) {
				if call.Method() == "Mul" {
					return 0, call.Attempt(ctx, 0, nil)
				}
				try, cancel := tc.giveUp(ctx)
				defer cancel()
				lost := make(chan error, 1)
				go func() { lost <- call.Attempt(try, 0, nil) }()
				<-entered
				if tc.want == context.Canceled { //nolint:errorlint // as the table has it
					cancel()
				}
				return 0, <-lost
			}}
			c := newClient(t, Options{Resolver: serving(slow), Guard: g})
			if err := c.Call(t.Context(), "Arith", "Slow", &Args{}, nil); err == nil {
				t.Error("the attempt went well")
			}
			select {
			case err := <-ended:
				if !errors.Is(err, tc.want) {
					t.Errorf("the handler's context says %v", err)
				}
			case <-time.After(20 * time.Second):
				t.Fatal("the handler runs on")
			}
			if err := six(t.Context(), c); err != nil {
				t.Errorf("its place is not free: %v", err)
			}
		})
	}
}

// The names of metadata that came over HTTP are those of headers.
func TestRulesAndHashesFindMetadataInAnyCaseOfHeaders(t *testing.T) {
	for transport, want := range map[string]string{"http": "acme", "rpcx": ""} {
		s := newServer(t, mul)
		g := &scripted{do: func(ctx context.Context, out OutgoingCall) (int, error) {
			if got := out.Get("x-tenant"); got != want {
				t.Errorf("over %s: %q", transport, got)
			}
			if hashed := out.(*call).hashed; hashed != (want != "") {
				t.Errorf("over %s: hashed is %v", transport, hashed)
			}
			return 0, out.Attempt(ctx, 0, nil)
		}}
		c := newClient(t, Options{Resolver: serving(s.address), Guard: g, Policy: ConsistentHash, HashOn: "metadata.x-tenant"})
		req := &wire.Frame{Service: "Arith", Method: "Mul", Codec: wire.JSON, Payload: []byte(`{"A":2,"B":3}`), Metadata: wire.Metadata{{"X-Tenant", "acme"}}}
		if err := c.Handle(wire.NewCall(t.Context(), wire.CallOptions{Transport: transport}), req, new(wire.Frame)); err != nil {
			t.Error(err)
		}
	}
}
