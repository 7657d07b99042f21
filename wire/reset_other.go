//go:build !unix

package wire

import "net"

// onReset does nothing: the reset shows when an answer is written.
func onReset(net.Conn, func()) (stop func()) { return func() {} }
