package load

import (
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
)

// Dirs are the folders to watch for changes of the set: of every file and pattern, and of what links on the way lead
// to. Where a folder does not exist yet, it is the nearest one above it.
func Dirs(set *config.Set) []string {
	dirs := map[string]bool{}
	for _, f := range set.Files {
		addDirs(dirs, set.Path(f.Path))
	}
	for _, pattern := range set.Manifest.Policies.Files {
		addDirs(dirs, set.Path(pattern))
	}
	if t := set.Manifest.Auth.Tokens; t != nil {
		addDirs(dirs, set.Path(t.File))
	}
	for _, f := range set.Manifest.NamedFiles() {
		addDirs(dirs, set.Path(f.Path))
	}
	var sorted []string
	for dir := range dirs {
		sorted = append(sorted, dir)
	}
	slices.Sort(sorted)
	return sorted
}

const maxLinks = 16

// addDirs adds the folder of a path, which may be a pattern, and follows its links one by one: each may be swapped.
func addDirs(dirs map[string]bool, path string) {
	for range maxLinks {
		dir := filepath.Dir(path)
		for _, found := range globDirs(dir) {
			dirs[found] = true
			if target, err := filepath.EvalSymlinks(found); err == nil {
				dirs[target] = true
			}
		}
		target, err := os.Readlink(path)
		if err != nil {
			return
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		path = target
	}
}

// globDirs are the folders that dir matches, and the nearest one above its first wildcard or missing part.
func globDirs(dir string) []string {
	var found []string
	if strings.ContainsAny(dir, "*?[") {
		found, _ = filepath.Glob(dir)
		for strings.ContainsAny(dir, "*?[") {
			dir = filepath.Dir(dir)
		}
	}
	for {
		if info, err := os.Stat(dir); err == nil && info.IsDir() {
			return append(found, dir)
		}
		if up := filepath.Dir(dir); up != dir {
			dir = up
			continue
		}
		return found
	}
}
