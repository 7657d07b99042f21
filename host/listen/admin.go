package listen

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/host/admin"
	"github.com/easymicro/easymicro/host/machine"
	"github.com/easymicro/easymicro/wire"
)

// adminServer serves the admin or the health listener.
type adminServer struct {
	server   *http.Server
	listener *adminListener
	socket   socket
	address  config.Address // as in the manifest
	done     chan struct{}
}

// serveAdmin serves s with the handler that is in force when a request arrives. The name is for logs and metrics.
func serveAdmin(l *Listeners, name string, s socket, address config.Address, handler func() http.Handler, e *encryption) *adminServer {
	ln := newAdminListener(s, name, l)
	ln.setTLS(e)
	serve := func(w http.ResponseWriter, r *http.Request) { ln.serve(handler(), w, r) }
	a := &adminServer{
		server: admin.NewServer(http.HandlerFunc(serve), l.o.Sampler.Logger()), socket: s, address: address, done: make(chan struct{}),
		listener: ln,
	}
	a.server.ConnState, a.server.ConnContext = ln.state, ln.withConn
	go func() {
		defer close(a.done)
		if err := a.server.Serve(ln); !errors.Is(err, http.ErrServerClosed) {
			l.o.Log.Error("the listener at "+s.Addr().String()+" failed", "error", err)
		}
	}()
	return a
}

// stop waits for requests until ctx ends. A nil server has none.
func (a *adminServer) stop(ctx context.Context) {
	if a == nil {
		return
	}
	if a.server.Shutdown(ctx) != nil {
		_ = a.server.Close()
	}
	<-a.done
}

// setTLS changes the TLS; nil is none. It does nothing on a nil server.
func (a *adminServer) setTLS(e *encryption) {
	if a != nil {
		a.listener.setTLS(e)
	}
}

func (a *adminServer) addr() net.Addr {
	if a == nil {
		return nil
	}
	return a.socket.Addr()
}

const (
	maxAdminConns = 64 // per listener, at most
	adminShare    = 4  // a listener gets 1/adminShare of the reserved descriptors: there are two, and files and etcd need some
	acceptRetry   = 10 * time.Millisecond
)

// adminListener accepts the connections of operators and their tools; it may use the reserved descriptors. It accepts
// all: beyond its limit it closes one without a request. It retries after an error of Accept.
type adminListener struct {
	net.Listener
	name    string
	outages *outages
	held    <-chan struct{} // Accept waits for it to be closed
	max     int
	closing sync.Once
	closed  chan struct{}
	tls     atomic.Pointer[encryption] // nil: none

	mu   sync.Mutex
	open map[net.Conn]*adminConn
}

type adminConn struct {
	tls       *tls.Config
	idle      bool      // between two requests
	answering bool      // otherwise idle, or still reading a request
	since     time.Time // of that state
}

func newAdminListener(ln net.Listener, name string, l *Listeners) *adminListener {
	limit := maxAdminConns
	if descriptors := machine.Descriptors(); descriptors > 0 {
		limit = max(1, min(limit, descriptorsKept(descriptors)/adminShare))
	}
	return &adminListener{
		Listener: ln, name: name, outages: l.outages, held: l.held, max: limit, closed: make(chan struct{}), open: make(map[net.Conn]*adminConn),
	}
}

func (l *adminListener) Accept() (net.Conn, error) {
	select {
	case <-l.held:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	for {
		conn, err := l.Listener.Accept()
		switch {
		case err == nil:
			c := l.tls.Load().current()
			if c != nil {
				conn = tls.Server(conn, c) // the server makes the handshake, on a goroutine of the connection
			}
			l.admit(conn, c)
			return conn, nil
		case errors.Is(err, net.ErrClosed):
			return nil, err
		}
		l.outages.failed(l.name, err)
		select {
		case <-l.closed:
		case <-time.After(acceptRetry):
		}
	}
}

// admit adds a connection, and closes another if the limit is reached.
func (l *adminListener) admit(conn net.Conn, c *tls.Config) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.open) >= l.max {
		victim := l.victim()
		delete(l.open, victim)
		cut(victim)
		l.outages.note(l.name, acceptTooMany, nil)
	}
	l.open[conn] = &adminConn{tls: c, since: time.Now()}
}

func cut(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn() // closing TLS may wait for the peer
	}
	_ = conn.Close()
}

// setTLS changes the TLS of new connections. Others end once they have no request: their peers may no longer be trusted.
func (l *adminListener) setTLS(e *encryption) {
	c := e.commit()
	l.tls.Store(e)
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn, of := range l.open {
		if of.idle && of.tls != c {
			cut(conn)
		}
	}
}

// victim returns the connection that has been without a request longest or, if all have one, the one with the oldest
// request. The caller holds the mutex.
func (l *adminListener) victim() (victim net.Conn) {
	var of *adminConn
	for conn, c := range l.open {
		if of == nil || of.answering && !c.answering || of.answering == c.answering && c.since.Before(of.since) {
			victim, of = conn, c
		}
	}
	return victim
}

func (l *adminListener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// state is the ConnState of the server.
func (l *adminListener) state(conn net.Conn, s http.ConnState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	of := l.open[conn]
	switch {
	case of == nil:
	case s == http.StateClosed, s == http.StateHijacked:
		delete(l.open, conn)
	default:
		if of.idle = s == http.StateIdle; of.idle && (of.tls != l.tls.Load().current() || expired(conn)) {
			cut(conn)
		}
	}
}

// expired reports whether the certificate of a client has expired.
func expired(conn net.Conn) bool {
	certificate := wire.PeerCertificate(conn)
	return certificate != nil && time.Now().After(certificate.NotAfter)
}

// trusts reports whether the peer of a connection, which may have connected before the TLS in force or long ago, is still trusted.
func (l *adminListener) trusts(conn net.Conn) bool {
	e := l.tls.Load()
	l.mu.Lock()
	of := l.open[conn]
	l.mu.Unlock()
	return !expired(conn) && (of == nil || of.tls == e.current() || e.trusts(conn))
}

type connKey struct{}

// withConn is the ConnContext of the server.
func (l *adminListener) withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, conn)
}

// serve marks the connection of a request as answering while next serves it, or closes it if its peer has lost trust.
func (l *adminListener) serve(next http.Handler, w http.ResponseWriter, r *http.Request) {
	conn, _ := r.Context().Value(connKey{}).(net.Conn)
	if !l.trusts(conn) {
		panic(http.ErrAbortHandler) //nolint:forbidigo // how net/http closes a connection without an answer
	}
	l.mark(conn, true)
	defer l.mark(conn, false)
	next.ServeHTTP(w, r)
}

func (l *adminListener) mark(conn net.Conn, answering bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if c := l.open[conn]; c != nil {
		c.answering, c.since = answering, time.Now()
	}
}
