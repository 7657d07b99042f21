//go:build unix

package load_test

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/config/load"
)

func TestUnreadableFilesAreProblems(t *testing.T) {
	path := files(t, map[string]string{"easymicro.yaml": smallest + "policies: {files: [p/*.yaml, gone.yaml]}\n", "p/dir.yaml/x": ""})
	dir := filepath.Dir(path)
	write(t, filepath.Join(dir, "p/big.yaml"), strings.Repeat("# comment\n", 200_000))
	if err := os.Symlink("nowhere", filepath.Join(dir, "p/link.yaml")); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "p/pipe.yaml"), 0o644); err != nil {
		t.Fatal(err)
	}
	want := []string{
		"easymicro.yaml:2:30: policies.files[1]: gone.yaml cannot be read: no such file or directory; policies.allowEmpty: true allows that",
		"p/big.yaml:1:1: has 2000000 bytes: the limit is 1 MiB",
		"p/dir.yaml:1:1: is a directory, not a file",
		"p/link.yaml:1:1: cannot be read: no such file or directory",
		"p/pipe.yaml:1:1: is a pipe, not a file",
	}
	if diff := cmp.Diff(want, problems(t, path, load.Options{})); diff != "" {
		t.Error(diff)
	}
}
