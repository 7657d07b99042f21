package config

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/easymicro/easymicro/config/lint"
	"github.com/easymicro/easymicro/wire/code"
)

// Problem is an error or a warning about a set, with its position. Warnings do not keep a set from being applied.
type Problem struct {
	File       string `json:"file,omitempty"`
	Line       int    `json:"line,omitempty"`
	Column     int    `json:"column,omitempty"`
	Path       string `json:"path,omitempty"`       // path in the YAML: rules[0].rateLimit.rate
	Message    string `json:"message"`              // what is wrong
	Suggestion string `json:"suggestion,omitempty"` // the likely intent
	Warning    bool   `json:"warning,omitempty"`

	Code lint.Code `json:"code,omitempty"` // kind of the problem; empty for those that do not come from files
}

// Coded returns the problem with a code, as an error or a warning as the code demands.
func (p Problem) Coded(as lint.Code) Problem {
	p.Code, p.Warning = as, as.Warning()
	return p
}

// Text returns String with the code in brackets at the end.
func (p Problem) Text() string {
	if p.Code == "" {
		return p.String()
	}
	return p.String() + " [" + string(p.Code) + "]"
}

// String returns file:line:col: path: message (did you mean x?), without the unknown parts.
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

// Error returns String, so that a single problem is an error.
func (p Problem) Error() string { return p.String() }

// Problems is a list of problems. It is an error too.
type Problems []Problem

// Error returns one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i := range p {
		lines[i] = p[i].String()
	}
	return strings.Join(lines, "\n")
}

// Files returns the files that have problems, each once.
func (p Problems) Files() []string {
	var files []string
	for i := range p {
		if f := p[i].File; f != "" && !slices.Contains(files, f) {
			files = append(files, f)
		}
	}
	return files
}

// Sort sorts by file, line and column, and drops duplicates.
func (p Problems) Sort() Problems {
	slices.SortStableFunc(p, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.File, b.File), cmp.Compare(a.Line, b.Line), cmp.Compare(a.Column, b.Column),
			cmp.Compare(a.Path, b.Path), cmp.Compare(a.Message, b.Message))
	})
	return slices.Compact(p)
}

// With adds the problems of a later check, except those about things that already have errors. If p was cut off,
// With adds nothing: it is not known which things have no errors.
func (p Problems) With(later Problems) Problems {
	wrong := map[[2]string]bool{}
	for _, known := range p.Errors() {
		if known.Message == restNotShown {
			return slices.Clone(p).Sort()
		}
		wrong[[2]string{known.File, thing(known.Path)}] = true
		if known.Suggestion != "" {
			wrong[[2]string{known.File, known.Suggestion}] = true // a misspelt key is not missing
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

// thing returns the list element or else the block that contains path: rules[3], policies.rules[0], admin.
func thing(path string) string {
	if i := strings.IndexByte(path, ']'); i > 0 {
		return path[:i+1]
	}
	block, _, _ := strings.Cut(path, ".")
	return block
}

// Errors returns the problems that keep a set from being applied.
func (p Problems) Errors() Problems { return p.filter(false) }

// Warnings returns the problems that do not keep a set from being applied.
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

// Err returns the errors as one error, or nil if there are only warnings.
func (p Problems) Err() error {
	if errs := p.Errors(); len(errs) > 0 {
		return errs
	}
	return nil
}

// Position is a position in a file of the set. Line and Column start at 1; zero means unknown.
type Position struct {
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Column int    `json:"column,omitempty"`
}

// String returns file:line, or the file alone if the line is unknown.
func (p Position) String() string {
	if p.Line == 0 {
		return p.File
	}
	return p.File + ":" + strconv.Itoa(p.Line)
}

// Problem returns a problem of the value at path, which is at this position.
func (p Position) Problem(path, message string) Problem {
	return Problem{File: p.File, Line: p.Line, Column: p.Column, Path: path, Message: message}
}

// IsZero reports whether nothing is known.
func (p Position) IsZero() bool { return p == Position{} }

// valuePosition is the position of the value at a path.
type valuePosition struct {
	path         string
	line, column int32
}

// positions holds the positions of the values of one file or rule, sorted by path once decoded.
type positions struct {
	file string
	list []valuePosition
}

func (p *positions) sort() {
	slices.SortStableFunc(p.list, func(a, b valuePosition) int { return cmp.Compare(a.path, b.path) })
}

func (p *positions) find(path string) (valuePosition, bool) {
	i, ok := slices.BinarySearchFunc(p.list, path, func(a valuePosition, path string) int { return cmp.Compare(a.path, path) })
	if !ok {
		return valuePosition{}, false
	}
	return p.list[i], true
}

// written reports whether the value at path is in the file.
func (p *positions) written(path string) bool {
	_, ok := p.find(path)
	return ok
}

// position returns where the value at path is, or else its nearest known parent.
func (p *positions) position(path string) Position {
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

// parent returns the enclosing path: a.b for a.b[2], a for a.b, "" for a.
func parent(path string) string {
	return path[:max(strings.LastIndexAny(path, ".["), 0)]
}

// maxAlike bounds the problems of one kind in a short list.
const maxAlike = 20

// Few returns the problems, shortened: of problems that are alike it keeps the first ones and the number of others.
// Problems are alike if they are of the same severity and at the same path but for list indexes.
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

// withoutIndexes returns a path without its list indexes: rules[].match.
func withoutIndexes(path string) string { return listIndex.ReplaceAllString(path, "[]") }

var listIndex = regexp.MustCompile(`\[[^\]]*\]`)

// recorder collects the problems of one file and the positions of its values.
type recorder struct {
	name     string // file name
	problems Problems

	scope string // path of the value with positions of its own that is being decoded
	at    positions
	paths map[string]string // interned
}

func newRecorder(file string) *recorder {
	return &recorder{name: file, at: positions{file: file}, paths: map[string]string{}}
}

func (r *recorder) finish() positions {
	r.at.sort()
	return r.at
}

// maxProblems bounds the reported problems of a file.
const maxProblems = 200

// restNotShown is the message that replaces further problems.
const restNotShown = "more than 200 problems: the rest is not shown"

func (r *recorder) full() bool { return len(r.problems) > maxProblems }

// problem reports a problem of the value of n.
func (r *recorder) problem(as lint.Code, n *yaml.Node, path, message, suggestion string) {
	switch {
	case r.full():
		return
	case len(r.problems) == maxProblems:
		path, message, suggestion = "", restNotShown, ""
	}
	r.problems = append(r.problems, Problem{
		File: r.name, Line: n.Line, Column: n.Column, Path: join(r.scope, path), Message: message, Suggestion: suggestion,
	}.Coded(as))
}

// join joins two paths.
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

// intern returns one string for equal paths: thousands of rules have the same few.
func (r *recorder) intern(path string) string {
	if known, ok := r.paths[path]; ok {
		return known
	}
	r.paths[path] = path
	return path
}

func (r *recorder) mark(n *yaml.Node, path string) {
	r.at.list = append(r.at.list, valuePosition{path: r.intern(path), line: int32(n.Line), column: int32(n.Column)})
}

// markPair records the positions of a value of a mapping and of its key.
func (r *recorder) markPair(key, value *yaml.Node, path string) {
	r.mark(value, path)
	r.mark(key, namePath(path))
}

// clip shortens text from a file for a message.
func clip(s string) string { return code.Clip(s, 64) }
