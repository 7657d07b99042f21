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

// patience is how long one file may hold up those who read it.
const patience = 10 * time.Second

// Gate lets reads through as long as none before them is overdue: on a network file system that is away each of them would
// hold on to a thread. The zero value is open.
type Gate struct {
	mu   sync.Mutex
	left map[*reading]bool // nobody waits for them any more
}

// reading is one read under way.
type reading struct {
	now  atomic.Pointer[touch]
	done chan struct{}
}

// touch is the file that a read is at, and since when.
type touch struct {
	path  string
	since time.Time
}

func (t *touch) overdue() error {
	return &fs.PathError{Op: "read", Path: t.path, Err: fmt.Errorf("no answer within %s: is its file system unreachable?", patience)}
}

func (r *reading) at(path string) { r.now.Store(&touch{path: path, since: time.Now()}) }

// Through runs read and returns its result. It returns early when ctx ends, or when a file does not answer for ten seconds:
// then read goes on alone, and until that file has answered the gate is closed. read calls at before it touches a file. A
// panic in read is raised again in the caller.
func Through[T any](ctx context.Context, g *Gate, read func(at func(path string)) (T, error)) (T, error) {
	var none T
	if err := g.closed(); err != nil {
		return none, err
	}
	var value T
	var err error
	var panicked any
	r := &reading{done: make(chan struct{})}
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
		panic(panicked) //nolint:forbidigo // not a new one: it goes on where somebody may recover it
	}
	return value, err
}

// Read reads a file as the function Read does, through the gate.
func (g *Gate) Read(ctx context.Context, path string, limit int64) ([]byte, error) {
	return Through(ctx, g, func(at func(string)) ([]byte, error) {
		at(path)
		return Read(path, limit)
	})
}

// closed is the error of a closed gate. A read that was left before it was overdue does not close it.
func (g *Gate) closed() error {
	g.mu.Lock()
	defer g.mu.Unlock()
	for r := range g.left {
		if now := r.now.Load(); time.Since(now.since) >= patience {
			return now.overdue()
		}
	}
	return nil
}

// await returns when the read is done or not to be waited for.
func (g *Gate) await(ctx context.Context, r *reading) error {
	timer := time.NewTimer(patience)
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
			if left := time.Until(now.since.Add(patience)); left > 0 {
				timer.Reset(left)
				continue
			}
			g.leave(r)
			return now.overdue()
		}
	}
}

// leave keeps an eye on a read that nobody waits for, until it has come back.
func (g *Gate) leave(r *reading) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left == nil {
		g.left = make(map[*reading]bool)
	}
	g.left[r] = true
	go func() {
		<-r.done
		g.mu.Lock()
		defer g.mu.Unlock()
		delete(g.left, r)
	}()
}

// ReadStream is Read for a file that a person hands to a command. That may also be a pipe, which is what shells make of
// <(…), or a device as terminals are: they are read until their writer ends, or ctx does.
func ReadStream(ctx context.Context, path string, limit int64) ([]byte, error) {
	data, err := new(Gate).Read(ctx, path, limit)
	var kind *KindError
	if errors.As(err, &kind) && kind.Mode&(fs.ModeNamedPipe|fs.ModeCharDevice) != 0 {
		data, err = await(ctx, func() ([]byte, error) {
			f, err := os.Open(path) // waits for a writer
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

// ReadInput is ReadFrom that waits no longer than ctx.
func ReadInput(ctx context.Context, name string, r io.Reader, limit int64) ([]byte, error) {
	return await(ctx, func() ([]byte, error) { return ReadFrom(name, r, limit) })
}

// errSilent is the error of a writer that took too long.
var errSilent = errors.New("its writer did not finish in time")

// await runs read, and waits no longer than ctx.
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
