package etcd

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Nested modules have dependencies that importers of this one must not get. `go test ./...` does not see them, so this test
// runs theirs. This package is tested right after host, so that the two slowest run in parallel. The benchmarks are left
// out: not every machine can download the projects that they compare.
const (
	root     = "../../.."
	ownTests = "samples/benchmark"
)

func TestNestedModules(t *testing.T) {
	modules := nestedModules(t)
	if len(modules) == 0 {
		t.Fatal("no go.mod below the root's: where are the tests with a real etcd?")
	}
	for _, dir := range modules {
		t.Run(dir, func(t *testing.T) {
			goIn(t, dir, "vet", "./...")
			args := []string{"test"}
			if raceEnabled {
				args = append(args, "-race")
			}
			if testing.Short() {
				args = append(args, "-short")
			}
			goIn(t, dir, append(args, "./...")...)
		})
	}
}

// goIn runs go in a module. Its output is shown if it fails, also because a dependency cannot be downloaded.
func goIn(t *testing.T, dir string, args ...string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = filepath.Join(root, filepath.FromSlash(dir))
	cmd.Env = append(os.Environ(), "GOWORK=off")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("in the module %s: go %s: %v\n%s", dir, strings.Join(args, " "), err, out)
	}
	t.Logf("go %s\n%s", strings.Join(args, " "), out)
}

// nestedModules returns the directories below the root that have a go.mod, without ownTests.
func nestedModules(t *testing.T) []string {
	t.Helper()
	var found []string
	err := filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		switch name := e.Name(); {
		case err != nil:
			return err
		case e.IsDir():
			if path != root && (strings.HasPrefix(name, ".") || name == "testdata") {
				return filepath.SkipDir
			}
			return nil
		case name == "go.mod":
			dir, err := filepath.Rel(root, filepath.Dir(path))
			if err != nil {
				return err
			}
			if dir = filepath.ToSlash(dir); dir != "." && dir != ownTests {
				found = append(found, dir)
			}
		}
		_, err = os.Stat(path) // the test cache tracks the files that the test itself opens, not those of its commands
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
