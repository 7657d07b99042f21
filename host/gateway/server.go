package gateway

import (
	"context"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire"
)

const (
	headerTimeout  = 5 * time.Second
	maxHeaderBytes = 32 << 10
	firstRequest   = 10 * time.Second // on a connection of HTTP/2
	sweepEvery     = time.Second
	maxExpiry      = time.Second // of idle connections, before a shutdown closes them

	http2Streams      = 250      // on one connection
	http2FrameBytes   = 16 << 10 // net/http allocates a frame when its header has arrived
	http2StreamBuffer = 256 << 10
	http2ConnBuffer   = 1 << 20
	http2PingAfter    = 30 * time.Second // without a frame
)

// ServerOptions configure a Server. Only Handler is required.
type ServerOptions struct {
	Handler http.Handler
	Limits  wire.Limits  // zero fields mean the defaults
	Budget  *wire.Budget // of the whole host; nil for one of its own with the defaults
	Logger  *slog.Logger // for messages of net/http, at debug level; nil discards
	Opened  func()       // called for each connection; may be nil
	Closed  func()       // called at the end of each; may be nil

	// Trusts is as in wire.ServerOptions. Connections of peers that are not trusted are closed when they have no request, and
	// after 30 s in any case.
	Trusts func(net.Conn) bool
}

// Server is an HTTP server that hostile peers cannot exhaust: it limits headers to 32 KiB within 5 s, idle connections to
// the limits' IdleTimeout, HTTP/2 connections without a request to 10 s, and the rate of HTTP/2 frames. It serves HTTP/1.1,
// HTTP/2 over TLS and h2c. Bodies and responses are limited by the Gateway, since only it knows when a call runs and must
// not be cut off.
type Server struct {
	http   http.Server
	budget *wire.Budget
	limits wire.Limits
	next   http.Handler
	opened func()
	closed func()
	trusts func(net.Conn) bool

	idleTimeout atomic.Int64
	maxAge      atomic.Int64
	transfers   transfers

	watch wire.Watch

	mu      sync.Mutex
	conns   map[*conn]struct{}
	waiting map[*conn]struct{} // for a request, since resume
	closing bool
}

// NewServer returns a Server.
func NewServer(o ServerOptions) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Budget == nil {
		o.Budget = wire.NewBudget(0, 0)
	}
	nothing := func() {}
	s := &Server{budget: o.Budget, limits: o.Limits.WithDefaults(), next: o.Handler, opened: nothing, closed: nothing}
	s.conns, s.waiting = make(map[*conn]struct{}), make(map[*conn]struct{})
	if s.trusts = o.Trusts; o.Trusts == nil {
		s.trusts = func(net.Conn) bool { return true }
	}
	if o.Opened != nil {
		s.opened = o.Opened
	}
	if o.Closed != nil {
		s.closed = o.Closed
	}
	s.SetTimeouts(s.limits.IdleTimeout, s.limits.MaxConnectionAge)
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	s.http = http.Server{
		Handler:           http.HandlerFunc(s.serve),
		ReadHeaderTimeout: headerTimeout,
		MaxHeaderBytes:    maxHeaderBytes - 4096, // net/http adds that much
		Protocols:         protocols,
		ErrorLog:          slog.NewLogLogger(o.Logger.Handler(), slog.LevelDebug),
		ConnContext:       withConn,
		ConnState:         s.state,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          min(s.limits.MaxInFlight, http2Streams),
			MaxReadFrameSize:              http2FrameBytes,
			MaxReceiveBufferPerConnection: http2ConnBuffer,
			MaxReceiveBufferPerStream:     http2StreamBuffer,
			SendPingTimeout:               http2PingAfter,
			WriteByteTimeout:              s.limits.WriteTimeout,
		},
	}
	return s
}

// SetTimeouts sets IdleTimeout and MaxConnectionAge of new connections.
func (s *Server) SetTimeouts(idle, age time.Duration) {
	s.idleTimeout.Store(int64(idle))
	s.maxAge.Store(int64(age))
}

// Serve serves the connections of ln, which it closes, until Shutdown or Close; then it returns http.ErrServerClosed. The
// end of ctx cancels the requests. Serve may be called only once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	unwatch := s.watch.Start()
	defer unwatch()
	sweeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	var swept sync.WaitGroup
	defer swept.Wait()
	defer stop()
	swept.Go(func() { s.sweepUntil(sweeping) })
	return s.http.Serve(&listener{ln, s, isLoopback(ln.Addr())})
}

// Shutdown stops accepting and returns when all requests are answered and the last connection is closed, or when ctx ends.
// Requests that have arrived on idle connections of HTTP/1 are answered.
func (s *Server) Shutdown(ctx context.Context) error {
	s.expireIdle(ctx)
	s.mu.Lock()
	s.closing = true
	for c := range s.waiting { // net/http would wait for them: to it they are new
		_ = c.Conn.Close()
	}
	s.mu.Unlock()
	return s.http.Shutdown(ctx)
}

// expireIdle ends idle connections of HTTP/1 like their idle timeout does, and returns when there are none: net/http would close
// them without reading.
func (s *Server) expireIdle(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, maxExpiry)
	defer cancel()
	tick := time.NewTicker(idleGrace)
	defer tick.Stop()
	for s.expireOnce() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// expireOnce reports whether there are idle connections.
