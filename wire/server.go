package wire

import (
	"context"
	"errors"
	"log/slog"
	"maps"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire/internal/accept"
)

// acceptLogEvery is the minimum time between two log lines about failures to accept.
const acceptLogEvery = 10 * time.Second

// Handler handles calls. Handle sets payload and metadata of res, but not sequence, service or method, or returns an error,
// which is sent as the answer. req and res are valid until Handle returns; copy what is kept longer. A Server passes the
// *Call as ctx. Handle is called concurrently.
type Handler interface {
	Handle(ctx context.Context, req, res *Frame) error
}

// HandlerFunc is an adapter to use a function as a Handler.
type HandlerFunc func(ctx context.Context, req, res *Frame) error

// Handle calls f.
func (f HandlerFunc) Handle(ctx context.Context, req, res *Frame) error { return f(ctx, req, res) }

// ServerOptions configure a Server. Handler is required.
type ServerOptions struct {
	Handler  Handler
	Limits   Limits       // zero fields mean the defaults
	Logger   *slog.Logger // nil discards
	Observer Observer     // may be nil
	Budget   *Budget      // may be shared with other servers; nil means a new one with the defaults
	Host     string       // name of the host, for peers; may be empty

	// Trusts, if not nil, reports whether the peer of a connection is still trusted. Connections of others are drained, and
	// closed after 30 s: new ones at once, open ones when Recheck is called. It may be called concurrently and must not block.
	// The same happens, without Trusts too, when the verified certificate of a peer expires.
	Trusts func(net.Conn) bool
}

// Observer observes connections, for metrics. Its methods are called concurrently and must not block.
type Observer interface {
	ConnOpened()
	ConnClosed()
	WireError(reason string) // a frame was refused or a connection cut; reason is one of a bounded set
}

type noObserver struct{}

func (noObserver) ConnOpened()      {}
func (noObserver) ConnClosed()      {}
func (noObserver) WireError(string) {}

// Server serves rpcx calls. It may serve several listeners at once.
type Server struct {
	env    serverEnv
	pool   workers
	trusts func(net.Conn) bool

	mu        sync.Mutex
	limits    *Limits // shared by the connections
	listeners map[net.Listener]struct{}
	conns     map[*serverConn]*retirement
	draining  bool
	closed    bool
	changed   chan struct{} // closed and replaced when conns shrinks
}

// serverEnv is the part of a Server that its connections and calls use.
type serverEnv struct {
	handler  Handler
	log      *slog.Logger
	observer Observer
	budget   *Budget
	host     string
	cuts     cutLog
}

// connGroup is the connections of one listener.
type connGroup struct {
	ctx    context.Context //nolint:containedctx // the parent of the calls
	env    *serverEnv
	pool   *workers
	open   sync.WaitGroup
	forget func(*serverConn) // called when a connection has ended
}

// NewServer returns a Server. Call Serve to start it.
func NewServer(o ServerOptions) *Server {
	s := &Server{
		env:       serverEnv{handler: o.Handler, log: o.Logger, observer: o.Observer, budget: o.Budget, host: o.Host},
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*serverConn]*retirement),
		trusts:    o.Trusts,
		changed:   make(chan struct{}),
	}
	s.SetLimits(o.Limits)
	if s.trusts == nil {
		s.trusts = func(net.Conn) bool { return true }
	}
	if s.env.log == nil {
		s.env.log = slog.New(slog.DiscardHandler)
	}
	if s.env.observer == nil {
		s.env.observer = noObserver{}
	}
	if s.env.budget == nil {
		s.env.budget = NewBudget(0, 0)
	}
	s.env.cuts.log = s.env.log
	return s
}

// SetLimits changes the limits for new connections; open ones keep theirs.
func (s *Server) SetLimits(l Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	l = l.WithDefaults()
	s.limits = &l
}

// Serve accepts connections on ln and serves their calls until ln fails, ctx ends, or Shutdown is called; then it returns
// ErrServerClosed. When ln fails or ctx ends, it closes the connections of ln and cancels their calls. When Serve returns,
// ln and its connections are closed and its goroutines have ended, except handlers that ignore the end of their context for
// more than a second.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	defer ln.Close()
	if !s.listen(ln) {
		return ErrServerClosed
	}
	defer s.unlisten(ln)
	g := &connGroup{ctx: ctx, env: &s.env, pool: &s.pool, forget: s.forget}
	stop := context.AfterFunc(ctx, func() {
		_ = ln.Close()
		s.cut(g)
	})
	defer stop()
	s.pool.use()
	defer s.pool.leave()

	err := s.accept(ln, g)
	if !errors.Is(err, ErrServerClosed) {
		s.cut(g)
	}
	g.open.Wait()
	return err
}

