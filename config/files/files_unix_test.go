//go:build unix

package files_test

import (
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/easymicro/easymicro/config/files"
)

func TestReadTakesRegularFilesOnly(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir) // the path of a socket is short
	if err := syscall.Mkfifo("pipe", 0o600); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", "socket")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	link(t, "pipe", "to-pipe")
	link(t, "/dev/zero", "to-zero")
	for name, want := range map[string]string{
		"pipe":      "is a pipe, not a file",
		"to-pipe":   "is a pipe, not a file",
		"socket":    "is a socket, not a file",
		"/dev/zero": "is a device, not a file",
		"to-zero":   "is a device, not a file",
	} {
		if data, err := files.Read(name, 10); err == nil || data != nil || files.Reason(err) != want {
			t.Errorf("%s: %d bytes, %v, want %s", name, len(data), err, want)
		}
	}
}

func TestAFileOfUnknownSizeIsBounded(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("needs /proc")
	}
	const path = "/proc/self/environ" // regular, with a reported size of 0
	whole, err := files.Read(path, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if len(whole) == 0 {
		t.Skip("this process has no environment")
	}
	most := int64(len(whole) - 1)
	if data, err := files.Read(path, most); err == nil || data != nil || !strings.HasPrefix(files.Reason(err), "is too large") {
		t.Errorf("%d of at most %d bytes, %v", len(data), most, err)
	}
}

func TestAMissingPermissionIsReported(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	write(t, path, "x")
	if err := os.Chmod(path, 0); err != nil {
		t.Fatal(err)
	}
	if f, err := os.Open(path); err == nil {
		_ = f.Close()
		t.Skip("this user may read everything")
	}
	if _, err := files.Read(path, 10); err == nil || files.Reason(err) != "cannot be read: permission denied" {
		t.Error(err)
	}
}

// /proc/kmsg is a regular file to stat, but waits for messages of the kernel.
func TestAFileThatWaitsIsNotReadForever(t *testing.T) {
	const path = "/proc/kmsg"
	f, err := os.Open(path)
	if err != nil {
		t.Skip(err)
	}
	_ = f.Close()
	done := make(chan error, 1)
	go func() {
		for { // until the messages that there are have been read
			if _, err := files.Read(path, 1<<30); err != nil {
				done <- err
				return
			}
		}
	}()
	select {
	case err := <-done:
		if files.Reason(err) != "cannot be read: it sent no end within 5s" {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("it is still read")
	}
}
