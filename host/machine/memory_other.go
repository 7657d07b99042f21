//go:build !linux

package machine

// Memory returns 0: the memory is unknown on this system.
func Memory() int64 { return 0 }

// Limit returns 0: this system has no control groups.
func Limit() int64 { return 0 }
