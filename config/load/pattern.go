package load

import (
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
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
			e.trouble = append(e.trouble, trouble{path, "is not a policy file: its name begins with . or # or ends in ~"})
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
		e.trouble = append(e.trouble, trouble{path, "is a file, not a directory"})
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
		why = "cannot be read: it is a link to " + target + ", which does not exist"
		if len(files.Links(path)) > 2 {
			why = "cannot be read: it is a link to " + target + ", which is a dangling link"
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

// matches is what the patterns of one field of the manifest match at one moment.
type matches struct {
	dir        string
	manifest   *config.Manifest
	field      string // policies.files
	patterns   []string
	expansions []*expansion      // of each pattern
	paths      map[string]string // to open a file, by the path that problems show
	named      map[string]string // the field that names it, of files that a pattern without wildcards matches
}

// names returns the files as problems show them, in order.
func (m *matches) names() []string { return slices.Sorted(maps.Keys(m.paths)) }

func (m *matches) at(i int) string { return fmt.Sprintf("%s[%d]", m.field, i) }

// display returns how problems show a path that a pattern matches: relative to the directory of the manifest if the
// pattern is.
func (m *matches) display(pattern, path string) string {
	if rel, err := filepath.Rel(m.dir, path); err == nil && !filepath.IsAbs(pattern) {
		return filepath.ToSlash(rel)
	}
	return path
}

// signature differs for any two findings, the contents of the files aside.
func (m *matches) signature() string {
	var b strings.Builder
	for _, display := range m.names() {
		fmt.Fprintf(&b, "%q ", display)
	}
	for i, e := range m.expansions {
		fmt.Fprintf(&b, "%d %q %q ", i, e.similar, e.trouble)
	}
	return b.String()
}

// troubles returns the problems of patterns whose files cannot all be found. Nothing allows them: what cannot be read is
// not empty.
func (m *matches) troubles() config.Problems {
	var problems config.Problems
	for i, e := range m.expansions {
		for _, t := range e.trouble {
			problems = append(problems, problemAt(m.manifest, m.at(i), m.display(m.patterns[i], t.path)+" "+t.why))
		}
	}
	return problems
}

// missing returns the problems of patterns that match nothing.
func (m *matches) missing() config.Problems {
	var problems config.Problems
	for i, e := range m.expansions {
		pattern := m.patterns[i]
		if pattern == "" || len(e.files)+len(e.trouble) > 0 {
			continue
		}
		message := "matches no file"
		if !isPattern(pattern) {
			message = pattern + " cannot be read: no such file or directory"
		}
		p := problemAt(m.manifest, m.at(i), message)
		if len(e.similar) > 0 && !isPattern(pattern) {
			p.Suggestion = m.display(pattern, e.similar[0])
		}
		problems = append(problems, p)
	}
	return problems
}

// unread returns warnings about files that an operator may believe to be read.
func (m *matches) unread() config.Problems {
	var warnings config.Problems
	for i, e := range m.expansions {
		pattern := m.patterns[i]
		for _, path := range e.similar {
			display, suffix := m.display(pattern, path), filepath.Ext(path)
			if _, other := m.paths[display]; other || !isPattern(pattern) {
				continue
			}
			fit := strings.TrimSuffix(display, suffix) + filepath.Ext(pattern)
			message := fmt.Sprintf("%s is not read: %s does not match it; name it %s, or add a pattern for *%s", display, pattern, filepath.Base(fit), suffix)
			if _, taken := m.paths[fit]; taken {
				message = fmt.Sprintf("%s is not read, %s beside it is: remove %[1]s, or add a pattern for *%[3]s", display, fit, suffix)
			}
			p := problemAt(m.manifest, m.at(i), message)
			p.Warning = true
			warnings = append(warnings, p)
		}
	}
	return warnings
}

func problemAt(manifest *config.Manifest, path, message string) config.Problem {
	at := manifest.Position(path)
	return config.Problem{File: at.File, Line: at.Line, Column: at.Column, Path: path, Message: message}
}
