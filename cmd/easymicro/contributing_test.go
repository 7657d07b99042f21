package main

import (
	"go/ast"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func contributing(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "CONTRIBUTING.md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

var codePath = regexp.MustCompile("`([a-z]+/[a-z_/.]*)`")

// The paths in CONTRIBUTING.md exist.
func TestContributingNamesExistingPaths(t *testing.T) {
	paths := codePath.FindAllStringSubmatch(contributing(t), -1)
	const minPaths = 20
	if len(paths) < minPaths {
		t.Errorf("%d paths, want at least %d", len(paths), minPaths)
	}
	for _, m := range paths {
		if _, err := os.Stat(filepath.Join(root, m[1])); err != nil && !slices.Contains([]string{"testdata/fuzz", "testing/synctest"}, m[1]) {
			t.Error(err)
		}
	}
}

// codeSymbol is a type, function, method or variable, with its package or its type.
var codeSymbol = regexp.MustCompile("`([A-Za-z]\\w*(?:\\.[A-Za-z]\\w*)?)`")

// Each symbol that a map of CONTRIBUTING.md names is declared under a path that the same row names.
func TestContributingNamesExistingSymbols(t *testing.T) {
	declared := map[string][]string{}
	for _, p := range packages(t) {
		for _, f := range parse(t, p) {
			for _, d := range f.Decls {
				for _, name := range declaredNames(d) {
					file := p.Path + "/" + f.name
					declared[name] = append(declared[name], file)
					declared[p.Name+"."+name] = append(declared[p.Name+"."+name], file)
				}
			}
		}
	}
	_, maps, _ := strings.Cut(contributing(t), "\n| to find where")
	maps, _, _ = strings.Cut(maps, "\nWhich package")
	n := 0
	for row := range strings.SplitSeq(strings.Replace(maps, "\n\n", "\n|", 1), "\n|") {
		paths := codePath.FindAllStringSubmatch(row, -1)
		for _, m := range codeSymbol.FindAllStringSubmatch(row, -1) {
			n++
			if !slices.ContainsFunc(declared[m[1]], func(file string) bool {
				return slices.ContainsFunc(paths, func(p []string) bool { return strings.HasPrefix(file+"/", strings.TrimSuffix(p[1], "/")+"/") })
			}) {
				t.Errorf("%s is not declared where the row says, but in %q: %s", m[1], declared[m[1]], row)
			}
		}
	}
	const minSymbols = 15
	if n < minSymbols {
		t.Errorf("%d symbols, want at least %d", n, minSymbols)
	}
}

// declaredNames returns the names that a declaration introduces; methods as Type.Method.
func declaredNames(d ast.Decl) []string {
	var names []string
	switch d := d.(type) {
	case *ast.FuncDecl:
		if d.Recv != nil {
			return []string{receiver(d.Recv.List[0].Type) + "." + d.Name.Name}
		}
		return []string{d.Name.Name}
	case *ast.GenDecl:
		for _, s := range d.Specs {
			switch s := s.(type) {
			case *ast.TypeSpec:
				names = append(names, s.Name.Name)
			case *ast.ValueSpec:
				for _, id := range s.Names {
					names = append(names, id.Name)
				}
			}
		}
	}
	return names
}

func TestContributingNamesEveryPackage(t *testing.T) {
	text := contributing(t)
	for path := range layout {
		if !strings.HasPrefix(path, "samples/") && !strings.Contains(text, "`"+path+"`") && !strings.Contains(text, "`"+path+"/`") {
			t.Errorf("the table of folders does not name %s", path)
		}
	}
}
