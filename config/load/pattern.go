package load

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config/files"
)

// expansion is what a pattern of the manifest matches on disk at one moment.
type expansion struct {
	files   []string  // that it matches, or that it names
	dirs    []string  // in which its files are looked for; the nearest one there is when one is not there
	similar []string  // files that only their suffix keeps from matching: .yml beside *.yaml
	trouble []trouble // what keeps its answer from being a whole one
}

// trouble is a part of the way to the files of a pattern that cannot be followed.
type trouble struct{ path, why string }

// wild are the characters that make a part of a path a pattern. What has none of them is literal.
const wild = "*?["

func isPattern(path string) bool { return strings.ContainsAny(path, wild) }

// expand finds the files of a pattern below dir. Only what the author of the manifest wrote is a pattern: the path of
// dir is literal. A folder that is not there matches nothing; one that cannot be looked into is trouble, and so is a link
// that leads nowhere, as one does that is about to be turned.
func expand(dir, pattern string) *expansion {
	e := &expansion{}
	if pattern == "" {
		return e
	}
	pattern = filepath.Clean(pattern)
	if filepath.IsAbs(pattern) {
		volume := filepath.VolumeName(pattern)
		dir, pattern = volume+string(filepath.Separator), strings.TrimLeft(pattern[len(volume):], string(filepath.Separator))
	}
	for up := ".." + string(filepath.Separator); strings.HasPrefix(pattern, up); {
		dir, pattern = filepath.Dir(dir), strings.TrimPrefix(pattern, up)
	}
	e.walk(dir, strings.Split(pattern, string(filepath.Separator)))
	slices.Sort(e.files)
	return e
}

// walk follows the parts of a pattern from dir on.
func (e *expansion) walk(dir string, parts []string) {
	part, last := parts[0], len(parts) == 1
	path := filepath.Join(dir, part)
	if !isPattern(part) && !last && e.isDir(path, true) {
		e.walk(path, parts[1:])
		return
	}
	e.dirs = append(e.dirs, dir)
	if !isPattern(part) {
		if last {
			e.literal(path)
		}
		return
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		e.wrong(dir, err)
		return
	}
	for _, entry := range entries {
		path := filepath.Join(dir, entry.Name())
		matches, _ := filepath.Match(part, entry.Name()) // a bad pattern is a problem of Validate
		switch {
		case !matches && last:
			e.resemble(part, path, entry)
		case !matches:
		case last:
			if isPolicyFile(path) {
				e.files = append(e.files, path)
			}
		case e.isDir(path, false):
			e.walk(path, parts[1:])
		}
	}
}

// literal takes a file that is named. Whether it can be read is found out by reading it.
func (e *expansion) literal(path string) {
	if !isGone(path) {
		if isPolicyFile(path) {
			e.files = append(e.files, path)
		} else {
			e.trouble = append(e.trouble, trouble{path, "is no policy file: its name begins with . or # or ends in ~"})
		}
		return
	}
	for _, suffix := range []string{".yaml", ".yml"} {
		if other := strings.TrimSuffix(path, filepath.Ext(path)) + suffix; isYAML(filepath.Ext(path)) && !isGone(other) {
			e.similar = append(e.similar, other)
		}
	}
}

func isGone(path string) bool {
	_, err := os.Lstat(path)
	return errors.Is(err, fs.ErrNotExist)
}

// isDir reports whether the pattern goes on in path. What a wildcard matched need not be a folder, what is named has to.
func (e *expansion) isDir(path string, named bool) bool {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return true
	case err == nil && named:
		e.trouble = append(e.trouble, trouble{path, "is a file, not a folder"})
	case err != nil && (named || isPolicyFile(path)): // editors lock files with links that lead nowhere
		e.wrong(path, err)
	}
	return false
}

// wrong notes what keeps a folder from being looked into. One that is simply not there is no trouble.
func (e *expansion) wrong(path string, err error) {
	why := files.Reason(err)
	if errors.Is(err, fs.ErrNotExist) {
		target, noLink := os.Readlink(path)
		if noLink != nil {
			return
		}
		why = "cannot be read: it is a link to " + target + ", which is not there"
		if len(files.Links(path)) > 2 {
			why = "cannot be read: it is a link to " + target + ", which leads nowhere"
		}
	}
	e.trouble = append(e.trouble, trouble{path, why})
}

// resemble notes files that only the spelling of their suffix keeps from matching.
func (e *expansion) resemble(part, path string, entry fs.DirEntry) {
	if !isPolicyFile(path) || entry.IsDir() {
		return
	}
	name, suffix := entry.Name(), filepath.Ext(part)
	if !isYAML(suffix) || !isYAML(filepath.Ext(name)) {
		return
	}
	if ok, _ := filepath.Match(part, strings.TrimSuffix(name, filepath.Ext(name))+suffix); ok {
		e.similar = append(e.similar, path)
	}
}

func isYAML(suffix string) bool {
	return strings.EqualFold(suffix, ".yaml") || strings.EqualFold(suffix, ".yml")
}

// isPolicyFile leaves out what editors drop beside a file.
func isPolicyFile(name string) bool {
	base := filepath.Base(name)
	return !strings.HasPrefix(base, ".") && !strings.HasPrefix(base, "#") && !strings.HasSuffix(base, "~")
}
