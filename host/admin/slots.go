package admin

import (
	"context"
	"time"
)

// slots bounds how many requests do the same at a time; nil does not.
type slots chan struct{}

// newSlots returns n slots; nil for 0.
func newSlots(n int) slots {
	if n == 0 {
		return nil
	}
	return make(slots, n)
}

// enter waits for a slot, which leave frees.
func (s slots) enter(ctx context.Context, wait time.Duration) error {
	if s == nil {
		return nil
	}
	select {
	case s <- struct{}{}:
		return nil
	default:
	}
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case s <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return Errorf(CodeUnavailable, "too many other requests of this kind are served").WithHelp("repeat the request later")
	}
}

func (s slots) leave() {
	if s != nil {
		<-s
	}
}
