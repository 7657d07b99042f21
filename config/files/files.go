// Package files reads the regular files that a manifest or a command names, bounded in size and time.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// Read returns the content of the regular file at path, following links. It never waits for the writer of a pipe,
// and rejects files of more than limit bytes unread. Reason turns its errors into text.
func Read(path string, limit int64) ([]byte, error) {
	info, err := os.Stat(path) // to open a device may have effects already
	if err != nil {
		return nil, err
	}
	if err := check(path, info, limit); err != nil {
		return nil, err
	}
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0) // a pipe that took the file's place meanwhile is opened at once too
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, err
	}
	if err := check(path, info, limit); err != nil {
		return nil, err
	}
	_ = f.SetReadDeadline(time.Now().Add(readTimeout)) // for those alone that wait for others, as some below /proc do
	data, err := ReadFrom(path, f, limit)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, &fs.PathError{Op: "read", Path: path, Err: fmt.Errorf("it sent no end within %s", readTimeout)}
	}
	return data, err
}

// readTimeout bounds the read of a file that waits for others to write.
const readTimeout = 5 * time.Second

func check(path string, info fs.FileInfo, limit int64) error {
	if !info.Mode().IsRegular() {
		return &fs.PathError{Op: "read", Path: path, Err: &KindError{Mode: info.Mode()}}
	}
	if info.Size() > limit {
		return &fs.PathError{Op: "read", Path: path, Err: &TooLargeError{Size: info.Size(), Limit: limit}}
	}
	return nil
}

// ReadFrom reads r to its end; errors call it name. More than limit bytes are an error.
func ReadFrom(name string, r io.Reader, limit int64) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, limit+1)) // a file may grow, or not know its size
	if err != nil {
		return nil, err
	}
	if int64(len(data)) > limit {
		return nil, &fs.PathError{Op: "read", Path: name, Err: &TooLargeError{Limit: limit}}
	}
	return data, nil
}

// maxLinks bounds a chain of links.
const maxLinks = 16

// Links returns path and, while that is a link, its target: each of the links may be changed.
func Links(path string) []string {
	links := []string{path}
	for range maxLinks {
		target, err := os.Readlink(path)
		if err != nil {
			break
		}
		if !filepath.IsAbs(target) {
			dir := filepath.Dir(path)
			if resolved, err := filepath.EvalSymlinks(dir); err == nil {
				dir = resolved // .. leads from where the link is
			}
			target = filepath.Join(dir, target)
		}
		path = target
		links = append(links, path)
	}
	return links
}

// KindError is the error for a file that is not regular.
type KindError struct{ Mode fs.FileMode }

// Error returns a phrase that follows the path.
func (e *KindError) Error() string {
	kind := "something else"
	switch {
	case e.Mode.IsDir():
		kind = "a directory"
	case e.Mode&fs.ModeNamedPipe != 0:
		kind = "a pipe"
	case e.Mode&fs.ModeSocket != 0:
		kind = "a socket"
	case e.Mode&fs.ModeDevice != 0:
		kind = "a device"
	}
	return "is " + kind + ", not a file"
}

// TooLargeError is the error for a file above its limit. Size is 0 if unknown.
type TooLargeError struct{ Size, Limit int64 }

// Error returns a phrase that follows the path.
func (e *TooLargeError) Error() string {
	if e.Size == 0 {
		return "is too large: the limit is " + size(e.Limit)
	}
	return fmt.Sprintf("has %d bytes: the limit is %s", e.Size, size(e.Limit))
}

func size(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	default:
		return fmt.Sprintf("%d bytes", n)
	}
}

// Reason returns what is wrong with a file, as a phrase that follows its path.
func Reason(err error) string {
	if path, ok := errors.AsType[*fs.PathError](err); ok {
		err = path.Err
	}
	switch err.(type) { //nolint:errorlint // Read wraps them in nothing but a PathError
	case *KindError, *TooLargeError:
		return err.Error()
	}
	return "cannot be read: " + err.Error()
}
