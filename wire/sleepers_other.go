//go:build !linux

package wire

// sleepers is for Linux. Elsewhere each connection that is asleep has a goroutine.
type sleepers struct{}

func (*sleepers) add(*serverConn) bool { return false }

func (*sleepers) remove(*serverConn) {}

func (*sleepers) close() {}
