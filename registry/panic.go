package registry

import (
	"context"
	"runtime/debug"

	"github.com/easymicro/easymicro/wire/code"
)

// PanicError is what became of a handler's code that panicked or called runtime.Goexit.
type PanicError struct {
	Value any    // what was passed to panic; nil for runtime.Goexit
	Stack []byte // of the goroutine, with the place that panicked
}

// Error names the value, as code.PanicText has it, without the stack.
func (e *PanicError) Error() string {
	if e.Value == nil {
		return "runtime.Goexit called"
	}
	return "panic: " + code.PanicText(e.Value)
}

// caught makes the error of a deferred function that finds its function ended early; recovered is what recover gave it.
// Since Go 1.21 that is nil only when runtime.Goexit was called.
func caught(recovered any) *PanicError {
	return &PanicError{Value: recovered, Stack: debug.Stack()}
}

// interrupted is caught for the method of a call.
func interrupted(ctx context.Context, recovered any) error {
	e := caught(recovered)
	if recovered == nil {
		if c := CallFrom(ctx); c != nil && c.Goexit != nil {
			c.Goexit(e)
		}
	}
	return e
}

// within runs code of a handler in a goroutine of its own and waits for it until ctx ends: so a panic, a Goexit and a
// hang of that code become errors. A result that comes too late is given to late, in that goroutine.
func within[T any](ctx context.Context, fn func(context.Context) (T, error), late func(context.Context, T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	results, gone := make(chan result), make(chan struct{})
	go func() {
		var r result
		returned := false
		defer func() {
			if !returned {
				r = result{err: caught(recover())}
			}
			select {
			case results <- r:
			case <-gone:
				if r.err == nil {
					late(ctx, r.value)
				}
			}
		}()
		r.value, r.err = fn(ctx)
		returned = true
	}()
	select {
	case r := <-results:
		return r.value, r.err
	case <-ctx.Done():
		close(gone)
		var none T
		return none, context.Cause(ctx)
	}
}

// guarded is within for a hook that makes nothing.
func guarded(ctx context.Context, hook func(context.Context) error) error {
	_, err := within(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, hook(ctx) }, func(context.Context, struct{}) {})
	return err
}
