package client

import (
	"context"
	"errors"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/easymicro/easymicro/wire"
	"github.com/easymicro/easymicro/wire/code"
	"github.com/easymicro/easymicro/wire/wiretest"
)

// Args and Reply are the argument and reply of the tests' services.
type (
	Args  struct{ A, B int }
	Reply struct{ C int }
)

// names is a Resolver whose lists are set by tests.
type names struct {
	mu      sync.Mutex
	lists   map[string][]Endpoint
	err     error
	watched map[string]int
	changed chan struct{}
}

func newNames() *names {
	return &names{lists: map[string][]Endpoint{}, watched: map[string]int{}, changed: make(chan struct{})}
}

// serving is a Resolver of one service, named Arith.
func serving(addresses ...string) *names {
	n := newNames()
	n.set("Arith", at(addresses...)...)
	return n
}

func at(addresses ...string) []Endpoint {
	list := make([]Endpoint, len(addresses))
	for i, a := range addresses {
		list[i].Address = a
	}
	return list
}

func (n *names) set(service string, list ...Endpoint) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.lists[service] = list
	n.notify()
}

func (n *names) fail(err error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.err = err
	n.notify()
}

func (n *names) notify() {
	close(n.changed)
	n.changed = make(chan struct{})
}

func (n *names) count() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.watched)
}

// watches returns how many times a service is watched.
func (n *names) watches(service string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.watched[service]
}

func (n *names) Watch(ctx context.Context, service string, update func([]Endpoint, error)) error {
	n.mu.Lock()
	n.watched[service]++
	n.mu.Unlock()
	defer func() {
		n.mu.Lock()
		defer n.mu.Unlock()
		if n.watched[service]--; n.watched[service] == 0 {
			delete(n.watched, service)
		}
	}()
	for {
		n.mu.Lock()
		list, err, changed := slices.Clone(n.lists[service]), n.err, n.changed
		n.mu.Unlock()
		if err != nil {
			update(nil, err)
		} else {
			update(list, nil)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func newClient(t testing.TB, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// server is a wire.Server on a loopback socket, which may be killed and started again on the same address.
type server struct {
	t       testing.TB
	address string
	handler wire.HandlerFunc
	calls   atomic.Int64
	open    atomic.Int64

	srv   *wire.Server
	cut   context.CancelFunc
	ended chan error

	mu    sync.Mutex
	dials []time.Time
}

func newServer(t testing.TB, h wire.HandlerFunc) *server {
	t.Helper()
	s := &server{t: t, handler: h, address: wiretest.Address(t)} // one at which it can start again
	s.start()
	t.Cleanup(s.kill)
	return s
}

func (s *server) ConnOpened() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dials = append(s.dials, time.Now())
	s.open.Add(1)
}
func (s *server) ConnClosed()      { s.open.Add(-1) }
func (s *server) WireError(string) {}

func (s *server) conns() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.dials)
}

func (s *server) start() {
	s.t.Helper()
	ln, err := net.Listen("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = ln.Addr().String()
	s.serve(ln)
}

func (s *server) serve(ln net.Listener) {
	s.srv = wire.NewServer(wire.ServerOptions{Handler: wire.HandlerFunc(s.handle), Observer: s})
	ctx, cancel := context.WithCancel(context.Background())
	s.cut, s.ended = cancel, make(chan error, 1)
	go func(srv *wire.Server, ended chan error) { ended <- srv.Serve(ctx, ln) }(s.srv, s.ended)
}

func (s *server) handle(ctx context.Context, req, res *wire.Frame) error {
	s.calls.Add(1)
	return s.handler(ctx, req, res)
}

// kill ends the server as a crash does: its connections break.
func (s *server) kill() {
	s.cut()
	if s.ended != nil {
		<-s.ended
		s.ended = nil
	}
}

// drain ends the server as SIGTERM does.
func (s *server) drain() {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := s.srv.Shutdown(ctx); err != nil {
		s.t.Errorf("Shutdown: %v", err)
	}
	s.kill()
}

// mul multiplies.
func mul(_ context.Context, req, res *wire.Frame) error {
	var a Args
	if err := wire.Decode(req.Codec, req.Payload, &a); err != nil {
		return err
	}
	var err error
	res.Payload, err = wire.Append(req.Codec, res.Payload, &Reply{a.A * a.B})
	return err
}

// six calls a method that multiplies.
func six(ctx context.Context, c *Client, o ...CallOption) error {
	reply, err := Call[Reply](ctx, c, "Arith", "Mul", &Args{2, 3}, o...)
	if err == nil && reply.C != 6 {
		return errors.New("a wrong answer")
	}
	return err
}

func wantError(t testing.TB, err error, c code.Code, reason string) *code.Error {
	t.Helper()
	e := wiretest.WantError(t, err, c, reason)
	if edge := code.Edge(err); edge.Reason != "" || edge.RetryAfter != 0 {
		t.Errorf("%v: a handler passes %s on", err, edge.Reason)
	}
	return e
}

// eventually waits until a condition that the test cannot signal is true.
func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	wiretest.Within(t, 20*time.Second, what, is)
}
