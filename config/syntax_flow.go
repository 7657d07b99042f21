package config

import (
	"strings"

	"go.yaml.in/yaml/v4"
)

// flowVariable tells that the parser tripped over a ${ inside of { } or [ ], and makes that the place of the error.
func flowVariable(data []byte, e *yaml.LoadError) bool {
	if !strings.Contains(e.Message, "',' or '") {
		return false
	}
	return charAt(data, e.Mark.Line, e.Mark.Column) == '{' && charAt(data, e.Mark.Line, e.Mark.Column-1) == '$'
}

// flowText tells that the parser tripped over a bracket in the middle of unquoted text inside of { } or [ ]. The text is
// not shown: it may be a secret.
func flowText(data []byte, e *yaml.LoadError) bool {
	c, before := charAt(data, e.Mark.Line, e.Mark.Column), charAt(data, e.Mark.Line, e.Mark.Column-1)
	return strings.Contains(e.Message, "',' or '") && (c == '{' || c == '[') &&
		e.Mark.Column > 1 && !strings.ContainsRune(" \t,:{}[]\"'", before)
}
