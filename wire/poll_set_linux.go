package wire

import (
	"os"
	"syscall"
)

// epollSet is a pollSet by epoll.
type epollSet struct {
	file *os.File
	raw  syscall.RawConn
}

func newPollSet(readable func(fd uintptr)) (pollSet, error) {
	fd, err := syscall.EpollCreate1(syscall.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	_ = syscall.SetNonblock(fd, true) // so that the runtime waits for the set as for a socket
	s := &epollSet{file: os.NewFile(uintptr(fd), "epoll")}
	if s.raw, err = s.file.SyscallConn(); err != nil {
		s.close()
		return nil, err
	}
	go s.run(readable)
	return s, nil
}

func (s *epollSet) add(fd uintptr) (err error) {
	e := syscall.EpollEvent{Events: syscall.EPOLLIN | syscall.EPOLLRDHUP | syscall.EPOLLONESHOT, Fd: int32(fd)}
	outer := s.raw.Control(func(set uintptr) {
		if err = syscall.EpollCtl(int(set), syscall.EPOLL_CTL_ADD, int(fd), &e); err == syscall.EEXIST {
			err = syscall.EpollCtl(int(set), syscall.EPOLL_CTL_MOD, int(fd), &e)
		}
	})
	if outer != nil {
		return outer
	}
	return err
}

func (s *epollSet) close() { _ = s.file.Close() }

func (s *epollSet) run(readable func(fd uintptr)) {
	var events [128]syscall.EpollEvent
	for {
		n := 0
		err := s.raw.Read(func(set uintptr) bool {
			n, _ = syscall.EpollWait(int(set), events[:], 0)
			return n > 0
		})
		if err != nil {
			return // closed
		}
		for _, e := range events[:n] {
			readable(uintptr(e.Fd))
		}
	}
}
