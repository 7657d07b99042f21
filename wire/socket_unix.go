//go:build unix

package wire

import (
	"io"
	"net"
	"sync/atomic"
	"syscall"
	"time"
)

// peekEnd returns io.EOF or the error that a read of c would meet now, or nil if there is none or c is not a socket.
func peekEnd(c net.Conn) (end error) {
	s, ok := c.(syscall.Conn)
	if !ok {
		return nil
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nil
	}
	_ = raw.Control(func(fd uintptr) { // fails only when c is closed, which others notice
		var b [1]byte
		switch n, _, err := syscall.Recvfrom(int(fd), b[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT); {
		case err == nil && n == 0:
			end = io.EOF
		case err != nil && !err.(syscall.Errno).Temporary(): //nolint:errorlint,forcetypeassert // of package syscall
			end = err
		}
	})
	return end
}

// onReset calls f when the peer resets a connection that has been read to its end, which reading no longer detects. stop
// prevents that, or waits for f to return.
func onReset(c net.Conn, f func()) (stop func()) {
	nothing := func() {}
	s, ok := c.(syscall.Conn)
	if !ok {
		return nothing
	}
	raw, err := s.SyscallConn()
	if err != nil {
		return nothing
	}
	var stopped atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		for !stopped.Load() {
			err := raw.Read(func(fd uintptr) bool {
				n, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
				return err != nil || n != 0
			})
			switch {
			case err == nil:
				f()
				return
			case !timedOut(err):
				return
			}
			_ = c.SetReadDeadline(time.Time{}) // set to interrupt the reader
		}
	}()
	return func() {
		stopped.Store(true)
		_ = c.SetReadDeadline(time.Unix(1, 0))
		<-done
	}
}
