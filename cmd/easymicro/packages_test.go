package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
)

const (
	module = "github.com/easymicro/easymicro"
	root   = "../.."
)

// A pkg is a package of this module. Paths of our packages are relative to the module; the standard library is left out.
type pkg struct {
	Path, Name, Dir            string
	Files                      []string // absolute, without tests
	Imports, TestImports, Deps []string
}

// listed is the part used here of what go list -json prints for a package.
type listed struct {
	ImportPath, Name, Dir, ForTest     string
	Standard                           bool
	Module                             *struct{ Path, Dir string }
	GoFiles                            []string
	Imports, TestImports, XTestImports []string
	Deps                               []string
}

// platforms are listed one by one: a file for another system may have other imports.
var platforms = []string{"linux", "darwin", "windows"}

var listAll = sync.OnceValues(func() (map[string][]listed, error) {
	all := map[string][]listed{}
	for _, goos := range platforms {
		cmd := exec.Command("go", "list", "-e", "-deps", "-json", "./...")
		cmd.Dir = root
		cmd.Env = append(os.Environ(), "GOOS="+goos, "CGO_ENABLED=0")
		out, err := cmd.Output()
		if err != nil {
			return nil, errors.Join(errors.New("go list on "+goos), err)
		}
		for d := json.NewDecoder(bytes.NewReader(out)); ; {
			var l listed
			if err := d.Decode(&l); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, err
			}
			all[goos] = append(all[goos], l)
		}
	}
	return all, nil
})

// list returns the packages that each platform builds, including dependencies.
func list(t *testing.T) map[string][]listed {
	t.Helper()
	if testing.Short() {
		t.Skip("go list: nothing here races")
	}
	all, err := listAll()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// packages returns the packages of this module, with the imports on all platforms.
func packages(t *testing.T) []*pkg {
	t.Helper()
	all := list(t)
	standard := map[string]bool{"C": true}
	for _, lists := range all {
		for _, l := range lists {
			standard[l.ImportPath] = l.Standard
		}
	}
	found := map[string]*pkg{}
	for _, goos := range platforms {
		for _, l := range all[goos] {
			if path, ours := strings.CutPrefix(l.ImportPath, module+"/"); ours && l.ForTest == "" {
				p := found[path]
				if p == nil {
					p = &pkg{Path: path, Name: l.Name, Dir: l.Dir}
					found[path] = p
				}
				p.add(l, standard)
			}
		}
	}
	return slices.SortedFunc(maps.Values(found), func(a, b *pkg) int { return strings.Compare(a.Path, b.Path) })
}

func (p *pkg) add(l listed, standard map[string]bool) {
	relative := func(to *[]string, imports ...[]string) {
		for _, path := range slices.Concat(imports...) {
			if isStandard, seen := standard[path]; isStandard || !seen && !strings.Contains(path, ".") {
				continue // dependencies of tests are not listed; only module paths have a dot
			}
			*to = append(*to, strings.TrimPrefix(path, module+"/"))
		}
		slices.Sort(*to)
		*to = slices.Compact(*to)
	}
	relative(&p.Imports, l.Imports)
	relative(&p.TestImports, l.TestImports, l.XTestImports)
	relative(&p.Deps, l.Deps)
	for _, name := range l.GoFiles {
		if file := filepath.Join(l.Dir, name); !slices.Contains(p.Files, file) {
			p.Files = append(p.Files, file)
		}
	}
}

// ignoredFolders returns the top-level folders in .gitignore.
func ignoredFolders(t *testing.T) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(root, ".gitignore"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	var names []string
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if name := strings.Trim(lines.Text(), "/"); strings.HasSuffix(lines.Text(), "/") {
			names = append(names, name)
		}
	}
	return names
}
