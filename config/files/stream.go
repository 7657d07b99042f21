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
	info, err := Through(ctx, new(Gate), func(at func(string)) (fs.FileInfo, error) {
		at(path)
		return os.Stat(path)
	})
	if err != nil {
		return nil, err
	}
	if info.Mode()&(fs.ModeNamedPipe|fs.ModeCharDevice) == 0 {
		return Through(ctx, new(Gate), func(at func(string)) ([]byte, error) {
			at(path)
			return Read(path, most)
		})
	}
	return await(ctx, path, func() ([]byte, error) {
		f, err := os.Open(path) // waits for a writer
		if err != nil {
			return nil, err
		}
		defer f.Close()
		return readAll(path, f, most)
	})
}

// ReadFrom reads r, which errors call name, to its end. It waits no longer than ctx, and takes no more than most bytes.
func ReadFrom(ctx context.Context, name string, r io.Reader, most int64) ([]byte, error) {
	return await(ctx, name, func() ([]byte, error) { return readAll(name, r, most) })
}

// errSilent is the error of a writer that took too long.
var errSilent = errors.New("its writer has not ended in time")

func await(ctx context.Context, path string, read func() ([]byte, error)) ([]byte, error) {
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
		err := ctx.Err()
		if errors.Is(err, context.DeadlineExceeded) {
			err = errSilent
		}
		return nil, &fs.PathError{Op: "read", Path: path, Err: err}
	}
}
