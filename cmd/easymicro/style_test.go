package main

import (
	"encoding/json"
	"go/ast"
	"go/parser"
	"go/token"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	maxFileLines     = 400
	maxFunctionLines = 80
)

// Names that do not describe the content and so attract anything.
var emptyNames = []string{"util", "utils", "common", "helper", "helpers", "misc", "shared", "base", "lib", "types"}

func TestPackageNamesAreSpecific(t *testing.T) {
	for _, p := range packages(t) {
		for _, part := range strings.Split(p.Path, "/") {
			if slices.Contains(emptyNames, part) {
				t.Errorf("package %s: %q is not a specific name; name it after the one thing it does", p.Path, part)
			}
		}
	}
}

func TestEveryPackageHasOneDocInTheFileNamedAfterIt(t *testing.T) {
	for _, p := range packages(t) {
		want, start := p.Name+".go", "Package "+p.Name+" "
		if p.Name == "main" {
			start = "Command " + filepath.Base(p.Path) + " "
		}
		documented := 0
		for _, f := range parse(t, p) {
			if f.Doc == nil || f.generated {
				continue
			}
			documented++
			if f.name != want {
				t.Errorf("%s: the package doc of %s belongs into %s", f.name, p.Path, want)
			}
			if !strings.HasPrefix(f.Doc.Text(), start) {
				t.Errorf("%s: the package doc of %s begins with %q", f.name, p.Path, start)
			}
		}
		if documented != 1 && len(p.Files) > 0 && !allGenerated(parse(t, p)) {
			t.Errorf("package %s has %d package docs: it needs one, the sentence that is its job, in %s", p.Path, documented, want)
		}
	}
}

func TestFilesAndFunctionsStayShort(t *testing.T) {
	for _, p := range packages(t) {
		for _, f := range parse(t, p) {
			if f.generated {
				continue
			}
			if n := f.lines(f.FileStart, f.FileEnd); n > maxFileLines {
				t.Errorf("%s/%s has %d lines, more than %d: which are its two ideas?", p.Path, f.name, n, maxFileLines)
			}
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && f.lines(fn.Pos(), fn.End()) > maxFunctionLines {
					t.Errorf("%s/%s: %s has %d lines, more than %d: split it", p.Path, f.name, fn.Name.Name, f.lines(fn.Pos(), fn.End()), maxFunctionLines)
				}
			}
		}
	}
}

func TestOnlyHandlersHaveAnInit(t *testing.T) {
	for _, p := range packages(t) {
		if strings.HasPrefix(p.Path+"/", "samples/") {
			continue
		}
		for _, f := range parse(t, p) {
			for _, d := range f.Decls {
				if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" && !f.generated {
					t.Errorf("%s/%s has an init: only registering a handler is done at that time", p.Path, f.name)
				}
			}
		}
	}
}

func TestGoModReplacesNothing(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod struct {
		Replace []struct{ Old struct{ Path string } }
	}
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	for _, r := range mod.Replace {
		t.Errorf("go.mod replaces %s: whoever imports this module would get another one than we test", r.Old.Path)
	}
}

type file struct {
	*ast.File
	fset      *token.FileSet
	name      string
	generated bool
}

// lines counts the lines from one position to another, inclusive.
func (f file) lines(from, to token.Pos) int {
	first, last := f.fset.Position(from), f.fset.Position(to)
	if last.Column == 1 && last.Line > first.Line {
		return last.Line - first.Line // the end is after the last newline
	}
	return last.Line - first.Line + 1
}

func parse(t *testing.T, p *pkg) []file {
	t.Helper()
	fset := token.NewFileSet()
	var files []file
	for _, path := range p.Files {
		f, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file{f, fset, filepath.Base(path), ast.IsGenerated(f)})
	}
	return files
}

func allGenerated(files []file) bool {
	return !slices.ContainsFunc(files, func(f file) bool { return !f.generated })
}
