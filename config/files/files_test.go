package files_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/easymicro/easymicro/config/files"
)

func TestReadFollowsLinks(t *testing.T) {
	dir := t.TempDir()
	write(t, filepath.Join(dir, "real"), "text")
	link(t, "real", filepath.Join(dir, "link"))
	data, err := files.Read(filepath.Join(dir, "link"), 4)
	if err != nil || string(data) != "text" {
		t.Errorf("%q %v", data, err)
	}
}

func TestLinksAreRelativeToTheirDirectory(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := os.MkdirAll(at("srv/pol"), 0o700); err != nil {
		t.Fatal(err)
	}
	link(t, at("srv/pol"), at("policies"))
	link(t, "../shared/p.yaml", at("srv/pol/p.yaml"))
	link(t, "loop", at("loop"))
	for name, want := range map[string][]string{
		"policies/p.yaml": {at("policies/p.yaml"), at("srv/shared/p.yaml")},
		"policies":        {at("policies"), at("srv/pol")},
		"srv":             {at("srv")},
		"gone":            {at("gone")},
	} {
		if got := files.Links(at(name)); !slices.Equal(got, want) {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	if got := files.Links(at("loop")); len(got) < 2 || len(got) > 100 {
		t.Errorf("a loop has %d links", len(got))
	}
}

func TestReadRefusesLargeAndMissingFiles(t *testing.T) {
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("five"), "12345")
	link(t, "nowhere", at("dangling"))
	sparse(t, at("sparse"), 2<<30)
	for name, want := range map[string]string{
		"five":     "has 5 bytes: the limit is 4 bytes",
		"sparse":   "has 2147483648 bytes: the limit is 4 bytes",
		"dangling": "cannot be read: no such file or directory",
		"gone":     "cannot be read: no such file or directory",
		".":        "is a directory, not a file",
	} {
		data, err := files.Read(at(name), 4)
		if err == nil || data != nil || files.Reason(err) != want {
			t.Errorf("%s: %q %v, want %s", name, data, err, want)
		}
		if !strings.Contains(err.Error(), dir) {
			t.Errorf("%s: %v does not name the file", name, err)
		}
	}
	if _, err := files.Read(at("gone"), 4); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%v is not fs.ErrNotExist", err)
	}
}

func TestALargeFileIsRefusedUnread(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sparse")
	sparse(t, path, 2<<30)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 10 {
		if _, err := files.Read(path, 1<<20); err == nil {
			t.Fatal("2 GiB were read")
		}
	}
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > 1<<20 {
		t.Errorf("refusing it ten times allocated %d bytes", allocated)
	}
}

func TestLimitsAreShownInTheirUnit(t *testing.T) {
	for most, want := range map[int64]string{5000: "5000 bytes", 64 << 10: "64 KiB", 1 << 20: "1 MiB"} {
		if text := (&files.TooLargeError{Limit: most}).Error(); text != "is too large: the limit is "+want {
			t.Errorf("%d: %s", most, text)
		}
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func link(t *testing.T, target, path string) {
	t.Helper()
	if err := os.Symlink(target, path); err != nil {
		t.Fatal(err)
	}
}

func sparse(t *testing.T, path string, size int64) {
	t.Helper()
	write(t, path, "")
	if err := os.Truncate(path, size); err != nil {
		t.Fatal(err)
	}
}
