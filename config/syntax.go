package config

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// syntaxProblem says what the YAML library found in words for somebody who did not read the YAML specification.
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
		at.Line, at.Column, words = 1, 1, "behind %YAML a line --- must follow"
	case flowVariable(data, e):
		words = "an unquoted ${…} cannot stand inside of { } or [ ], where { begins a mapping: quote it, or write one key a line"
	case flowText(data, e):
		words = "text with { or [ in it cannot stand unquoted inside of { } or [ ]: quote it, as \"/v1/{x}\""
	case has("',' or ']'"):
		at, words = opened(e), fmt.Sprintf("this [ is not closed, or a comma is missing, before line %d", e.Mark.Line)
	case has("',' or '}'"):
		at, words = opened(e), fmt.Sprintf("this { is not closed, or a comma is missing, before line %d", e.Mark.Line)
	case has("unexpected end of stream") || has("unexpected document indicator"):
		at, words = opened(e), "this quote is not closed"
	case has("cannot start any token"):
		words = cannotStart(charAt(data, at.Line, at.Column))
	case has("mapping values are not allowed"):
		words = "a colon too much: quote text that contains \": \", or compare the indentation with the line above"
	case has("'-' indicator") || has("expected key") || has("document start"):
		words = "this does not fit what is above: compare the indentation"
	case has("alphabetic or numeric character"):
		words = cannotStart(charAt(data, opened(e).Line, opened(e).Column))
		at = opened(e)
	case has("unknown anchor"):
		words = "refers to an anchor that is not above it; text that begins with * must be quoted"
	case has("expected ':'"):
		at, words = opened(e), "this line has no \": \" that makes it a key and a value"
	case has("unknown escape"):
		words = "unknown escape: write \\\\ for a backslash, or use single quotes"
	case has("block sequence entries"):
		words = "a list entry may not begin here: put it on a line of its own"
	case has("incompatible YAML"):
		words = "%YAML: only YAML 1.1 and 1.2 are understood; leave the line out"
	case has("unknown directive") || has("before directive"):
		at.Column, words = 1, "a line that begins with % is a directive of YAML, and only %YAML above the first --- is understood"
	case has("expected node content") && atEnd(data, at.Line):
		words = "the file ends here, and what was begun above is not closed"
	case has("expected node content"):
		words = fmt.Sprintf("a value is missing before %q", charAt(data, at.Line, at.Column))
	default:
		words = "no valid YAML: " + e.Message
	}
	return &Problem{Line: max(at.Line, 1), Column: max(at.Column, 1), Message: words}
}

// opened is where the thing began that went wrong.
func opened(e *yaml.LoadError) yaml.Mark {
	if e.ContextMark.Line > 0 {
		return e.ContextMark
	}
	return e.Mark
}

func cannotStart(c rune) string {
	if c == '\t' {
		return "a tab: YAML is indented with spaces"
	}
	return fmt.Sprintf("text that begins with %c must be quoted", c)
}

// charAt is the character at a place of data, or a blank beyond the end.
func charAt(data []byte, line, column int) rune {
	for ; line > 1; line-- {
		_, rest, found := bytes.Cut(data, []byte("\n"))
		if !found {
			return ' '
		}
		data = rest
	}
	for ; column > 1 && len(data) > 0; column-- {
		_, size := utf8.DecodeRune(data)
		data = data[size:]
	}
	r, size := utf8.DecodeRune(data)
	if size == 0 {
		return ' '
	}
	return r
}

// atEnd tells that there is nothing in data from the line on.
func atEnd(data []byte, line int) bool {
	return line > bytes.Count(data, []byte("\n")) && (bytes.HasSuffix(data, []byte("\n")) || line > bytes.Count(data, []byte("\n"))+1)
}
