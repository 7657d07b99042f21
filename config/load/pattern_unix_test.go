//go:build unix

package load_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/config/load"
)

func link(t *testing.T, to, path string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(to, path); err != nil {
		t.Fatal(err)
	}
}

// An unusable folder is not an empty one: neither at start nor at an edit, nor with allowEmpty.
func TestAnUnusableFolderIsAProblemAtStartAndReload(t *testing.T) {
	for name, c := range map[string]struct {
		pattern string
		make    func(t *testing.T, dir string)
		want    string
	}{
		"the base is a link that leads nowhere": {
			"cur/*.yaml", func(t *testing.T, dir string) { t.Helper(); link(t, "new", filepath.Join(dir, "cur")) },
			"policies.files[1]: cur cannot be read: it is a link to new, which does not exist",
		},
		"the base is below a link that leads nowhere": {
			"cur/a/b/*.yaml", func(t *testing.T, dir string) { t.Helper(); link(t, "new", filepath.Join(dir, "cur")) },
			"policies.files[1]: cur cannot be read: it is a link to new, which does not exist",
		},
		"the base is a link to a link that leads nowhere": {
			"cur/*.yaml", func(t *testing.T, dir string) {
				t.Helper()
				link(t, "stage", filepath.Join(dir, "cur"))
				link(t, "gone", filepath.Join(dir, "stage"))
			},
			"policies.files[1]: cur cannot be read: it is a link to stage, which is a dangling link",
		},
		"the base links to itself": {
			"cur/*.yaml", func(t *testing.T, dir string) { t.Helper(); link(t, "cur", filepath.Join(dir, "cur")) },
			"policies.files[1]: cur cannot be read: too many ",
		},
		"the base is a file": {
			"cur/*.yaml", func(t *testing.T, dir string) { t.Helper(); write(t, filepath.Join(dir, "cur"), "") },
			"policies.files[1]: cur is a file, not a directory",
		},
		"a folder that a wildcard matches is a link that leads nowhere": {
			"teams/*/p.yaml", func(t *testing.T, dir string) {
				t.Helper()
				write(t, filepath.Join(dir, "teams/a/p.yaml"), rule("a"))
				link(t, "gone", filepath.Join(dir, "teams/b"))
			},
			"policies.files[1]: teams/b cannot be read: it is a link to gone, which does not exist",
		},
		"the folder of a file that is named is a link that leads nowhere": {
			"cur/p.yaml", func(t *testing.T, dir string) { t.Helper(); link(t, "new", filepath.Join(dir, "cur")) },
			"policies.files[1]: cur cannot be read: it is a link to new, which does not exist",
		},
		"the folder of a file that is named is a file": {
			"cur/p.yaml", func(t *testing.T, dir string) { t.Helper(); write(t, filepath.Join(dir, "cur"), "") },
			"policies.files[1]: cur is a file, not a directory",
		},
		"a file that is named is a link that leads nowhere": {
			"p.yaml", func(t *testing.T, dir string) { t.Helper(); link(t, "new", filepath.Join(dir, "p.yaml")) },
			"policies.files[1]: p.yaml cannot be read: no such file or directory",
		},
		"a file that a wildcard matches is a link that leads nowhere": {
			"cur/*.yaml", func(t *testing.T, dir string) { t.Helper(); link(t, "new", filepath.Join(dir, "cur/p.yaml")) },
			"cur/p.yaml:1:1: cannot be read: no such file or directory",
		},
		"a file that is named is a folder": {
			"p.yaml", func(t *testing.T, dir string) { t.Helper(); write(t, filepath.Join(dir, "p.yaml/x"), "") },
			"policies.files[1]: p.yaml is a directory, not a file",
		},
	} {
		t.Run(name, func(t *testing.T) {
			for _, allowEmpty := range []bool{false, true} {
				path := files(t, map[string]string{
					"easymicro.yaml": smallest + fmt.Sprintf("policies:\n  allowEmpty: %v\n  files: [\"base/*.yaml\", %q]\n", allowEmpty, c.pattern),
					"base/a.yaml":    rule("base"),
				})
				c.make(t, filepath.Dir(path))
				start := problems(t, path, load.Options{})
				if len(start) != 1 || !strings.Contains(start[0], c.want) {
					t.Errorf("allowEmpty %v: got %q, want %s", allowEmpty, start, c.want)
				}
				if diff := cmp.Diff(start, problems(t, path, load.Options{Reload: true})); diff != "" {
					t.Errorf("allowEmpty %v: a start and an edit differ: %s", allowEmpty, diff)
				}
			}
		})
	}
}

