//go:build unix

package files_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config/files"
)

func TestAPipeIsReadToItsEnd(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	go func() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Error(err)
			return
		}
		_, _ = f.WriteString("sec")
		_, _ = f.WriteString("ret")
		_ = f.Close()
	}()
	if data, err := files.ReadStream(t.Context(), path, 6); err != nil || string(data) != "secret" {
		t.Errorf("%q %v", data, err)
	}
}

func TestAPipeWithoutAWriterEndsWithTheContext(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, patience := range []time.Duration{0, 10 * time.Millisecond} { // in either step
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		if _, err := files.ReadStream(ctx, path, 6); err == nil || err.Error() != "read "+path+": its writer did not finish in time" {
			t.Error(err)
		}
		cancel()
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := files.ReadStream(ctx, path, 6); err == nil || err.Error() != "read "+path+": context canceled" {
		t.Error(err)
	}
	if f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil { // ends the reads that still wait
		_ = f.Close()
	}
}

func TestStreamsAreBounded(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	write(t, "five", "12345")
	sparse(t, "sparse", 2<<30)
	for path, want := range map[string]string{
		"five":      "has 5 bytes: the limit is 4 bytes",
		"sparse":    "has 2147483648 bytes: the limit is 4 bytes",
		"/dev/zero": "is too large: the limit is 4 bytes",
		"gone":      "cannot be read: no such file or directory",
		".":         "is a directory, not a file",
	} {
		if data, err := files.ReadStream(t.Context(), path, 4); err == nil || data != nil || files.Reason(err) != want {
			t.Errorf("%s: %q %v, want %s", path, data, err, want)
		}
	}
	if data, err := files.ReadStream(t.Context(), "/dev/null", 4); err != nil || len(data) != 0 {
		t.Errorf("%q %v", data, err)
	}
	endless := io.MultiReader(strings.NewReader("1234"), neverEnds{})
	if _, err := files.ReadFrom("standard input", endless, 4); err == nil ||
		err.Error() != "read standard input: is too large: the limit is 4 bytes" {
		t.Error(err)
	}
}

type neverEnds struct{}

func (neverEnds) Read(p []byte) (int, error) { return len(p), nil }
