package host

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/easymicro/easymicro/host/machine"
)

const (
	mostOperators  = 64 // connections of one listener, and no more than
	operatorsShare = 4  // one in so many of the descriptors that are kept back: there are two, and files and etcd need some
	operatorRetry  = 10 * time.Millisecond
)

// operatorListener accepts the connections of operators and their tools, from the descriptors that are kept back from callers
// too. It always does: beyond its limit a connection of which nothing is being answered is closed for the new one. What
// keeps it from accepting is soon tried again.
type operatorListener struct {
	net.Listener
	name        string
	acceptances *acceptances
	most        int
	closing     sync.Once
	closed      chan struct{}

	mu   sync.Mutex
	open map[net.Conn]*operatorConn
}

// operatorConn is what is known of a connection.
type operatorConn struct {
	answering bool      // or else it is idle, or its request has not come to its end
	since     time.Time // when that began
}

func newOperatorListener(ln net.Listener, name string, a *acceptances) *operatorListener {
	most := mostOperators
	if descriptors := machine.Descriptors(); descriptors > 0 {
		most = max(1, min(most, descriptorsKept(descriptors)/operatorsShare))
	}
	return &operatorListener{
		Listener: ln, name: name, acceptances: a, most: most, closed: make(chan struct{}), open: make(map[net.Conn]*operatorConn),
	}
}

func (l *operatorListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		switch {
		case err == nil:
			l.admit(conn)
			return conn, nil
		case errors.Is(err, net.ErrClosed):
			return nil, err
		}
		l.acceptances.failed(l.name, err)
		select {
		case <-l.closed:
		case <-time.After(operatorRetry):
		}
	}
}

// admit makes room for a new connection.
func (l *operatorListener) admit(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.open) >= l.most {
		victim := l.dispensable()
		delete(l.open, victim)
		_ = victim.Close()
		l.acceptances.note(l.name, acceptTooMany, nil)
	}
	l.open[conn] = &operatorConn{since: time.Now()}
}

// dispensable is the connection that has been without a request for longest; where all are being answered, it is the one
// that has been for longest. It needs the mutex.
func (l *operatorListener) dispensable() (victim net.Conn) {
	var of *operatorConn
	for conn, o := range l.open {
		if of == nil || of.answering && !o.answering || of.answering == o.answering && o.since.Before(of.since) {
			victim, of = conn, o
		}
	}
	return victim
}

func (l *operatorListener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// state follows the connections of a server.
func (l *operatorListener) state(conn net.Conn, s http.ConnState) {
	if s == http.StateClosed || s == http.StateHijacked {
		l.mu.Lock()
		defer l.mu.Unlock()
		delete(l.open, conn)
	}
}

type operatorKey struct{}

// with keeps the connection for serve.
func (l *operatorListener) with(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, operatorKey{}, conn)
}

// serve has next answer a request, and notes for how long.
func (l *operatorListener) serve(next http.Handler, w http.ResponseWriter, r *http.Request) {
	conn, _ := r.Context().Value(operatorKey{}).(net.Conn)
	l.note(conn, true)
	defer l.note(conn, false)
	next.ServeHTTP(w, r)
}

func (l *operatorListener) note(conn net.Conn, answering bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if o := l.open[conn]; o != nil {
		o.answering, o.since = answering, time.Now()
	}
}
