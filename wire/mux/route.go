package mux

import (
	"net"
	"sync"
)

// route is the virtual listener of one protocol.
type route struct {
	mux    *Mux
	accept func(byte) bool
	conns  chan net.Conn
	once   sync.Once
	closed chan struct{}
}

// Accept waits for a connection of the protocol. It gives net.ErrClosed when the route or its Mux is closed.
func (r *route) Accept() (net.Conn, error) {
	select {
	case <-r.closed:
		return nil, r.gone()
	case <-r.mux.done:
		return nil, r.gone()
	default:
	}
	select {
	case c := <-r.conns:
		return c, nil
	case <-r.closed:
	case <-r.mux.done:
	}
	return nil, r.gone()
}

func (r *route) gone() error {
	return &net.OpError{Op: "accept", Net: r.Addr().Network(), Addr: r.Addr(), Err: net.ErrClosed}
}

// Close ends Accept. Connections of the protocol that come later are closed.
func (r *route) Close() error {
	r.once.Do(func() { close(r.closed) })
	return nil
}

// Addr is that of the shared listener.
func (r *route) Addr() net.Addr { return r.mux.ln.Addr() }
