package wire

import (
	"context"
	"sync"
	"time"
)

// Deadline is a context that ends with its parent or at a time. Unlike a context of context.WithDeadline it starts no timer
// before Done is called, and a Conn does not call Done.
type Deadline struct {
	parent context.Context //nolint:containedctx // it is one
	at     time.Time

	mu     sync.Mutex
	late   bool            // Err has returned DeadlineExceeded without a timer, and must not change
	timed  context.Context //nolint:containedctx // made by the first Done; nil so far
	cancel context.CancelFunc
}

// WithDeadline returns a context that ends at a time, or at the deadline of parent if that is sooner. The caller must call
// Release.
func WithDeadline(parent context.Context, at time.Time) *Deadline {
	if d, ok := parent.Deadline(); ok && d.Before(at) {
		at = d
	}
	if d, ok := parent.(*Deadline); ok {
		parent = d.untimed()
	}
	return &Deadline{parent: parent, at: at}
}

// untimed returns the parent while d has no timer, and d otherwise.
func (d *Deadline) untimed() context.Context {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timed != nil {
		return d
	}
	return d.parent
}

// Release stops the timer. No call may use the context any more.
func (d *Deadline) Release() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.cancel != nil {
		d.cancel()
	}
}

// Deadline implements context.Context.
func (d *Deadline) Deadline() (time.Time, bool) { return d.at, true }

// Done implements context.Context.
func (d *Deadline) Done() <-chan struct{} {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timed == nil {
		parent := d.parent
		if d.late {
			parent = context.WithoutCancel(parent)
		}
		d.timed, d.cancel = context.WithDeadline(parent, d.at)
	}
	return d.timed.Done()
}

// Err implements context.Context.
func (d *Deadline) Err() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.timed != nil {
		return d.timed.Err()
	}
	if !d.late {
		if err := d.parent.Err(); err != nil {
			return err
		}
		d.late = !time.Now().Before(d.at)
	}
	if d.late {
		return context.DeadlineExceeded
	}
	return nil
}

// Value implements context.Context. Package context finds its own kind by it once there is a timer, so that contexts derived
// from d need no goroutine.
func (d *Deadline) Value(key any) any {
	d.mu.Lock()
	from := d.parent
	if d.timed != nil {
		from = d.timed
	}
	d.mu.Unlock()
	return from.Value(key)
}
