package files

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// accessTimeout bounds one file access.
const accessTimeout = 10 * time.Second

// Gate admits reads while no earlier one is overdue: on a hanging network file system each would block a thread. The
// zero value is open.
type Gate struct {
	mu   sync.Mutex
	left map[*access]bool // abandoned, still running
}

// access is a read in progress.
type access struct {
	now  atomic.Pointer[touch]
	done chan struct{}
}

// touch is an access to a file, with its start.
type touch struct {
	path  string
	since time.Time
}

func (t *touch) overdue() error {
	return &fs.PathError{Op: "read", Path: t.path, Err: fmt.Errorf("no answer within %s: is its file system unreachable?", accessTimeout)}
}

func (r *access) at(path string) { r.now.Store(&touch{path: path, since: time.Now()}) }

// Through runs read and returns its result. It returns early if ctx ends, or if a file hangs for ten seconds: read
// then continues alone, and the gate is closed until that file answers. read calls at before it accesses a file. A
// panic in read is raised again in the caller.
func Through[T any](ctx context.Context, g *Gate, read func(at func(path string)) (T, error)) (T, error) {
	var none T
	if err := g.closed(); err != nil {
		return none, err
	}
	var value T
	var err error
	var panicked any
	r := &access{done: make(chan struct{})}
	r.at("")
	go func() {
		defer close(r.done)
		defer func() {
			if p := recover(); p != nil {
				panicked = fmt.Sprintf("%v\n%s", p, debug.Stack())
			}
		}()
		value, err = read(r.at)
	}()
	if wait := g.await(ctx, r); wait != nil {
		return none, wait
	}
	if panicked != nil {
		panic(panicked) //nolint:forbidigo // re-raised where it can be recovered
	}
	return value, err
}

// Read calls the function Read through the gate.
func (g *Gate) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	return Through(ctx, g, func(at func(string)) ([]byte, error) {
		at(path)
		return Read(path, limit)
	})
}

// closed returns the error of a closed gate. A read that was abandoned early does not close it.
func (g *Gate) closed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for r := range g.left {
		if now := r.now.Load(); time.Since(now.since) >= accessTimeout {
			return now.overdue()
		}
	}
	return nil
}

// await waits until the read is done, ctx ends, or a file is overdue.
func (g *Gate) await(ctx context.Context, r *access) error {
	timer := time.NewTimer(accessTimeout)
	defer timer.Stop()
	for {
		select {
		case <-r.done:
			return nil
		case <-ctx.Done():
			g.leave(r)
			return ctx.Err()
		case <-timer.C:
			now := r.now.Load()
			if left := time.Until(now.since.Add(accessTimeout)); left > 0 {
				timer.Reset(left)
				continue
			}
			g.leave(r)
			return now.overdue()
		}
	}
}

// leave tracks an abandoned read until it ends.
func (g *Gate) leave(r *access) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left == nil {
		g.left = make(map[*access]bool)
	}
	g.left[r] = true
	go func() {
		<-r.done
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.left, r)
	}()
}

// ReadStream is Read for a file given to a command, which may also be a pipe, as shells make of <(…), or a terminal.
// These are read until their writer ends or ctx does.
func ReadStream(ctx context.Context, path string, limit int64) ([]byte, error) {
	data, err := new(Gate).Read(ctx, path, limit)
	var kind *KindError
	if errors.As(err, &kind) && kind.Mode&(fs.ModeNamedPipe|fs.ModeCharDevice) != 0 {
		data, err = await(ctx, func() ([]byte, error) {
			f, err := os.Open(path) // blocks until there is a writer
			if err != nil {
				return nil, err
			}
			defer f.Close()
			return ReadFrom(path, f, limit)
		})
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		err = &fs.PathError{Op: "read", Path: path, Err: errSilent}
	case errors.Is(err, context.Canceled):
		err = &fs.PathError{Op: "read", Path: path, Err: err}
	}
	return data, err
}

// ReadInput is ReadFrom that ends with ctx.
func ReadInput(ctx context.Context, name string, r io.Reader, limit int64) ([]byte, error) {
	return await(ctx, func() ([]byte, error) { return ReadFrom(name, r, limit) })
}

// errSilent is the error for a writer that took too long.
var errSilent = errors.New("its writer did not finish in time")

// await runs read and waits for it until ctx ends.
func await(ctx context.Context, read func() ([]byte, error)) ([]byte, error) {
	type result struct {
		data []byte
		err  error
	}
	done := make(chan result, 1)
	go func() {
		data, err := read()
		done <- result{data, err}
	}()
	select {
	case r := <-done:
		return r.data, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}
