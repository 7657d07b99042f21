package registry

import (
	"context"
	"fmt"
	"path"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/easymicro/easymicro/wire/code"
)

// PanicError reports that the code of a handler or an interceptor panicked or called runtime.Goexit.
type PanicError struct {
	Value       any    // what was passed to panic; nil for runtime.Goexit
	Place       string // file:line of the code that panicked, such as orders.go:12; empty if it is not known
	Stack       []byte // of the goroutine that panicked
	Interceptor string // name of the interceptor that panicked; empty for a handler
}

// Error returns the value, as code.PanicText has it, without the place and the stack.
func (e *PanicError) Error() string {
	if e.Value == nil {
		return "runtime.Goexit called"
	}
	return "panic: " + code.PanicText(e.Value)
}

// caught returns the error for a deferred function whose function ended early. recovered is what recover returned; since Go
// 1.21 that is nil only for runtime.Goexit.
func caught(recovered any) *PanicError {
	return &PanicError{Value: recovered, Place: panicPlace(), Stack: debug.Stack()}
}

// panicPlace returns the position of the goroutine's innermost panic or call of runtime.Goexit.
func panicPlace() string {
	pcs := make([]uintptr, 64)
	frames := runtime.CallersFrames(pcs[:runtime.Callers(1, pcs)])
	for inRuntime := false; ; {
		frame, more := frames.Next()
		switch {
		case frame.Function == "runtime.gopanic" || frame.Function == "runtime.Goexit":
			inRuntime = true
		case inRuntime && !strings.HasPrefix(frame.Function, "runtime."):
			return fmt.Sprintf("%s:%d", path.Base(frame.File), frame.Line)
		}
		if !more {
			return ""
		}
	}
}

// within runs a handler's code in a goroutine and waits for it until ctx ends. A panic, a Goexit and a timeout become
// errors. A late result is passed to late, in that goroutine.
func within[T any](ctx context.Context, fn func(context.Context) (T, error), late func(context.Context, T)) (T, error) {
	type result struct {
		value T
		err   error
	}
	results, abandoned := make(chan result), make(chan struct{})
	go func() {
		var r result
		returned := false
		defer func() {
			if !returned {
				r = result{err: caught(recover())}
			}
			select {
			case results <- r:
			case <-abandoned:
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
		close(abandoned)
		var none T
		return none, context.Cause(ctx)
	}
}

// guarded is within for a hook without a result.
func guarded(ctx context.Context, hook func(context.Context) error) error {
	_, err := within(ctx, func(ctx context.Context) (struct{}, error) { return struct{}{}, hook(ctx) }, func(context.Context, struct{}) {})
	return err
}