func TestAWildcardForFoldersIgnoresFiles(t *testing.T) {
	path := files(t, map[string]string{
		"easymicro.yaml": smallest + "policies: {files: [\"teams/*/p.yaml\"]}\n",
		"teams/a/p.yaml": rule("a"), "teams/README.md": "none", "teams/later/README.md": "none",
	})
	link(t, "someone@somewhere.1234", filepath.Join(filepath.Dir(path), "teams/.#README.md")) // an editor's lock
	if diff := cmp.Diff([]string{"a"}, ruleNames(mustLoad(t, path, load.Options{}))); diff != "" {
		t.Error(diff)
	}
}

// As when a folder is renamed, or a link replaced in two steps.
func TestADanglingBaseIsWatchedUntilItExists(t *testing.T) {
	path := files(t, map[string]string{
		"easymicro.yaml": smallest + "policies: {files: [\"cur/*.yaml\"]}\n", "releases/1/p.yaml": rule("one"), "releases/2/p.yaml": rule("two"),
	})
	dir := filepath.Dir(path)
	cur := filepath.Join(dir, "cur")
	link(t, "releases/1", cur)
	set := mustLoad(t, path, load.Options{})
	hash := func() string {
		h, err := hashOf(path, load.Options{})
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	if err := os.Remove(cur); err != nil {
		t.Fatal(err)
	}
	gone := hash()
	link(t, "releases/3", cur)
	dangling := hash()
	for _, want := range []string{dir, filepath.Join(dir, "releases")} { // where the link is, and where its target will be
		if dirs := strings.Join(load.Dirs(set), "\n") + "\n"; !strings.Contains(dirs, want+"\n") {
			t.Errorf("watches\n%s, not %s", dirs, want)
		}
	}
	if err := os.Rename(filepath.Join(dir, "releases/2"), filepath.Join(dir, "releases/3")); err != nil {
		t.Fatal(err)
	}
	back := hash()
	if seen := map[string]bool{set.Hash: true, gone: true, dangling: true, back: true}; len(seen) != 4 {
		t.Error("two of the states have one hash")
	}
	if diff := cmp.Diff([]string{"two"}, ruleNames(mustLoad(t, path, load.Options{Reload: true}))); diff != "" {
		t.Error(diff)
	}
}

// Patterns come from the manifest alone: its folder may have any name.
func TestTheFolderOfTheManifestIsNoPattern(t *testing.T) {
	for name, neighbour := range map[string]string{"app[1]": "app1", "a*x": "abx", "a?c": "abc", "[": "x", "a[": "ax", `a\b`: "ab"} {
		for _, pattern := range []string{"p/*.yaml", "p/a.yaml"} {
			t.Run(name+" "+pattern, func(t *testing.T) {
				around, err := filepath.EvalSymlinks(t.TempDir())
				if err != nil {
					t.Fatal(err)
				}
				dir, manifest := filepath.Join(around, name), filepath.Join(around, name, "easymicro.yaml")
				for folder, owner := range map[string]string{name: "own", neighbour: "neighbour"} {
					write(t, filepath.Join(around, folder, "p/a.yaml"), rule(owner))
					write(t, filepath.Join(around, folder, "baked/a.yaml"), rule(owner+"-baked"))
					write(t, filepath.Join(around, folder, "secret/t.yaml"), "[]\n")
				}
				write(t, manifest, smallest+fmt.Sprintf("policies: {files: [%q], fallback: [\"baked/*.yaml\"]}\n", pattern)+
					"auth: {identify: [token], tokens: {file: secret/t.yaml}}\n")
				set := mustLoad(t, manifest, load.Options{})
				if diff := cmp.Diff([]string{"own"}, ruleNames(set)); diff != "" {
					t.Error(diff)
				}
				want := []string{dir, filepath.Join(dir, "p"), filepath.Join(dir, "secret")}
				if diff := cmp.Diff(want, load.Dirs(set)); diff != "" {
					t.Error(diff)
				}
				write(t, filepath.Join(dir, "p/a.yaml"), "")
				if diff := cmp.Diff([]string{"own-baked"}, ruleNames(mustLoad(t, manifest, load.Options{}))); diff != "" {
					t.Error(diff)
				}
			})
		}
	}
}