func (s *Server) accept(ln net.Listener, g *connGroup) error {
	var logged time.Time
	err := accept.Loop(g.ctx, ln, func(c net.Conn) { s.start(g, c) }, func(err error) bool {
		if s.isDraining() {
			return false
		}
		if now := time.Now(); logged.IsZero() || now.Sub(logged) >= acceptLogEvery {
			s.env.log.Warn("accept failed", "error", err)
			logged = now
		}
		return true
	})
	if s.isDraining() {
		return ErrServerClosed
	}
	return err
}

// start has a worker serve c.
func (s *Server) start(g *connGroup, c net.Conn) {
	sc := s.open(g, c)
	if sc == nil {
		_ = c.Close()
		return
	}
	s.env.observer.ConnOpened()
	g.open.Add(1)
	s.pool.wake(sc)
}

// open adds a connection, or returns nil if the server is closed.
func (s *Server) open(g *connGroup, c net.Conn) *serverConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || g.ctx.Err() != nil {
		return nil
	}
	sc := newServerConn(g, c, s.limits)
	leaves := &retirement{conn: sc}
	s.conns[sc] = leaves
	if s.draining {
		sc.deadlines.drain()
	}
	if age := s.limits.ConnectionAge(); age > 0 {
		leaves.endAt(age)
	}
	if !s.trusts(c) {
		leaves.begin()
	} else if certificate := sc.calls.from.certificate; certificate != nil {
		leaves.schedule(certificate.NotAfter)
	}
	return sc
}

// Recheck asks Trusts about all open connections.
func (s *Server) Recheck() {
	s.mu.Lock()
	open := maps.Clone(s.conns)
	s.mu.Unlock()
	for sc, leaves := range open {
		if !s.trusts(sc.conn) {
			leaves.begin()
		}
	}
}

func (s *Server) forget(sc *serverConn) {
	s.env.observer.ConnClosed()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[sc].end()
	delete(s.conns, sc)
	close(s.changed)
	s.changed = make(chan struct{})
}

func (s *Server) listen(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return false
	}
	s.listeners[ln] = struct{}{}
	return true
}

func (s *Server) unlisten(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
}

func (s *Server) isDraining() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.draining
}

// cut closes the connections of g, or all if g is nil.
func (s *Server) cut(g *connGroup) {
	s.mu.Lock()
	var cut []*serverConn
	for sc := range s.conns {
		if g == nil || sc.group == g {
			cut = append(cut, sc)
		}
	}
	s.mu.Unlock()
	for _, sc := range cut {
		sc.fail(ErrServerClosed)
	}
}

// Shutdown drains the server: it closes the listeners, announces the drain on every connection with the last accepted
// sequence, and serves the calls that still arrive. A connection is closed after 100 ms without a call in flight or a new
// frame. The drain is only announced to clients that have sent a key of ours (x-em-…), since others may crash on the frame.
// When ctx ends, Shutdown closes the remaining connections and returns the error of ctx. Serve returns when its connections
// are closed.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining = true
	for ln := range s.listeners {
		_ = ln.Close()
	}
	for sc := range s.conns {
		sc.deadlines.drain()
	}
	s.mu.Unlock()

	for {
		s.mu.Lock()
		left, changed := len(s.conns), s.changed
		s.closed = s.closed || left == 0
		s.mu.Unlock()
		if left == 0 {
			return nil
		}
		select {
		case <-changed:
		case <-ctx.Done():
			s.mu.Lock()
			s.closed = true
			s.mu.Unlock()
			s.sendGoAway()
			s.cut(nil)
			return ctx.Err()
		}
	}
}

// sendGoAway sends all clients the sequence of the last accepted call, and gives them goAwayGrace to read it.
func (s *Server) sendGoAway() {
	s.mu.Lock()
	var sent sync.WaitGroup
	var unread atomic.Bool
	for c := range s.conns {
		sent.Go(func() {
			if c.sendGoAway() {
				unread.Store(true)
			}
		})
	}
	s.mu.Unlock()
	sent.Wait()
	if unread.Load() {
		time.Sleep(goAwayGrace)
	}
}
