package registry

import "context"

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
