//go:build !unix

package wire

import "net"

// onReset does nothing: writing an answer detects the reset.
func onReset(net.Conn, func()) (stop func()) { return func() {} }

// peekEnd finds nothing: a call meets the end of the connection.
func peekEnd(net.Conn) error { return nil }
