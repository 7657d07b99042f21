package host

import (
	"errors"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

const (
	mostOperators = 256 // connections of one listener
	operatorRetry = 10 * time.Millisecond
)

// operatorListener accepts the connections of operators and their tools: from the descriptors that are kept back from
// callers too, and so no more than some. What keeps it from accepting is soon tried again.
type operatorListener struct {
	net.Listener
	name        string
	acceptances *acceptances
	open        atomic.Int64
	closing     sync.Once
	closed      chan struct{}
}

func (l *operatorListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		switch {
		case err == nil && l.open.Load() < mostOperators:
			return conn, nil
		case err == nil:
			_ = conn.Close()
			l.acceptances.note(l.name, acceptTooMany, nil)
			continue
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

func (l *operatorListener) Close() error {
	l.closing.Do(func() { close(l.closed) })
	return l.Listener.Close()
}

// state follows the connections of a server.
func (l *operatorListener) state(_ net.Conn, s http.ConnState) {
	switch s {
	case http.StateNew:
		l.open.Add(1)
	case http.StateClosed, http.StateHijacked:
		l.open.Add(-1)
	case http.StateActive, http.StateIdle: // still open
	}
}
