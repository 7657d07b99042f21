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
