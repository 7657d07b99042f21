//go:build unix

package load_test

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/easymicro/easymicro/config/load"
)

func TestAMissingFileOfEndpointsIsAWarning(t *testing.T) {
	const upstream = "services: [{name: Arith, handler: samples.arith, uses: {stock: stock}}]\n" +
		"upstreams: [{name: stock, service: Stock, resolve: {file: nodes.yaml}}]\n"
	path := files(t, map[string]string{"easymicro.yaml": upstream})
	want := "easymicro.yaml:2:59: upstreams[0].resolve.file: nodes.yaml does not exist: nothing can be called until it does"
	if got := mustLoad(t, path, load.Options{}).Warnings.Error(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	write(t, filepath.Join(filepath.Dir(path), "nodes.yaml"), "endpoints: []\n")
	if got := mustLoad(t, path, load.Options{}).Warnings; len(got) > 0 {
		t.Error(got)
	}
}

// Validation finds the problems that a running host would find.
func TestAnUnusableFileOfEndpointsIsAProblem(t *testing.T) {
	const upstreams = "services: [{name: Arith, handler: samples.arith, uses: {a: a, b: b}}]\nupstreams:\n" +
		"  - {name: a, service: A, resolve: {file: cur/nodes.yaml}}\n  - {name: b, service: B, resolve: {file: cur/nodes.yaml}}\n"
	const field = "easymicro.yaml:3:43: upstreams[0].resolve.file: cur/nodes.yaml "
	for name, c := range map[string]struct {
		make func(t *testing.T, dir string)
		want string
	}{
		"no endpoints in it": {func(t *testing.T, dir string) { t.Helper(); write(t, dir+"/cur/nodes.yaml", "[]\n") }, "cur/nodes.yaml:1:1: must be a mapping with the key endpoints, not a list"},
		"another key":        {func(t *testing.T, dir string) { t.Helper(); write(t, dir+"/cur/nodes.yaml", "nodes: []\n") }, "cur/nodes.yaml:1:1: endpoints: is required\ncur/nodes.yaml:1:1: nodes: unknown key"},
		"no YAML":            {func(t *testing.T, dir string) { t.Helper(); write(t, dir+"/cur/nodes.yaml", "a: 1\nendpoints: [\n") }, "cur/nodes.yaml:"},
		"an address that is none": {
			func(t *testing.T, dir string) {
				t.Helper()
				write(t, dir+"/cur/nodes.yaml", "endpoints:\n  - {address: \":1\"}\n")
			},
			"cur/nodes.yaml:2:15: endpoints[0].address: :1 has no host",
		},
		"an unset variable": {func(t *testing.T, dir string) {
			t.Helper()
			write(t, dir+"/cur/nodes.yaml", "endpoints: [\"${NO}:1\"]\n")
		}, "cur/nodes.yaml:1:13: endpoints[0]"},
		"a folder": {func(t *testing.T, dir string) { t.Helper(); write(t, dir+"/cur/nodes.yaml/x", "") }, field + "is a directory, not a file"},
		"empty":    {func(t *testing.T, dir string) { t.Helper(); write(t, dir+"/cur/nodes.yaml", "") }, "cur/nodes.yaml:1:1: empty"},
		"too large": {func(t *testing.T, dir string) {
			t.Helper()
			write(t, dir+"/cur/nodes.yaml", strings.Repeat("#", 1<<20+1))
		}, field + "has 1048577 bytes"},
		"a link to nowhere":           {func(t *testing.T, dir string) { t.Helper(); link(t, "none", dir+"/cur/nodes.yaml") }, field + "cannot be read: no such file"},
		"its folder links to nowhere": {func(t *testing.T, dir string) { t.Helper(); link(t, "none", dir+"/cur") }, field + "cannot be read: no such file"},
		"its folder is a file":        {func(t *testing.T, dir string) { t.Helper(); write(t, dir+"/cur", "") }, field + "cannot be read: not a directory"},
	} {
		t.Run(name, func(t *testing.T) {
			path := files(t, map[string]string{"easymicro.yaml": upstreams})
			good := mustLoad(t, path, load.Options{}) // it is not there yet
			c.make(t, filepath.Dir(path))
			start := problems(t, path, load.Options{})
			if !strings.HasPrefix(strings.Join(start, "\n"), c.want) {
				t.Errorf("got %q, want %s", start, c.want)
			}
			if diff := cmp.Diff(start, problems(t, path, load.Options{Reload: true})); diff != "" {
				t.Errorf("a start and an edit differ: %s", diff)
			}
			if hash, err := hashOf(path, load.Options{}); err != nil || hash == good.Hash {
				t.Errorf("its repair would not be noticed (%v)", err)
			}
		})
	}
}

func TestEndpointsDoNotChangeTheHash(t *testing.T) {
	path := files(t, map[string]string{
		"easymicro.yaml": "services: [{name: Arith, handler: samples.arith, uses: {a: a}}]\nupstreams: [{name: a, service: A, resolve: {file: n/nodes.yaml}}]\n",
		"n/nodes.yaml":   "endpoints: [\"a:1\"]\n",
	})
	set := mustLoad(t, path, load.Options{})
	if !slices.Contains(load.Dirs(set), filepath.Join(filepath.Dir(path), "n")) {
		t.Errorf("%v: its folder is not watched", load.Dirs(set))
	}
	write(t, filepath.Join(filepath.Dir(path), "n/nodes.yaml"), "endpoints: [\"b:1\"]\n")
	if hash, err := hashOf(path, load.Options{}); err != nil || hash != set.Hash {
		t.Errorf("%v: the host would apply what it follows anyway", err)
	}
}
