//go:build unix

package discovery

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestIrregularFilesAreReportedAndDoNotBlock(t *testing.T) {
	for want, put := range map[string]func(t *testing.T, path string){
		"is a pipe, not a file":      func(t *testing.T, path string) { t.Helper(); must(t, syscall.Mkfifo(path, 0o600)) },
		"is a directory, not a file": func(t *testing.T, path string) { t.Helper(); must(t, os.Mkdir(path, 0o700)) },
		"is a device, not a file":    func(t *testing.T, path string) { t.Helper(); must(t, os.Symlink("/dev/zero", path)) },
		"has 2147483648 bytes: the limit is 1 MiB": func(t *testing.T, path string) {
			t.Helper()
			write(t, path, "")
			must(t, os.Truncate(path, 2<<30))
		},
	} {
		for way, options := range map[string]FileOptions{"events": fast(), "polling": polled()} {
			t.Run(strings.Split(want, ":")[0]+" by "+way, func(t *testing.T) {
				path := filepath.Join(t.TempDir(), "nodes.yaml")
				put(t, path)
				ch := updates(t, File(path, options)) // the test waits for its end
				if a := next(t, ch); a.err == nil || a.err.Error() != path+": "+want {
					t.Fatalf("at the start: %v, want %s", a, want)
				}
				must(t, os.Remove(path))
				write(t, path, nodesOf("a:1"))
				for a := next(t, ch); a.String() != "tcp@a:1"; a = next(t, ch) {
					if a.err == nil {
						t.Fatalf("unexpected update %v", a)
					}
				}
				must(t, os.Remove(path))
				put(t, path)
				for a := next(t, ch); !strings.Contains(a.String(), want); a = next(t, ch) {
					if a.err == nil {
						t.Fatalf("unexpected update %v", a)
					}
				}
				must(t, os.Remove(path))
				write(t, path, nodesOf("b:2"))
				for a := next(t, ch); a.String() != "tcp@b:2"; a = next(t, ch) {
					if a.err == nil {
						t.Fatalf("unexpected update %v", a)
					}
				}
			})
		}
	}
}