func (s *Server) expireOnce() (idle bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	soon := time.Now().Add(idleGrace)
	for c := range s.conns {
		if c.idle.Load() && c.frames.Load() == nil {
			c.reads.expire(c.Conn, soon)
			idle = true
		}
	}
	return idle
}

// Close closes all connections.
func (s *Server) Close() error { return s.http.Close() }

// serve serves one request. Over HTTP/2, an answered request earns its connection frames.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	c := connOf(r.Context())
	c.requested.Store(true)
	if r.ProtoMajor == 1 {
		c.served++
		if c.leaves.begun() || c.leaves.isOld(c) {
			w.Header().Set("Connection", "close")
		}
	}
	s.next.ServeHTTP(w, r)
	if f := c.frames.Load(); f != nil && r.Context().Err() == nil {
		f.allowance.earn(framesPerAnswer * bytesPerFrame)
	}
}

func (s *Server) state(rwc net.Conn, state http.ConnState) {
	c, ok := rwc.(*conn)
	if !ok {
		return // never: listener wraps them
	}
	if state != http.StateActive {
		c.reads.release()
	}
	idle := state == http.StateIdle || state == http.StateNew && c.resumed
	if idle {
		c.idleSince.Store(instant(time.Now()))
		c.becameIdle.Store(true)
	}
	c.idle.Store(idle)
	switch state {
	case http.StateNew:
		s.opened()
	case http.StateClosed, http.StateHijacked:
		s.closed()
	case http.StateActive, http.StateIdle: // still open
	}
}

// sweepUntil ends stalled bodies and overdue HTTP/2 connections, on which net/http sets no deadlines, until ctx ends.
func (s *Server) sweepUntil(ctx context.Context) {
	tick := time.NewTicker(sweepEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			s.sweep(now)
		}
	}
}

func (s *Server) sweep(now time.Time) { s.transfers.sweep(now, s.budget, s.sweepConns(now)) }

// sweepConns ends connections of peers that have lost trust, old ones, and overdue ones of HTTP/2. It returns those of HTTP/2 whose peers
// do not read their responses.
func (s *Server) sweepConns(now time.Time) (silent map[*conn]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.conns {
		if c.leaves.begun() || c.proof != nil && now.After(c.proof.NotAfter) {
			c.leaves.advance(c, now)
		} else if c.leaves.isOld(c) {
			c.leaves.end(c, now)
		}
		f := c.frames.Load()
		switch {
		case f == nil: // HTTP/1
		case f.stalled(now, s.limits.BodyTimeout):
			_ = c.Conn.Close() // net/http sees it when it reads
		case !c.requested.Load() && now.Sub(c.opened) > firstRequest, c.idle.Load() && c.idleFor(now) > c.idleTimeout:
			c.drain()
		case c.silent(now):
			if silent == nil {
				silent = make(map[*conn]bool)
			}
			silent[c] = true
		}
	}
	return silent
}

func (s *Server) newConn(nc net.Conn, loopback bool) *conn {
	age := wire.Limits{MaxConnectionAge: time.Duration(s.maxAge.Load())}.ConnectionAge()
	c := newConn(nc, s.budget, connOptions{
		owner: s, transfers: &s.transfers, watch: &s.watch, loopback: loopback,
		idleTimeout: time.Duration(s.idleTimeout.Load()), writeTimeout: s.limits.WriteTimeout, maxAge: age,
	})
	s.mu.Lock()
	s.conns[c] = struct{}{}
	s.mu.Unlock()
	if !s.trusts(nc) { // last: Recheck sees the connection, or this sees what has changed before Recheck
		c.leaves.advance(c, time.Now())
	}
	return c
}

// Recheck asks Trusts about all open connections.
func (s *Server) Recheck() {
	s.mu.Lock()
	open := slices.Collect(maps.Keys(s.conns))
	s.mu.Unlock()
	for _, c := range open {
		if !s.trusts(c.Conn) {
			c.leaves.advance(c, time.Now())
		}
	}
}

func (s *Server) untrack(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
	delete(s.waiting, c)
}

// resume has another goroutine of net/http serve c.
func (s *Server) resume(c *conn) {
	s.mu.Lock()
	closing := s.closing
	if c.resumed {
		s.waiting[c] = struct{}{}
	}
	s.mu.Unlock()
	only := &oneListener{c: c}
	if !closing {
		_ = s.http.Serve(only)
	}
	if !only.accepted {
		_ = c.Close()
	}
}

func (s *Server) resumed(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.waiting, c)
}

// oneListener accepts one connection.
type oneListener struct {
	c        *conn
	accepted bool
}

func (l *oneListener) Accept() (net.Conn, error) {
	if l.accepted {
		return nil, net.ErrClosed
	}
	l.accepted = true
	return l.c, nil
}

func (*oneListener) Close() error     { return nil }
func (l *oneListener) Addr() net.Addr { return l.c.LocalAddr() }

// listener wraps the connections of a Server.
type listener struct {
	net.Listener
	server   *Server
	loopback bool
}

func (l *listener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return l.server.newConn(c, l.loopback), nil
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}
