package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Limits of a file. Legitimate files are far below; hostile ones are rejected before they cost time or memory.
const (
	MaxFileBytes   = 1 << 20
	MaxSecretBytes = 64 << 10 // file with a token, a user name or a password
	maxDepth       = 64
	maxAliasValues = 10_000 // values expanded from aliases, counted each time
	maxDocuments   = 1000   // of which one may have content

	byteOrderMark = "\xef\xbb\xbf" // before the text of some editors
)

// newerYAML matches the directive for YAML 1.2, which the library reads but does not accept.
var newerYAML = regexp.MustCompile(`(?m)^%YAML 1\.2([ \t\r]|$)`)

// parse returns the root node of the one document with content, or nil if there is none. blank reports whether the
// file has empty documents, as generators write them.
func parse(data []byte) (root *yaml.Node, blank bool, problem *Problem) {
	data = bytes.TrimPrefix(data, []byte(byteOrderMark))
	if problem := checkText(data); problem != nil {
		return nil, false, problem
	}
	text := newerYAML.ReplaceAll(data, []byte("%YAML 1.1$1"))
	if isFlow(data) {
		text = append([]byte(flowPrefix), text...)
	}
	loader, err := yaml.NewLoader(bytes.NewReader(text), yaml.WithUniqueKeys(false), yaml.WithPlugin(depthLimit{}))
	if err != nil {
		return nil, false, &Problem{Message: err.Error()}
	}
	for n := 1; ; n++ {
		var doc yaml.Node
		switch err := loader.Load(&doc); {
		case errors.Is(err, io.EOF):
			if root != nil && len(text) > len(data) {
				shiftFirstLine(root)
			}
			return root, blank, nil
		case err != nil:
			return nil, false, unshifted(syntaxProblem(text, err), len(text) > len(data))
		case n > maxDocuments:
			return nil, false, &Problem{Line: doc.Line, Column: doc.Column, Message: fmt.Sprintf("more than %d documents", maxDocuments)}
		case isBlank(&doc):
			blank = true
		case root != nil:
			return nil, false, &Problem{Line: doc.Line, Column: doc.Column, Message: "a second document begins here: a file has only one"}
		default:
			root = doc.Content[0]
		}
	}
}

// isBlank reports whether a document is empty; null is not.
func isBlank(doc *yaml.Node) bool {
	if len(doc.Content) == 0 {
		return true
	}
	n := doc.Content[0]
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && n.Value == "" && n.Style == 0 && n.Anchor == ""
}

// shiftFirstLine corrects the columns of the first line for the prefix.
func shiftFirstLine(n *yaml.Node) {
	if n.Line == 1 {
		n.Column -= len(flowPrefix)
	}
	for _, c := range n.Content {
		shiftFirstLine(c)
	}
}

// depthLimit bounds the nesting of a file; aliases are bounded where they are followed.
type depthLimit struct{}

func (depthLimit) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > maxDepth {
		return fmt.Errorf("exceeded max depth of %d", maxDepth)
	}
	return nil
}

func (depthLimit) CheckAlias(int, int) error { return nil }

// checkText rejects what is not text, and text made to cost time and memory.
func checkText(data []byte) *Problem {
	if len(data) > MaxFileBytes {
		return &Problem{Line: 1, Column: 1, Message: fmt.Sprintf("has %d bytes: the limit is 1 MiB", len(data))}
	}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return &Problem{Line: 1, Column: 1, Message: "is UTF-16: save it as UTF-8"}
	}
	line, column, flow := 1, 1, newFlowCounter(data)
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size == 1:
			return &Problem{Line: line, Column: column, Message: fmt.Sprintf("byte 0x%02x is not valid UTF-8: save the file as UTF-8", data[0])}
		case r == '\n':
			line, column = line+1, 0
		case r < ' ' && r != '\t' && r != '\r', r == 0x7f:
			return &Problem{Line: line, Column: column, Message: fmt.Sprintf("control character 0x%02x: this is not a text file", r)}
		}
		if size == 1 && !flow.add(data[0]) {
			return &Problem{Line: line, Column: max(column, 1), Message: fmt.Sprintf(
				"more than %d brackets and commas in one { } or [ ]: write its entries as a list, each after a -", maxFlowMarks)}
		}
		data = data[size:]
		column++
	}
	return nil
}

