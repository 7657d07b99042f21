//go:build !linux

package wire

import "errors"

// newPollSet fails: elsewhere each connection that is asleep has a goroutine.
func newPollSet(func(fd uintptr)) (pollSet, error) { return nil, errors.ErrUnsupported }
