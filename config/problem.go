package config

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// Problem is one thing that is wrong with the set, and where. A warning does not keep a set from being applied.
type Problem struct {
	File       string `json:"file,omitempty"`
	Line       int    `json:"line,omitempty"`
	Column     int    `json:"column,omitempty"`
	Path       string `json:"path,omitempty"`       // in the YAML: rules[0].rateLimit.rate
	Message    string `json:"message"`              // what is wrong
	Suggestion string `json:"suggestion,omitempty"` // what was probably meant
	Warning    bool   `json:"warning,omitempty"`
}

// String is file:line:col: path: message (did you mean x?), without what is unknown.
func (p Problem) String() string {
	var b strings.Builder
	if p.File != "" {
		b.WriteString(p.File)
		if p.Line > 0 {
			fmt.Fprintf(&b, ":%d:%d", p.Line, p.Column)
		}
		b.WriteString(": ")
	}
	if p.Path != "" {
		b.WriteString(p.Path)
		b.WriteString(": ")
	}
	b.WriteString(p.Message)
	if p.Suggestion != "" {
		fmt.Fprintf(&b, " (did you mean %s?)", p.Suggestion)
	}
	return b.String()
}

// Error is String, so that a single problem is an error too.
func (p Problem) Error() string { return p.String() }

// Problems are all the things that are wrong, in the order of their places once sorted.
type Problems []Problem

// Error has one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Files returns the files in which the problems are, each once.
func (p Problems) Files() []string {
	var files []string
	for i := range p {
		if f := p[i].File; f != "" && !slices.Contains(files, f) {
			files = append(files, f)
		}
	}
	return files
}

// Sort orders by file, line and column, and drops exact repetitions.
func (p Problems) Sort() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(p)
}

// With adds what a later check found, but not what it found in a thing that is known to be wrong already. Where not all that
// is wrong was reported, nobody knows which things are right: then it adds nothing.
func (p Problems) With(later Problems) Problems {
	wrong := map[[2]string]bool{}
	for _, known := range p.Errors() {
		if known.Message == restNotShown {
			return slices.Clone(p).Sort()
		}
		wrong[[2]string{known.File, thing(known.Path)}] = true
		if known.Suggestion != "" {
			wrong[[2]string{known.File, known.Suggestion}] = true // a key that was meant is not missing
		}
	}
	all := slices.Clone(p)
	for _, found := range later {
		if !wrong[[2]string{found.File, thing(found.Path)}] && !wrong[[2]string{found.File, ""}] {
			all = append(all, found)
		}
	}
	return all.Sort()
}

// thing is the element of a list, or else the block, that a path is in: rules[3], policies.rules[0], admin.
func thing(path string) string {
	if i := strings.IndexByte(path, ']'); i > 0 {
		return path[:i+1]
	}
	block, _, _ := strings.Cut(path, ".")
	return block
}

// Errors are the problems that keep a set from being applied.
func (p Problems) Errors() Problems { return p.filter(false) }

// Warnings are the problems that do not.
func (p Problems) Warnings() Problems { return p.filter(true) }

func (p Problems) filter(warning bool) Problems {
	var kept Problems
	for _, problem := range p {
		if problem.Warning == warning {
			kept = append(kept, problem)
		}
	}
	return kept
}

// Err is the problems as an error: nil when none of them keeps a set from being applied.
func (p Problems) Err() error {
	if errs := p.Errors(); len(errs) > 0 {
		return errs
	}
	return nil
}
