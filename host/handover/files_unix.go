//go:build unix

package handover

import (
	"fmt"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// inherited returns a file that the old process has passed.
func inherited(fd uintptr, name string) (*os.File, error) {
	var about unix.Stat_t
	if err := unix.Fstat(int(fd), &about); err != nil {
		return nil, fmt.Errorf("descriptor %d (%s): %w", fd, name, err)
	}
	syscall.CloseOnExec(int(fd))
	_ = syscall.SetNonblock(int(fd), true) // so that reads can be interrupted
	return os.NewFile(fd, name), nil
}

// FileOf returns a file of a socket that listens. Unlike that of net.TCPListener.File, it can be passed to a process without Accept of this
// one blocking: passing that file sets the socket to blocking mode.
func FileOf(socket syscall.Conn) (*os.File, error) {
	raw, err := socket.SyscallConn()
	if err != nil {
		return nil, err
	}
	var fd int
	if failed := raw.Control(func(of uintptr) { fd, err = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0) }); failed != nil {
		return nil, failed
	}
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), "socket"), nil
}

// restoreErrors makes the passed file standard error again, and returns what was it until now.
func restoreErrors(passed int) (*os.File, error) {
	now, err := unix.FcntlInt(2, unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("standard error: %w", err)
	}
	if err := unix.Dup2(passed, 2); err != nil {
		return nil, fmt.Errorf("standard error: %w", err)
	}
	_ = unix.Close(passed)
	return os.NewFile(uintptr(now), "errors"), nil
}
