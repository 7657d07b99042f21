package wire

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"time"
)

// ErrServerClosed is what Serve returns after Shutdown.
var ErrServerClosed = errors.New("wire: server closed")

// cutWait is how long a cut server waits for handlers to notice that their calls are cancelled.
const cutWait = time.Second

// acceptTold is the time between two lines about a listener that does not accept.
const acceptTold = 10 * time.Second

// ServerOptions are what a Server needs to know. Only Handler must be set.
type ServerOptions struct {
	Handler  Handler
	Limits   Limits       // zero fields mean the defaults
	Logger   *slog.Logger // nil discards
	Observer Observer     // may be nil
	Budget   *Budget      // may be shared with other servers; nil means one of its own with the defaults
	Host     string       // the name that peers are told; may be empty
}

// Observer is told what happens to connections. It is called from the connections' goroutines and must not block.
type Observer interface {
	ConnOpened()
	ConnClosed()
	WireError(reason string) // a frame was refused or a connection cut for it; reason is one of a bounded set
}

// Server answers calls that come in frames. It may serve several listeners at once.
type Server struct {
	handler  Handler
	log      *slog.Logger
	observer Observer
	budget   *Budget
	host     string
	cuts     cutLog
	pool     workers

	mu        sync.Mutex
	limits    Limits
	listeners map[net.Listener]struct{}
	conns     map[*serverConn]struct{}
	draining  bool
	closed    bool
	changed   chan struct{} // closed and made anew when conns shrinks
}

// group is what belongs to one call of Serve.
type group struct {
	ctx context.Context //nolint:containedctx // the parent of the calls that come over its connections
}

// NewServer makes a server that serves nothing yet.
func NewServer(o ServerOptions) *Server {
	s := &Server{
		handler:   o.Handler,
		log:       o.Logger,
		observer:  o.Observer,
		budget:    o.Budget,
		host:      o.Host,
		limits:    o.Limits.WithDefaults(),
		listeners: make(map[net.Listener]struct{}),
		conns:     make(map[*serverConn]struct{}),
		changed:   make(chan struct{}),
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.observer == nil {
		s.observer = nobody{}
	}
	if s.budget == nil {
		s.budget = NewBudget(0, 0)
	}
	s.cuts.log = s.log
	return s
}

type nobody struct{}

func (nobody) ConnOpened()      {}
func (nobody) ConnClosed()      {}
func (nobody) WireError(string) {}

// SetLimits changes the limits of the connections that are accepted from now on; those that are open keep theirs.
func (s *Server) SetLimits(l Limits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.limits = l.WithDefaults()
}

// Serve accepts connections and answers their calls until ln fails, Shutdown is called (then it returns
// ErrServerClosed) or ctx ends. The end of ctx, and a failure of ln, cut the connections of this listener: their calls
// are cancelled. When Serve returns, ln and its connections are closed and nothing it started is running, except
// handlers that ignore the end of their context for longer than a second.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	defer ln.Close()
	if !s.listen(ln) {
		return ErrServerClosed
	}
	defer s.unlisten(ln)
	g := &group{ctx: ctx}
	stop := context.AfterFunc(ctx, func() {
		_ = ln.Close()
		s.cut(g)
	})
	defer stop()
	s.pool.use()
	defer s.pool.leave()

	var served sync.WaitGroup
	err := s.accept(ln, g, &served)
	if !errors.Is(err, ErrServerClosed) {
		s.cut(g)
	}
	served.Wait()
	return err
}

func (s *Server) accept(ln net.Listener, g *group, served *sync.WaitGroup) error {
	var pause time.Duration
	var told time.Time
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.start(g, c, served)
		case s.isDraining():
			return ErrServerClosed
		case g.ctx.Err() != nil:
			return g.ctx.Err()
		case errors.Is(err, net.ErrClosed):
			return err
		default:
			// Out of descriptors, or a peer that was gone before it was accepted: neither ends a server.
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			if now := time.Now(); told.IsZero() || now.Sub(told) >= acceptTold {
				s.log.Warn("accept failed", "error", err)
				told = now
			}
			if !sleep(g.ctx, pause) {
				return g.ctx.Err()
			}
		}
	}
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// start serves c in goroutines of its own; served is done when it is closed.
func (s *Server) start(g *group, c net.Conn, served *sync.WaitGroup) {
	sc := s.open(g, c, served)
	if sc == nil {
		_ = c.Close()
		return
	}
	s.observer.ConnOpened()
	served.Add(1)
	go sc.serve()
}

// open takes a connection in. One that comes while the server drains is told so at once.
func (s *Server) open(g *group, c net.Conn, served *sync.WaitGroup) *serverConn {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || g.ctx.Err() != nil {
		return nil
	}
	sc := newServerConn(s, g, c, s.limits, served)
	s.conns[sc] = struct{}{}
	if s.draining {
		sc.wait.kick()
	}
	return sc
}

func (s *Server) forget(sc *serverConn) {
	s.observer.ConnClosed()
	s.mu.Lock()
	defer s.mu.Unlock()
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

// cut closes the connections of g, or all of them when g is nil.
func (s *Server) cut(g *group) {
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
