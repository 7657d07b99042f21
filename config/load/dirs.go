package load

import (
	"os"
	"path/filepath"
	"slices"

	"github.com/easymicro/easymicro/config"
	"github.com/easymicro/easymicro/config/files"
)

// Dirs are the folders to watch for changes of the set: of every file and pattern, and of what links on the way lead
// to. Where a folder does not exist yet, it is the nearest one above it.
func Dirs(set *config.Set) []string {
	d := folders{}
	for _, f := range set.Files {
		d.file(set.Path(f.Path))
	}
	for _, pattern := range set.Manifest.Policies.Files {
		e := expand(set.Dir, pattern)
		for _, dir := range e.dirs {
			d.add(dir)
		}
		for _, f := range e.files {
			d.file(f)
		}
		for _, t := range e.trouble {
			d.file(t.path)
		}
	}
	if t := set.Manifest.Auth.Tokens; t != nil {
		d.file(set.Path(t.File))
	}
	for _, f := range set.Manifest.NamedFiles() {
		d.file(set.Path(f.Path))
	}
	for i := range set.Manifest.Upstreams {
		if path := set.Manifest.Upstreams[i].Resolve.File; path != "" {
			d.file(set.Path(path))
		}
	}
	var sorted []string
	for dir := range d {
		sorted = append(sorted, dir)
	}
	slices.Sort(sorted)
	return sorted
}

// folders is a set of them.
type folders map[string]bool

// file adds the folders of a file and of all links on the way to it.
func (d folders) file(path string) {
	for _, link := range files.Links(path) {
		d.add(filepath.Dir(link))
	}
}

// add adds a folder, or the nearest one above that is there, and what it leads to.
func (d folders) add(dir string) {
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			break
		}
		up := filepath.Dir(dir)
		if up == dir {
			return
		}
		dir = up
	}
	d[dir] = true
	if target, err := filepath.EvalSymlinks(dir); err == nil {
		d[target] = true
	}
}
