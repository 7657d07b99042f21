package load

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/easymicro/easymicro/config"
)

// found is what the patterns of one field of the manifest match at one moment.
type found struct {
	field      string // policies.files
	patterns   []string
	expansions []*expansion      // of each pattern
	paths      map[string]string // to open a file, by the path that problems show
	named      map[string]string // the field that names it, of files that a pattern without wildcards matches
}

// find expands the patterns of a field.
func (r *readFiles) find(field string, patterns []string) *found {
	f := &found{field: field, patterns: patterns, paths: map[string]string{}, named: map[string]string{}}
	for i, pattern := range patterns {
		r.at(r.abs(pattern))
		e := expand(r.dir, pattern)
		f.expansions = append(f.expansions, e)
		for _, path := range e.files {
			display := r.display(pattern, path)
			f.paths[display] = path
			if !isPattern(pattern) {
				f.named[display] = f.at(i)
			}
		}
	}
	return f
}

func (f *found) at(i int) string { return fmt.Sprintf("%s[%d]", f.field, i) }

// display is how problems show a path that a pattern matches: from the folder of the manifest, as the pattern is.
func (r *readFiles) display(pattern, path string) string {
	if rel, err := filepath.Rel(r.dir, path); err == nil && !filepath.IsAbs(pattern) {
		return filepath.ToSlash(rel)
	}
	return path
}

// readAll reads the files in name order, each once.
func (r *readFiles) readAll(f *found) []file {
	var all []file
	for _, display := range slices.Sorted(maps.Keys(f.paths)) {
		one := r.read(f.paths[display], display)
		one.field = f.named[display]
		all = append(all, one)
	}
	return all
}

// signature tells apart what was found at two moments, the contents of the files aside.
func (f *found) signature() string {
	var b strings.Builder
	for _, display := range slices.Sorted(maps.Keys(f.paths)) {
		fmt.Fprintf(&b, "%q ", display)
	}
	for i, e := range f.expansions {
		fmt.Fprintf(&b, "%d %q %q ", i, e.similar, e.trouble)
	}
	return b.String()
}

// troubles are the problems of patterns whose files cannot all be found. Nothing makes them right: what cannot be read is
// not empty.
func (r *readFiles) troubles(f *found) config.Problems {
	var problems config.Problems
	for i, e := range f.expansions {
		for _, t := range e.trouble {
			problems = append(problems, r.problemAt(f.at(i), r.display(f.patterns[i], t.path)+" "+t.why))
		}
	}
	return problems
}

// missing are the problems of patterns that match nothing.
func (r *readFiles) missing(f *found) config.Problems {
	var problems config.Problems
	for i, e := range f.expansions {
		pattern := f.patterns[i]
		if pattern == "" || len(e.files)+len(e.trouble) > 0 {
			continue
		}
		message := "matches no file"
		if !isPattern(pattern) {
			message = pattern + " cannot be read: no such file or directory"
		}
		p := r.problemAt(f.at(i), message)
		if len(e.similar) > 0 && !isPattern(pattern) {
			p.Suggestion = r.display(pattern, e.similar[0])
		}
		problems = append(problems, p)
	}
	return problems
}

// unread are warnings about files that somebody may believe to be read.
func (r *readFiles) unread(f *found) config.Problems {
	var warnings config.Problems
	for i, e := range f.expansions {
		for _, path := range e.similar {
			display, suffix := r.display(f.patterns[i], path), filepath.Ext(path)
			if _, other := f.paths[display]; other || !isPattern(f.patterns[i]) {
				continue
			}
			fit := strings.TrimSuffix(display, suffix) + filepath.Ext(f.patterns[i])
			message := fmt.Sprintf("%s is not read: %s does not match it; name it %s, or add a pattern for *%s", display, f.patterns[i], filepath.Base(fit), suffix)
			if _, taken := f.paths[fit]; taken {
				message = fmt.Sprintf("%s is not read, %s beside it is: remove %[1]s, or add a pattern for *%[3]s", display, fit, suffix)
			}
			p := r.problemAt(f.at(i), message)
			p.Warning = true
			warnings = append(warnings, p)
		}
	}
	return warnings
}
