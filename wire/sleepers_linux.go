package wire

import (
	"os"
	"sync"
	"syscall"
)

// sleepers waits for the next byte of connections that are asleep, with one goroutine for all: a goroutine for each would
// hold more memory than the connection does. The kernel watches the sockets in a set of their own (epoll), beside that of the
// Go runtime. The zero value is ready to use.
type sleepers struct {
	mu    sync.Mutex
	set   *os.File // nil: not open
	raw   syscall.RawConn
	conns map[int32]*serverConn // by descriptor
}

// add has c roused when its socket is readable or at its end. It reports false if that is not possible.
func (s *sleepers) add(c *serverConn) bool {
	sc, ok := c.conn.(syscall.Conn)
	if !ok {
		return false
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.open() {
		return false
	}
	added := false
	err = raw.Control(func(fd uintptr) {
		added = s.ctl(syscall.EPOLL_CTL_ADD, fd) == nil || s.ctl(syscall.EPOLL_CTL_MOD, fd) == nil
		c.sleepsAs = int32(fd)
		s.conns[c.sleepsAs] = c
	})
	if err != nil || !added {
		delete(s.conns, c.sleepsAs)
		return false
	}
	return true
}

// ctl needs s.mu.
func (s *sleepers) ctl(op int, fd uintptr) (err error) {
	e := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT, Fd: int32(fd)}
	if outer := s.raw.Control(func(set uintptr) { err = syscall.EpollCtl(int(set), op, int(fd), &e) }); outer != nil {
		return outer
	}
	return err
}

// remove forgets c, whose socket may be closed.
func (s *sleepers) remove(c *serverConn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.conns[c.sleepsAs] == c {
		delete(s.conns, c.sleepsAs)
	}
}

// open makes the set unless there is one. It needs s.mu.
func (s *sleepers) open() bool {
	if s.set != nil {
		return true
	}
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return false
	}
	_ = syscall.SetNonblock(fd, true) // so that the runtime waits for the set as for a socket
	s.set = os.NewFile(uintptr(fd), "epoll")
	s.conns = make(map[int32]*serverConn)
	if s.raw, err = s.set.SyscallConn(); err != nil {
		_ = s.set.Close()
		s.set = nil
		return false
	}
	go s.run(s.raw)
	return true
}

// close ends the goroutine. No connection may be asleep.
func (s *sleepers) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.set != nil {
		_ = s.set.Close()
		s.set = nil
	}
}

func (s *sleepers) run(raw syscall.RawConn) {
	var events [128]syscall.EpollEvent
	for {
		n := 0
		err := raw.Read(func(set uintptr) bool {
			n, _ = syscall.EpollWait(int(set), events[:], 0)
			return n > 0
		})
		if err != nil {
			return
		}
		for _, e := range events[:n] {
			s.mu.Lock()
			c := s.conns[e.Fd]
			s.mu.Unlock()
			if c != nil {
				c.rouse()
			}
		}
	}
}
