package host

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

// A socket is a bound address. It outlives the stages that serve it one after the other, so that a changed listener on
// the same address loses no connection.
type socket struct {
	ln deadlineListener
}

type deadlineListener interface {
	net.Listener
	SetDeadline(t time.Time) error
}

// bind opens the address of field, which errors name. Paths of unix sockets start at the set's folder.
func bind(ctx context.Context, set *config.Set, field string, address config.Address) (*socket, error) {
	network, rest, err := address.Split()
	if err != nil {
		return nil, fieldProblem(set, field, err.Error())
	}
	if network == "unix" {
		rest = set.Path(rest)
		removeStale(ctx, rest)
	}
	ln, err := (&net.ListenConfig{}).Listen(ctx, network, rest)
	if err != nil {
		return nil, fieldProblem(set, field, "cannot listen: "+err.Error())
	}
	dl, ok := ln.(deadlineListener)
	if !ok {
		return nil, errors.Join(fieldProblem(set, field, "is no address of a stream"), ln.Close())
	}
	return &socket{ln: dl}, nil
}

// removeStale takes away the socket file of a process that is gone; one that answers is left, and bind then fails.
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

func (s *socket) addr() net.Addr { return s.ln.Addr() }

func (s *socket) close() error { return s.ln.Close() }

// lease hands the socket's connections to one stage, the listener of that name, until that stage pauses it.
func (s *socket) lease(listener string, a *acceptances) *lease {
	return &lease{socket: s, listener: listener, acceptances: a, closed: make(chan struct{})}
}

type lease struct {
	socket      *socket
	listener    string
	acceptances *acceptances

	paused    atomic.Bool
	accepting sync.Mutex // held while Accept waits
	closing   sync.Once
	closed    chan struct{}
}

// Accept waits for a connection. One that arrives while the lease is being paused is still handed out; then Accept
// waits for Close.
func (l *lease) Accept() (net.Conn, error) {
	conn, err := l.next()
	if conn == nil && err == nil {
		<-l.closed
		return nil, net.ErrClosed
	}
	return conn, err
}

// next is nothing when the lease is paused.
func (l *lease) next() (net.Conn, error) {
	l.accepting.Lock()
	defer l.accepting.Unlock()
	for !l.paused.Load() {
		conn, err := l.socket.ln.Accept()
		switch {
		case err == nil && l.acceptances.room(l.listener, conn):
			return conn, nil
		case err == nil:
			_ = conn.Close()
			continue
		case !errors.Is(err, os.ErrDeadlineExceeded):
			l.acceptances.failed(l.listener, err)
			return nil, err
		}
		// The deadline is another lease's way of waking its own Accept; it is lifted at once.
		time.Sleep(time.Millisecond)
	}
	return nil, nil
}

// pause ends the handing out and leaves the socket open.
func (l *lease) pause() {
	if l.paused.Swap(true) || l.socket.ln.SetDeadline(time.Unix(1, 0)) != nil {
		return // when the socket is closed, Accept has returned
	}
	l.accepting.Lock()
	defer l.accepting.Unlock()
	_ = l.socket.ln.SetDeadline(time.Time{})
}

// Close ends Accept and leaves the socket open.
func (l *lease) Close() error {
	l.pause()
	l.closing.Do(func() { close(l.closed) })
	return nil
}

func (l *lease) Addr() net.Addr { return l.socket.addr() }