// The YAML parser keeps all tokens of a { } or [ ] that may turn out to be a key, about 500 bytes for each byte of the
// file. A file that is one { } or [ ], as JSON is, gets a prefix that rules this out; in all others brackets and commas
// are bounded before they reach the parser.
const (
	flowPrefix   = "--- "
	maxFlowMarks = 2000
)

func isFlow(data []byte) bool { return len(data) > 0 && (data[0] == '{' || data[0] == '[') }

// flowCounter counts the brackets and commas of one entry. It knows enough YAML to skip quotes and comments inside {
// } and [ ]; outside of them it starts over with each entry.
type flowCounter struct {
	entryDepth int // depth at which entries begin: 2 for {"rules": [ … ]}
	depth      int
	marks      int
	quote      byte
	escaped    bool
	comment    bool
	before     byte
	solid      byte // the last byte that is not whitespace
	lineStart  bool // only whitespace so far
	dash       bool // the line begins with a dash
}

func newFlowCounter(data []byte) *flowCounter {
	c := &flowCounter{lineStart: true, before: ' '}
	if isFlow(data) {
		c.entryDepth = 2
	}
	return c
}

// add counts one byte and reports whether the bound still holds.
func (c *flowCounter) add(b byte) bool {
	before, solid := c.before, c.solid
	if c.before = b; b != ' ' && b != '\n' && b != '\t' && b != '\r' {
		c.solid = b
	}
	switch {
	case b == '\n' && c.quote == 0 && !c.dash:
		c.comment, c.lineStart = false, true
		return true
	case c.comment:
		return true
	case c.quote != 0:
		c.quoted(b)
		return true
	}
	if c.dash && (b == ' ' || b == '\n') && c.entryDepth == 0 {
		c.depth, c.marks = 0, 0
	}
	c.dash = c.lineStart && b == '-'
	c.lineStart = b == '\n' || (c.lineStart && b == ' ')
	switch b {
	case '#':
		c.comment = before == ' ' || before == '\n' || before == '\t'
	case '"', '\'':
		if c.depth > 0 && (solid == ':' || isMark(solid)) {
			c.quote = b
		}
	case '{', '[':
		c.depth++
	case '}', ']':
		c.depth = max(c.depth-1, 0)
	}
	if c.depth <= c.entryDepth {
		c.marks = 0
	} else if isMark(b) {
		c.marks++
	}
	return c.marks <= maxFlowMarks
}

func (c *flowCounter) quoted(b byte) {
	switch {
	case c.escaped:
		c.escaped = false
	case b == '\\' && c.quote == '"':
		c.escaped = true
	case b == c.quote:
		c.quote = 0
	}
}

func isMark(b byte) bool { return b == '{' || b == '}' || b == '[' || b == ']' || b == ',' }

