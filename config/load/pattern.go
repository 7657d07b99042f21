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
	"github.com/easymicro/easymicro/config/lint"
)

// expansion holds the matches on disk of a pattern of the manifest, at one moment.
type expansion struct {
	files   []string  // matched or named files
	dirs    []string  // searched directories; the nearest parent of a missing one
	similar []string  // files that differ from a match by suffix only: .yml beside *.yaml
	trouble []trouble // why the expansion is incomplete
}

// trouble is a path that cannot be followed, and why.
type trouble struct{ path, why string }

// wild are the characters that make a part of a path a pattern; other parts are literal.
const wild = "*?["

func isPattern(path string) bool { return strings.ContainsAny(path, wild) }

// expand finds the files of a pattern below dir, whose own path is literal. A missing directory matches nothing; an
// unreadable one and a dangling link are trouble.
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

// walk follows the parts of a pattern from dir.
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

// literal adds a named file. Reading it shows whether it can be read.
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

// isDir reports whether the pattern continues in path. A named path must be a directory, a matched one need not.
func (e *expansion) isDir(path string, named bool) bool {
	info, err := os.Stat(path)
	switch {
	case err == nil && info.IsDir():
		return true
	case err == nil && named:
		e.trouble = append(e.trouble, trouble{path, "is a file, not a directory"})
	case err != nil && (named || isPolicyFile(path)): // editors lock files with dangling links
		e.wrong(path, err)
	}
	return false
}

// wrong notes why a directory cannot be read. A missing one is no trouble.
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

// resemble notes files that do not match only for the spelling of their suffix.
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

// isPolicyFile reports whether a name is not one that editors leave beside a file.
func isPolicyFile(name string) bool {
	base := filepath.Base(name)
	return !strings.HasPrefix(base, ".") && !strings.HasPrefix(base, "#") && !strings.HasSuffix(base, "~")
}

// NewFile returns the path as shown by which the patterns of a manifest would match a new policy file; "" if none would.
func NewFile(patterns []string, name string) string {
	for _, pattern := range patterns {
		dir, last := filepath.Split(filepath.Clean(pattern))
		if ok, err := filepath.Match(last, name); ok && err == nil && !isPattern(dir) && isPolicyFile(name) {
			return filepath.ToSlash(filepath.Join(dir, name))
		}
	}
	return ""
}

// matches holds the matches on disk of all patterns of a field, at one moment.
type matches struct {
	dir        string
	manifest   *config.Manifest
	field      string // policies.files
	patterns   []string
	expansions []*expansion      // one for each pattern
	paths      map[string]string // path to open, by displayed path
	named      map[string]string // field, by displayed path, for patterns without wildcards
}

// names returns the displayed paths in order.
func (m *matches) names() []string { return slices.Sorted(maps.Keys(m.paths)) }

func (m *matches) at(i int) string { return fmt.Sprintf("%s[%d]", m.field, i) }

// display returns how problems show a matched path: relative to the manifest's directory if the pattern is relative.
func (m *matches) display(pattern, path string) string {
	if rel, err := filepath.Rel(m.dir, path); err == nil && !filepath.IsAbs(pattern) {
		return filepath.ToSlash(rel)
	}
	return path
}

// signature returns a text that changes with the matched files, not with their content.
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

// troubles returns the problems of patterns that cannot be expanded in full. policies.allowEmpty does not allow
// them: unreadable is not empty.
func (m *matches) troubles() config.Problems {
	var problems config.Problems
	for i, e := range m.expansions {
		for _, t := range e.trouble {
			problems = append(problems, problemAt(lint.NoFile, m.manifest, m.at(i), m.display(m.patterns[i], t.path)+" "+t.why))
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
		as, message := lint.NoFile, "matches no file"
		if !isPattern(pattern) {
			as, message = lint.Unreadable, pattern+" cannot be read: no such file or directory"
		}
		p := problemAt(as, m.manifest, m.at(i), message)
		if len(e.similar) > 0 && !isPattern(pattern) {
			p.Suggestion = m.display(pattern, e.similar[0])
		}
		problems = append(problems, p)
	}
	return problems
}

// unread warns of files that an operator may believe to be read.
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
			warnings = append(warnings, problemAt(lint.FileNotRead, m.manifest, m.at(i), message))
		}
	}
	return warnings
}

func problemAt(as lint.Code, manifest *config.Manifest, path, message string) config.Problem {
	return manifest.Position(path).Problem(path, message).Coded(as)
}
