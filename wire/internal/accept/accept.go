// Package accept is an accept loop that survives temporary failures.
package accept

import (
	"context"
	"errors"
	"net"
	"time"
)

const (
	minPause = 5 * time.Millisecond
	maxPause = time.Second
)

// Loop calls serve with each connection of ln until ctx ends, whose error it returns, or ln is closed. After other errors,
// such as a lack of file descriptors, it tries again in 5 ms to 1 s, unless retry returns false.
func Loop(ctx context.Context, ln net.Listener, serve func(net.Conn), retry func(error) bool) error {
	var pause time.Duration
	for {
		c, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			serve(c)
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, net.ErrClosed) || !retry(err):
			return err
		}
		pause = min(max(2*pause, minPause), maxPause)
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}
