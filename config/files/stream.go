package files

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
)

// ReadStream is Read for a file that a person hands to a command. That may also be a pipe, which is what shells make of
// <(…), or a device as terminals are: they are read until their writer ends, or ctx does.
func ReadStream(ctx context.Context, path string, most int64) ([]byte, error) {
	data, err := new(Gate).Read(ctx, path, most)
	var kind *KindError
	if errors.As(err, &kind) && kind.Mode&(fs.ModeNamedPipe|fs.ModeCharDevice) != 0 {
		data, err = await(ctx, func() ([]byte, error) {
			f, err := os.Open(path) // waits for a writer
			if err != nil {
				return nil, err
			}
			defer f.Close()
			return ReadFrom(path, f, most)
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
func ReadInput(ctx context.Context, name string, r io.Reader, most int64) ([]byte, error) {
	return await(ctx, func() ([]byte, error) { return ReadFrom(name, r, most) })
}

// errSilent is the error of a writer that took too long.
var errSilent = errors.New("its writer has not ended in time")

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