// syntaxProblem translates an error of the YAML library for readers who do not know the YAML specification.
func syntaxProblem(data []byte, err error) *Problem {
	var e *yaml.LoadError
	if !errors.As(err, &e) {
		return &Problem{Line: 1, Column: 1, Message: err.Error()}
	}
	at := e.Mark
	var words string
	has := func(part string) bool { return strings.Contains(e.Message, part) }
	switch {
	case has("exceeded max depth"):
		words = fmt.Sprintf("nested more than %d levels deep", maxDepth)
	case bytes.HasPrefix(data, []byte("%")) && !bytes.Contains(data, []byte("\n---")):
		at.Line, at.Column, words = 1, 1, "a line --- must follow %YAML"
	case flowVariable(data, e):
		words = "an unquoted ${…} is not possible inside { } or [ ], where { begins a mapping: quote it, or write one key per line"
	case flowText(data, e):
		words = "a string that contains { or [ must be quoted inside { } or [ ], as in \"/v1/{x}\""
	case has("',' or ']'"):
		at, words = opened(e), fmt.Sprintf("this [ is not closed, or a comma is missing, before line %d", e.Mark.Line)
	case has("',' or '}'"):
		at, words = opened(e), fmt.Sprintf("this { is not closed, or a comma is missing, before line %d", e.Mark.Line)
	case has("unexpected end of stream") || has("unexpected document indicator"):
		at, words = opened(e), "this quote is not closed"
	case has("cannot start any token"):
		words = cannotStart(charAt(data, at.Line, at.Column))
	case has("mapping values are not allowed"):
		words = "unexpected colon: quote a string that contains \": \", or compare the indentation with the line above"
	case has("'-' indicator") || has("expected key") || has("document start"):
		words = "unexpected indentation: compare it with the lines above"
	case has("alphabetic or numeric character"):
		words = cannotStart(charAt(data, opened(e).Line, opened(e).Column))
		at = opened(e)
	case has("unknown anchor"):
		words = "unknown anchor; a string that begins with * must be quoted"
	case has("expected ':'"):
		at, words = opened(e), "this line has no \": \" between a key and a value"
	case has("unknown escape"):
		words = "unknown escape: write \\\\ for a backslash, or use single quotes"
	case has("block sequence entries"):
		words = "a list item cannot begin here: put it on a line of its own"
	case has("incompatible YAML"):
		words = "%YAML: only YAML 1.1 and 1.2 are supported; leave the line out"
	case has("unknown directive") || has("before directive"):
		at.Column, words = 1, "a line that begins with % is a YAML directive, and only %YAML before the first --- is supported"
	case has("expected node content") && atEnd(data, at.Line):
		words = "unexpected end of file: something above is not closed"
	case has("expected node content"):
		words = fmt.Sprintf("a value is missing before %q", charAt(data, at.Line, at.Column))
	default:
		words = "invalid YAML: " + e.Message
	}
	return &Problem{Line: max(at.Line, 1), Column: max(at.Column, 1), Message: words}
}

// unshifted corrects the column of a problem on the first line for the prefix.
func unshifted(p *Problem, prefixed bool) *Problem {
	if prefixed && p.Line == 1 {
		p.Column = max(p.Column-len(flowPrefix), 1)
	}
	return p
}

// opened returns where the construct that failed begins.
func opened(e *yaml.LoadError) yaml.Mark {
	if e.ContextMark.Line > 0 {
		return e.ContextMark
	}
	return e.Mark
}

func cannotStart(c rune) string {
	if c == '\t' {
		return "a tab: indent YAML with spaces"
	}
	return fmt.Sprintf("a string that begins with %c must be quoted", c)
}

// charAt returns the character at a position of data, or a space beyond its end.
func charAt(data []byte, line, column int) rune {
	r, size := utf8.DecodeRune(data[offsetOf(data, line, column):])
	if size == 0 {
		return ' '
	}
	return r
}

// offsetOf returns the offset of a position, or the length of data that end before it.
func offsetOf(data []byte, line, column int) int {
	at := 0
	for ; line > 1; line-- {
		end := bytes.IndexByte(data[at:], '\n')
		if end < 0 {
			return len(data)
		}
		at += end + 1
	}
	for ; column > 1 && at < len(data); column-- {
		_, size := utf8.DecodeRune(data[at:])
		at += size
	}
	return at
}

// atEnd reports whether data is empty from line on.
func atEnd(data []byte, line int) bool {
	return line > bytes.Count(data, []byte("\n")) && (bytes.HasSuffix(data, []byte("\n")) || line > bytes.Count(data, []byte("\n"))+1)
}

// flowVariable reports whether the parser failed at a ${ inside { } or [ ].
func flowVariable(data []byte, e *yaml.LoadError) bool {
	if !strings.Contains(e.Message, "',' or '") {
		return false
	}
	return charAt(data, e.Mark.Line, e.Mark.Column) == '{' && charAt(data, e.Mark.Line, e.Mark.Column-1) == '$'
}

// flowText reports whether the parser failed at a bracket in unquoted text inside { } or [ ]. The text may be a
// secret, so it is not shown.
func flowText(data []byte, e *yaml.LoadError) bool {
	c, before := charAt(data, e.Mark.Line, e.Mark.Column), charAt(data, e.Mark.Line, e.Mark.Column-1)
	return strings.Contains(e.Message, "',' or '") && (c == '{' || c == '[') &&
		e.Mark.Column > 1 && !strings.ContainsRune(" \t,:{}[]\"'", before)
}
