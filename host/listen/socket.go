package listen

import (
	"context"
	"errors"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/easymicro/easymicro/config"
)

// socket is a bound address. It outlives the servers that serve it in turn, so that a changed listener on the same
// address loses no connection.
type socket interface {
	net.Listener
	SetDeadline(t time.Time) error
}

// binder binds the addresses of a set.
type binder struct {
	set    *config.Set
	passed func(listener, network, address string) (net.Listener, error) // as Options.Passed
}

// bind listens at an address of a listener, on the socket that was passed for it or else a new one. Errors name its field in the
// manifest.
func (b binder) bind(ctx context.Context, field, listener string, address config.Address) (socket, error) {
	set := b.set
	network, rest, err := split(set, address)
	if err != nil {
		return nil, set.ProblemAt(field, err.Error())
	}
	var ln net.Listener
	if b.passed != nil {
		ln, err = b.passed(listener, network, rest)
	}
	if ln == nil && err == nil && network == "systemd" {
		err = errors.New("systemd has passed no socket")
	}
	if ln == nil && err == nil {
		if network == "unix" {
			removeStale(ctx, rest)
		}
		ln, err = (&net.ListenConfig{}).Listen(ctx, network, rest)
	}
	if err != nil {
		return nil, set.ProblemAt(field, "cannot listen: "+err.Error())
	}
	s, ok := ln.(socket)
	if !ok {
		return nil, errors.Join(set.ProblemAt(field, "must be a TCP or unix address"), ln.Close())
	}
	return s, nil
}

// split returns the network and the address to listen at. Paths of unix sockets are relative to the set.
func split(set *config.Set, a config.Address) (network, address string, err error) {
	network, address, err = a.Listen()
	if network == "unix" {
		address = set.Path(address)
	}
	return network, address, err
}

// removeStale removes the socket file of a process that has ended. If one still accepts there, bind fails.
func removeStale(ctx context.Context, path string) {
	info, err := os.Stat(path)
	if err != nil || info.Mode()&os.ModeSocket == 0 {
		return
	}
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "unix", path)
	if err == nil {
		_ = conn.Close()
		return
	}
	_ = os.Remove(path)
}

// lease accepts the connections of a socket for one server, until it is paused.
type lease struct {
	socket   socket
	listener string // for metrics
	outages  *outages
	held     <-chan struct{} // Accept waits for it to be closed

	paused    atomic.Bool
	accepting sync.Mutex // held while Accept waits
	closing   sync.Once
	closed    chan struct{}
}

func newLease(s socket, listener string, l *Listeners) *lease {
	return &lease{socket: s, listener: listener, outages: l.outages, held: l.held, closed: make(chan struct{})}
}

// Accept waits for a connection. One that arrives while the lease is being paused is still returned; after that, Accept
// blocks until Close.
func (l *lease) Accept() (net.Conn, error) {
	select {
	case <-l.held:
	case <-l.closed:
		return nil, net.ErrClosed
	}
	conn, err := l.next()
	if conn == nil && err == nil {
		<-l.closed
		return nil, net.ErrClosed
	}
	return conn, err
}

// next returns neither a connection nor an error when the lease is paused.
func (l *lease) next() (net.Conn, error) {
	l.accepting.Lock()
	defer l.accepting.Unlock()
	for !l.paused.Load() {
		conn, err := l.socket.Accept()
		switch {
		case err == nil && l.outages.admits(l.listener, conn):
			return conn, nil
		case err == nil:
			_ = conn.Close()
			continue
		case !errors.Is(err, os.ErrDeadlineExceeded):
			l.outages.failed(l.listener, err)
			return nil, err
		}
		// Another lease has set the deadline to wake its own Accept, and removes it at once.
		time.Sleep(time.Millisecond)
	}
	return nil, nil
}

// pause stops accepting and leaves the socket open.
func (l *lease) pause() {
	if l.paused.Swap(true) || l.socket.SetDeadline(time.Unix(1, 0)) != nil {
		return // when the socket is closed, Accept has returned
	}
	l.accepting.Lock()
	defer l.accepting.Unlock()
	_ = l.socket.SetDeadline(time.Time{})
}

// Close makes Accept return and leaves the socket open.
func (l *lease) Close() error {
	l.pause()
	l.closing.Do(func() { close(l.closed) })
	return nil
}

func (l *lease) Addr() net.Addr { return l.socket.Addr() }
