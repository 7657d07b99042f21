package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"runtime"

	"golang.org/x/sys/unix"

	"github.com/easymicro/easymicro/samples/benchmark/contestant"
	"github.com/easymicro/easymicro/samples/benchmark/message"
)

// serveEpoll serves all connections in one loop for each processor. A loop waits for what can be read, reads it once, answers
// and writes. It ends with the process.
func serveEpoll(ctx context.Context, s contestant.Site) error {
	listener, address, err := listenRaw()
	if err != nil {
		return err
	}
	loops := make([]*loop, runtime.GOMAXPROCS(0))
	failed := make(chan error, len(loops)+1)
	for i := range loops {
		if loops[i], err = newLoop(s.Work); err != nil {
			return err
		}
		go func() { failed <- loops[i].run() }()
	}
	go func() { failed <- accept(listener, loops) }()
	s.Ready(address)
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
		return nil
	}
}

func listenRaw() (fd int, address string, err error) {
	fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return 0, "", fmt.Errorf("socket: %w", err)
	}
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		return 0, "", fmt.Errorf("bind: %w", err)
	}
	if err := unix.Listen(fd, unix.SOMAXCONN); err != nil {
		return 0, "", fmt.Errorf("listen: %w", err)
	}
	bound, err := unix.Getsockname(fd)
	if err != nil {
		return 0, "", fmt.Errorf("getsockname: %w", err)
	}
	v4, ok := bound.(*unix.SockaddrInet4)
	if !ok {
		return 0, "", fmt.Errorf("bound to a %T", bound)
	}
	return fd, net.JoinHostPort("127.0.0.1", fmt.Sprint(v4.Port)), nil
}

// accept gives connections to the loops in turn.
func accept(listener int, loops []*loop) error {
	for n := 0; ; n++ {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("accept: %w", err)
		}
		if err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1); err != nil {
			return fmt.Errorf("setsockopt: %w", err)
		}
		if err := loops[n%len(loops)].add(fd); err != nil {
			return err
		}
	}
}

// loop serves connections on one thread.
type loop struct {
	epoll   int
	work    message.Work
	partial map[int][]byte // what was read of a frame that is not complete
	in, out []byte
	args    message.BenchmarkMessage
}

func newLoop(work message.Work) (*loop, error) {
	epoll, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("epoll_create: %w", err)
	}
	return &loop{epoll: epoll, work: work, partial: map[int][]byte{}, in: make([]byte, bigBuffer)}, nil
}

func (l *loop) add(fd int) error {
	if err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd)}); err != nil {
		return fmt.Errorf("epoll_ctl: %w", err)
	}
	return nil
}

func (l *loop) run() error {
	runtime.LockOSThread()
	var events [256]unix.EpollEvent
	for {
		n, err := unix.EpollWait(l.epoll, events[:], -1)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err != nil {
			return fmt.Errorf("epoll_wait: %w", err)
		}
		for _, e := range events[:n] {
			if err := l.serve(int(e.Fd)); err != nil {
				delete(l.partial, int(e.Fd))
				_ = unix.Close(int(e.Fd))
			}
		}
	}
}

// serve answers what a connection has sent.
func (l *loop) serve(fd int) error {
	n, err := unix.Read(fd, l.in)
	if errors.Is(err, unix.EAGAIN) || errors.Is(err, unix.EINTR) {
		return nil
	}
	if err != nil || n == 0 {
		return errors.Join(err, net.ErrClosed)
	}
	data := l.in[:n]
	if before := l.partial[fd]; len(before) > 0 {
		data = append(before, data...)
	}
	l.out = l.out[:0]
	for {
		id, payload, rest, ok, err := cutFrame(data)
		if err != nil {
			return err
		}
		data = rest
		if !ok {
			break
		}
		if l.out, err = answer(l.out, id, payload, &l.args, l.work); err != nil {
			return err
		}
	}
	if len(data) > 0 || l.partial[fd] != nil {
		l.partial[fd] = append([]byte(nil), data...)
	}
	if len(l.out) == 0 {
		return nil
	}
	// A caller waits for its reply before it calls again, so that replies always fit into the socket's buffer.
	if n, err := unix.Write(fd, l.out); err != nil || n < len(l.out) {
		return errors.Join(err, net.ErrClosed)
	}
	return nil
}
