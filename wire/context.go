package wire

import (
	"context"
	"sync"
	"time"
)

// Context is the context of a Call, from Call.Keep. It may be kept when the call is over, and is done then.
type Context struct {
	parent context.Context //nolint:containedctx // for its values and its deadline

	mu       sync.Mutex
	call     *Call // nil when it is over
	deadline time.Time
	done     chan struct{} // made by the first Done
	err      error
	after    map[*afterFunc]struct{}
}

type afterFunc struct{ run func() }

// closed is returned by Done after a call has ended without an earlier Done.
var closed = func() chan struct{} {
	c := make(chan struct{})
	close(c)
	return c
}()

// Deadline returns the earliest of the times given to Call.ExpireAt and the parent's deadline.
func (x *Context) Deadline() (time.Time, bool) {
	x.mu.Lock()
	d := x.deadline
	x.mu.Unlock()
	return deadlineWithin(x.parent, d)
}

// deadlineWithin returns the earlier of d, which may be zero, and the deadline of parent.
func deadlineWithin(parent context.Context, d time.Time) (time.Time, bool) {
	if p, ok := parent.Deadline(); ok && (d.IsZero() || p.Before(d)) {
		return p, true
	}
	return d, !d.IsZero()
}

// Done implements context.Context.
func (x *Context) Done() <-chan struct{} {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.done == nil {
		if x.err != nil {
			return closed
		}
		x.done = make(chan struct{})
	}
	return x.done
}

// Err implements context.Context.
func (x *Context) Err() error {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.err
}

// Value implements context.Context.
func (x *Context) Value(key any) any {
	if _, ok := key.(callKey); ok {
		x.mu.Lock()
		defer x.mu.Unlock()
		return x.call
	}
	return x.parent.Value(key)
}

// AfterFunc arranges to call f in its own goroutine when the call ends. Package context uses it, so that contexts derived
// from x need no goroutine.
func (x *Context) AfterFunc(f func()) (stop func() bool) {
	a := &afterFunc{run: f}
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		go f()
		return func() bool { return false }
	}
	if x.after == nil {
		x.after = make(map[*afterFunc]struct{}, 1)
	}
	x.after[a] = struct{}{}
	return func() bool {
		x.mu.Lock()
		defer x.mu.Unlock()
		_, waiting := x.after[a]
		delete(x.after, a)
		return waiting
	}
}

func (x *Context) setDeadline(t time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.deadline = t
}

// end ends the context.
func (x *Context) end(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.err = err
	if x.done != nil {
		close(x.done)
	}
	for a := range x.after {
		go a.run()
	}
	x.after = nil
}

// leave parts the context from its call, which is used again.
func (x *Context) leave() {
	x.mu.Lock()
	defer x.mu.Unlock()
	x.call = nil
}
