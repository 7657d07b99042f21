//go:build unix

package machine

import (
	"errors"
	"math"
	"syscall"
)

// Descriptors returns the number of descriptors that this process may have; 0 if it is unknown. The Go runtime raises the
// soft limit to the hard one at startup.
func Descriptors() int {
	var l syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &l) != nil {
		return 0
	}
	return int(min(uint64(l.Cur), math.MaxInt32)) //nolint:unconvert // signed on some systems
}

// Descriptor returns the number of the descriptor of a connection, or -1 without one. The system assigns the lowest free
// number, so all below it are in use.
func Descriptor(conn any) int {
	c, ok := conn.(syscall.Conn)
	if !ok {
		return -1
	}
	raw, err := c.SyscallConn()
	if err != nil {
		return -1
	}
	number := -1
	if raw.Control(func(fd uintptr) { number = int(fd) }) != nil {
		return -1
	}
	return number
}

// OutOfDescriptors reports whether an error means that this process, or the machine, has no descriptor left.
func OutOfDescriptors(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}
