package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// What a file may be at most. A legal file is far below; a hostile one is refused before it costs time or memory.
const (
	MaxFileBytes   = 1 << 20
	MaxSecretBytes = 64 << 10 // of a file with a token, a user or a password
	maxDepth       = 64
	maxAliasValues = 10_000 // values that come from aliases, counted each time
	maxDocuments   = 1000   // all but one of them are empty
)

// newerYAML is a line that announces YAML 1.2, which the library reads and does not announce.
var newerYAML = regexp.MustCompile(`(?m)^%YAML 1\.2([ \t\r]|$)`)

// parse returns the root node of the one document with content in data; nil without any. blank reports whether there
// are documents all the same, as generators write them: --- with nothing behind it but comments.
func parse(data []byte) (root *yaml.Node, blank bool, problem *Problem) {
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
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
			return nil, false, syntaxProblem(text, err).without(text, data)
		case n > maxDocuments:
			return nil, false, &Problem{Line: doc.Line, Column: doc.Column, Message: fmt.Sprintf("more than %d documents", maxDocuments)}
		case isBlank(&doc):
			blank = true
		case root != nil:
			return nil, false, &Problem{Line: doc.Line, Column: doc.Column, Message: "a second document begins here: a file holds one, without --- between"}
		default:
			root = doc.Content[0]
		}
	}
}

// isBlank reports whether nothing is written in a document, not even null.
func isBlank(doc *yaml.Node) bool {
	if len(doc.Content) == 0 {
		return true
	}
	n := doc.Content[0]
	return n.Kind == yaml.ScalarNode && n.ShortTag() == "!!null" && n.Value == "" && n.Style == 0 && n.Anchor == ""
}

// without is the problem in data, which stands in text behind the prefix.
func (p *Problem) without(text, data []byte) *Problem {
	if p.Line == 1 && len(text) > len(data) {
		p.Column = max(p.Column-len(flowPrefix), 1)
	}
	return p
}

// shiftFirstLine takes the prefix out of the places on the first line.
func shiftFirstLine(n *yaml.Node) {
	if n.Line == 1 {
		n.Column -= len(flowPrefix)
	}
	for _, c := range n.Content {
		shiftFirstLine(c)
	}
}

// depthLimit bounds how deep a file is nested; aliases are bounded where they are followed.
type depthLimit struct{}

func (depthLimit) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > maxDepth {
		return fmt.Errorf("exceeded max depth of %d", maxDepth)
	}
	return nil
}

func (depthLimit) CheckAlias(int, int) error { return nil }

// checkText refuses what is no text, or text made to cost time and memory.
func checkText(data []byte) *Problem {
	if len(data) > MaxFileBytes {
		return &Problem{Line: 1, Column: 1, Message: fmt.Sprintf("has %d bytes: a file may have 1 MiB at most", len(data))}
	}
	if bytes.HasPrefix(data, []byte("\xff\xfe")) || bytes.HasPrefix(data, []byte("\xfe\xff")) {
		return &Problem{Line: 1, Column: 1, Message: "is UTF-16: save it as UTF-8"}
	}
	line, column, flow := 1, 1, newFlowCounter(data)
	for len(data) > 0 {
		r, size := utf8.DecodeRune(data)
		switch {
		case r == utf8.RuneError && size == 1:
			return &Problem{Line: line, Column: column, Message: fmt.Sprintf("byte 0x%02x is no UTF-8: save the file as UTF-8", data[0])}
		case r == '\n':
			line, column = line+1, 0
		case r < ' ' && r != '\t' && r != '\r', r == 0x7f:
			return &Problem{Line: line, Column: column, Message: fmt.Sprintf("control character 0x%02x: this is no text file", r)}
		}
		if size == 1 && !flow.add(data[0]) {
			return &Problem{Line: line, Column: max(column, 1), Message: fmt.Sprintf(
				"more than %d brackets and commas in one { } or [ ]: write its entries as a list, each behind a -", maxFlowMarks)}
		}
		data = data[size:]
		column++
	}
	return nil
}
