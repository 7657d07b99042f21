package gateway

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/wire"
)

const (
	headerTimeout  = 5 * time.Second
	maxHeaderBytes = 32 << 10
	firstRequest   = 10 * time.Second // of a connection of HTTP/2
	sweepEvery     = time.Second

	http2Streams      = 250      // at most, on one connection
	http2FrameBytes   = 16 << 10 // net/http makes room for a frame when its header has come
	http2StreamBuffer = 256 << 10
	http2ConnBuffer   = 1 << 20
	http2PingAfter    = 30 * time.Second // without a frame
)

// ServerOptions are settings of a Server. Only Handler is required.
type ServerOptions struct {
	Handler http.Handler
	Limits  wire.Limits  // zero fields mean the defaults
	Budget  *wire.Budget // of the whole host; nil: one of its own with the defaults
	Logger  *slog.Logger // for what net/http says, at debug level; nil discards
	Opened  func()       // is told of each connection; may be nil
	Closed  func()       // is told of the end of each; may be nil
}

// Server is an HTTP server with every bound that a hostile peer needs: headers of 32 KiB within 5 s, idle connections for
// the limits' IdleTimeout, connections of HTTP/2 without a request for 10 s, and floods of HTTP/2's frames at a bounded
// rate. HTTP/1.1, HTTP/2 with TLS and h2c are on. Bodies and answers are bounded by the Gateway itself, since only it
// knows when a call runs and is not to be cut.
type Server struct {
	http   http.Server
	budget *wire.Budget
	limits wire.Limits
	next   http.Handler
	opened func()
	closed func()

	idleTimeout atomic.Int64
	transfers   transfers

	mu     sync.Mutex
	second map[*conn]struct{} // that speak HTTP/2
}

// NewServer makes a Server.
func NewServer(o ServerOptions) *Server {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Budget == nil {
		o.Budget = wire.NewBudget(0, 0)
	}
	nothing := func() {}
	s := &Server{budget: o.Budget, limits: o.Limits.WithDefaults(), next: o.Handler, opened: nothing, closed: nothing, second: make(map[*conn]struct{})}
	if o.Opened != nil {
		s.opened = o.Opened
	}
	if o.Closed != nil {
		s.closed = o.Closed
	}
	s.SetIdleTimeout(s.limits.IdleTimeout)
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

// SetIdleTimeout changes how long the connections that come from now on may be idle.
func (s *Server) SetIdleTimeout(d time.Duration) { s.idleTimeout.Store(int64(d)) }

// Serve serves the connections of ln, which it closes, until Shutdown or Close; then it returns http.ErrServerClosed. The
// end of ctx ends the requests. A Server serves once.
func (s *Server) Serve(ctx context.Context, ln net.Listener) error {
	s.http.BaseContext = func(net.Listener) context.Context { return ctx }
	sweeping, stop := context.WithCancel(context.WithoutCancel(ctx))
	var swept sync.WaitGroup
	defer swept.Wait()
	defer stop()
	swept.Go(func() { s.sweepUntil(sweeping) })
	return s.http.Serve(&listener{ln, s, isLoopback(ln.Addr())})
}

// Shutdown stops accepting, lets the requests that have come be answered, and returns when the last connection is closed
// or ctx ends.
func (s *Server) Shutdown(ctx context.Context) error { return s.http.Shutdown(ctx) }

// Close closes all connections.
func (s *Server) Close() error { return s.http.Close() }

// serve serves one request. One of HTTP/2 that is answered is worth frames to its connection.
func (s *Server) serve(w http.ResponseWriter, r *http.Request) {
	c := connOf(r.Context())
	c.requested.Store(true)
	s.next.ServeHTTP(w, r)
	if f := c.frames.Load(); f != nil && r.Context().Err() == nil {
		f.allowance.earn(framesPerAnswer * bytesPerFrame)
	}
}

func (s *Server) state(rwc net.Conn, state http.ConnState) {
	c, ok := rwc.(*conn)
	if !ok {
		return // never: Serve makes them
	}
	if state == http.StateIdle {
		c.idleSince.Store(time.Now().UnixNano())
		c.resting.Store(true)
	}
	c.idle.Store(state == http.StateIdle)
	switch state {
	case http.StateNew:
		s.opened()
	case http.StateClosed, http.StateHijacked:
		s.closed()
	case http.StateActive, http.StateIdle: // still open
	}
}

// sweepUntil looks after bodies that do not come, and the connections of HTTP/2, on which net/http has no deadlines.
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

func (s *Server) sweep(now time.Time) { s.transfers.sweep(now, s.budget, s.sweepSecond(now)) }

// sweepSecond ends connections of HTTP/2 that are overdue, and returns those of which the peer takes no answers.
func (s *Server) sweepSecond(now time.Time) (silent map[*conn]bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.second {
		switch {
		case c.frames.Load().stalled(now, s.limits.BodyTimeout):
			_ = c.Conn.Close() // its reader tells net/http
		case !c.requested.Load() && now.Sub(c.opened) > firstRequest, c.idle.Load() && c.idleFor(now) > c.idleTimeout:
			c.leave()
		case c.silent(now):
			if silent == nil {
				silent = make(map[*conn]bool)
			}
			silent[c] = true
		}
	}
	return silent
}

func (s *Server) follow(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.second[c] = struct{}{}
}

func (s *Server) forget(c *conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.second, c)
}

// listener gives the server connections that it can look after.
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
	return newConn(c, l.server, l.loopback), nil
}

func isLoopback(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// stallAfter is how long a body may make no progress when memory is short.
const stallAfter = time.Second

// transfer is a body on its way in, or an answer of HTTP/2 on its way out.
type transfer struct {
	conn    *conn
	w       http.ResponseWriter
	answer  bool
	at      atomic.Int64 // of a body: when the last of it came, in nanoseconds since 1970
	stalled bool         // it was ended; guarded by the mutex of transfers until it has left
}

// end has what waits for the peer return.
func (t *transfer) end() {
	past := time.Unix(1, 0)
	t.stalled = true
	if c := http.NewResponseController(t.w); t.answer {
		_ = c.SetWriteDeadline(past)
	} else {
		_ = c.SetReadDeadline(past)
	}
}

// transfers are what the requests of a Server wait for. Those of peers that do nothing for them are ended.
type transfers struct {
	mu   sync.Mutex
	open map[*transfer]struct{}
}

func (s *transfers) begin(t *transfer) {
	t.at.Store(time.Now().UnixNano())
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.open == nil {
		s.open = make(map[*transfer]struct{})
	}
	s.open[t] = struct{}{}
}

// leave forgets t, and reports whether it was ended.
func (s *transfers) leave(t *transfer) (stalled bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.open, t)
	stalled = t.stalled
	t.stalled = false
	return stalled
}

// sweep ends the answers of silent connections and, when memory is short, the bodies that do not come.
func (s *transfers) sweep(now time.Time, b *wire.Budget, silent map[*conn]bool) {
	short := b.Short()
	s.mu.Lock()
	defer s.mu.Unlock()
	for t := range s.open {
		switch {
		case t.stalled:
		case t.answer && silent[t.conn], !t.answer && short && now.Sub(time.Unix(0, t.at.Load())) >= stallAfter:
			t.end()
		}
	}
}
