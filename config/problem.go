package config

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/easymicro/easymicro/wire/code"
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

// Position is a place in a file of the set. Line and Column start at 1; zero means unknown.
type Position struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String is file:line, or the file alone when the line is unknown.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// IsZero tells that nothing is known.
func (p Position) IsZero() bool { return p == Position{} }

// place is where the value at a path stands.
type place struct {
	path         string
	line, column int32
}

// places are the known places of one decoded thing, sorted by path once it is decoded.
type places struct {
	file string
	list []place
}

func (p *places) sort() {
	slices.SortStableFunc(p.list, func(a, b place) int { return cmp.Compare(a.path, b.path) })
}

func (p *places) find(path string) (place, bool) {
	i, ok := slices.BinarySearchFunc(p.list, path, func(a place, path string) int { return cmp.Compare(a.path, path) })
	if !ok {
		return place{}, false
	}
	return p.list[i], true
}

// written tells whether the value at path stands in the file.
func (p *places) written(path string) bool {
	_, ok := p.find(path)
	return ok
}

// position is where the value at path stands, or else the nearest thing around it that is known.
func (p *places) position(path string) Position {
	for {
		if at, ok := p.find(path); ok {
			return Position{File: p.file, Line: int(at.line), Column: int(at.column)}
		}
		if path == "" {
			return Position{File: p.file}
		}
		path = parent(path)
	}
}

// parent is the path around path: a.b[2] is in a.b, which is in a, which is in "".
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// maxAlike is how many problems of one kind a short list has.
const maxAlike = 20

// Few returns the problems, of those that are alike only the first ones and how many more there are. Alike are warnings, or
// problems that are none, at the same place of different list elements.
func (p Problems) Few() Problems {
	type kind struct {
		warning bool
		path    string
	}
	of := func(q *Problem) kind { return kind{q.Warning, withoutIndexes(q.Path)} }
	count := make(map[kind]int)
	for i := range p {
		count[of(&p[i])]++
	}
	var few Problems
	shown := make(map[kind]int, len(count))
	for i := range p {
		k := of(&p[i])
		shown[k]++
		switch {
		case shown[k] <= maxAlike || count[k] == maxAlike+1:
			few = append(few, p[i])
		case shown[k] == maxAlike+1:
			more := p[i]
			more.Path, more.Suggestion = k.path, ""
			more.Message = fmt.Sprintf("and %d more like these: easymicro validate lists all", count[k]-maxAlike)
			few = append(few, more)
		}
	}
	return few
}

// withoutIndexes is a path without the numbers of its list elements: rules[].match.
func withoutIndexes(path string) string {
	var b strings.Builder
	for {
		before, inside, found := strings.Cut(path, "[")
		b.WriteString(before)
		if !found {
			return b.String()
		}
		b.WriteString("[")
		if _, path, found = strings.Cut(inside, "]"); !found {
			return b.String()
		}
		b.WriteString("]")
	}
}

// recorder collects the problems of one file, and the places of its values.
type recorder struct {
	name     string // of the file
	problems Problems

	scope string // path of what keeps its own places, around path
	at    places
	paths map[string]string // one string for each path
}

func newRecorder(file string) *recorder {
	return &recorder{name: file, at: places{file: file}, paths: map[string]string{}}
}

func (r *recorder) finish() places {
	r.at.sort()
	return r.at
}

// maxProblems is how many problems of a file are reported; whoever has more has another one.
const maxProblems = 200

// restNotShown is the message of the problem in place of those that are not reported.
const restNotShown = "more than 200 problems: the rest is not shown"

func (r *recorder) full() bool { return len(r.problems) > maxProblems }

// problem reports what is wrong with the value of n.
func (r *recorder) problem(n *yaml.Node, path, message, suggestion string) {
	switch {
	case r.full():
		return
	case len(r.problems) == maxProblems:
		path, message, suggestion = "", restNotShown, ""
	}
	r.problems = append(r.problems, Problem{
		File: r.name, Line: n.Line, Column: n.Column, Path: join(r.scope, path), Message: message, Suggestion: suggestion,
	})
}

// join puts two paths together.
func join(a, b string) string {
	switch {
	case a == "":
		return b
	case b == "":
		return a
	case b[0] == '[':
		return a + b
	default:
		return a + "." + b
	}
}

// intern makes one string of equal paths: thousands of rules have the same few.
func (r *recorder) intern(path string) string {
	if known, ok := r.paths[path]; ok {
		return known
	}
	r.paths[path] = path
	return path
}

func (r *recorder) place(n *yaml.Node, path string) {
	r.at.list = append(r.at.list, place{path: r.intern(path), line: int32(n.Line), column: int32(n.Column)})
}

// clip is what a message repeats of a text that stands in a file.
func clip(s string) string { return code.Clip(s, 64) }
