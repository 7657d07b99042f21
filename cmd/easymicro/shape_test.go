package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	gobuild "go/build"
	"go/importer"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
)

// Types whose methods may be in several files, as package.Type, with the reason.
var inSeveralFiles = map[string]string{}

func TestATypeAndItsMethodsAreInOneFile(t *testing.T) {
	for _, p := range packages(t) {
		homes := typeFiles(parse(t, p))
		for _, name := range slices.Sorted(maps.Keys(homes)) {
			if len(homes[name]) > 1 && inSeveralFiles[p.Path+"."+name] == "" {
				t.Errorf("%s: type %s and its methods are spread over %s: move them into one file, "+
					"or make several types of it", p.Path, name, strings.Join(homes[name], ", "))
			}
		}
	}
}

// typeFiles returns the files in which each type with methods is declared, and its methods.
func typeFiles(files []file) map[string][]string {
	homes := map[string][]string{}
	add := func(name, file string) {
		if !slices.Contains(homes[name], file) {
			homes[name] = append(homes[name], file)
		}
	}
	for _, f := range files {
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv != nil && !f.generated {
				add(receiver(fn.Recv.List[0].Type), f.name)
			}
		}
	}
	for _, f := range files {
		for _, d := range f.Decls {
			if g, ok := d.(*ast.GenDecl); ok && g.Tok == token.TYPE {
				for _, s := range g.Specs {
					if name := s.(*ast.TypeSpec).Name.Name; homes[name] != nil {
						add(name, f.name)
					}
				}
			}
		}
	}
	return homes
}

func receiver(e ast.Expr) string {
	switch e := e.(type) {
	case *ast.StarExpr:
		return receiver(e.X)
	case *ast.IndexExpr:
		return receiver(e.X)
	case *ast.IndexListExpr:
		return receiver(e.X)
	}
	return e.(*ast.Ident).Name
}

// TestShape prints, with -v, the shape of each package: files, lines, types with methods, those spread over several files,
// references between files, and how many of these point back.
func TestShape(t *testing.T) {
	if !testing.Verbose() {
		t.Skip("prints a table, with -v")
	}
	exports := exported(t)
	table := tabwriter.NewWriter(t.Output(), 0, 8, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "package\tfiles\tlines\ttypes with methods\tin several files\tarrows\tback\t")
	var sum shape
	for _, p := range packages(t) {
		if strings.HasPrefix(p.Path, "samples") || slices.Contains(testPackages, p.Path) {
			continue
		}
		s := measure(t, p, exports)
		sum.files, sum.lines, sum.types, sum.strewn = sum.files+s.files, sum.lines+s.lines, sum.types+s.types, sum.strewn+s.strewn
		sum.arrows, sum.back = sum.arrows+s.arrows, sum.back+s.back
		fmt.Fprintf(table, "%s\t%d\t%d\t%d\t%d\t%d\t%d\t\n", p.Path, s.files, s.lines, s.types, s.strewn, s.arrows, s.back)
	}
	fmt.Fprintf(table, "all\t%d\t%d\t%d\t%d\t%d\t%d\t\n", sum.files, sum.lines, sum.types, sum.strewn, sum.arrows, sum.back)
	if err := table.Flush(); err != nil {
		t.Fatal(err)
	}
}

type shape struct{ files, lines, types, strewn, arrows, back int }

func measure(t *testing.T, p *pkg, exports map[string]string) shape {
	t.Helper()
	var s shape
	var parsed []*ast.File
	files := parse(t, p)
	fset := files[0].fset
	for _, f := range files {
		if !f.generated {
			s.files++
			s.lines += f.lines(f.FileStart, f.FileEnd)
		}
		if built, err := gobuild.Default.MatchFile(p.Dir, f.name); err != nil {
			t.Fatal(err)
		} else if built {
			parsed = append(parsed, f.File)
		}
	}
	for _, homes := range typeFiles(files) {
		s.types++
		if len(homes) > 1 {
			s.strewn++
		}
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	conf := types.Config{Importer: importer.ForCompiler(fset, "gc", func(path string) (io.ReadCloser, error) {
		return os.Open(exports[path])
	})}
	self, err := conf.Check(module+"/"+p.Path, fset, parsed, info)
	if err != nil {
		t.Fatal(err)
	}
	arrows := map[[2]string]bool{}
	for id, obj := range info.Uses {
		if obj.Pkg() != self || !obj.Pos().IsValid() {
			continue
		}
		from, to := filepath.Base(fset.Position(id.Pos()).Filename), filepath.Base(fset.Position(obj.Pos()).Filename)
		if from != to {
			arrows[[2]string{from, to}] = true
		}
	}
	s.arrows, s.back = len(arrows), against(arrows)
	return s
}

// against counts the references that point back in an order of the files that keeps them few: files that nothing refers to
// are first, files that refer to nothing last, and the others are sorted by outgoing minus incoming references.
func against(arrows map[[2]string]bool) int {
	left := map[string]bool{}
	for a := range arrows {
		left[a[0]], left[a[1]] = true, true
	}
	var first, last []string
	for len(left) > 0 {
		out, in := map[string]int{}, map[string]int{}
		for a := range arrows {
			if left[a[0]] && left[a[1]] {
				out[a[0]]++
				in[a[1]]++
			}
		}
		best, sink := "", false
		for _, name := range slices.Sorted(maps.Keys(left)) {
			if out[name] == 0 {
				best, sink = name, true
				break
			}
			if best == "" || in[name] == 0 && in[best] > 0 || in[best] > 0 && out[name]-in[name] > out[best]-in[best] {
				best = name
			}
		}
		delete(left, best)
		if sink {
			last = append(last, best)
		} else {
			first = append(first, best)
		}
	}
	slices.Reverse(last)
	at := map[string]int{}
	for i, name := range slices.Concat(first, last) {
		at[name] = i
	}
	back := 0
	for a := range arrows {
		if at[a[0]] > at[a[1]] {
			back++
		}
	}
	return back
}

// exported returns the export data files of all packages of this module and its dependencies, by import path.
func exported(t *testing.T) map[string]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-json=ImportPath,Export", "./...")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var l struct{ ImportPath, Export string }
		if err := d.Decode(&l); errors.Is(err, io.EOF) {
			return found
		} else if err != nil {
			t.Fatal(err)
		}
		found[l.ImportPath] = l.Export
	}
}
