package config

import (
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// plainOrQuoted returns a word as it is written in a { } or [ ].
func plainOrQuoted(word string) string {
	if strings.ContainsAny(word, "*{}[],:#&!|>'\"%@`") || strings.HasPrefix(word, "- ") || strings.HasPrefix(word, "? ") {
		return inQuotes(word)
	}
	return word
}

var escaped = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\r", `\r`)

func inQuotes(word string) string { return `"` + escaped.Replace(word) + `"` }

var floatForm = regexp.MustCompile(`^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$`)

// plainTag returns the YAML type of unquoted text that did not come from the YAML library: expanded variables and
// defaults.
func plainTag(text string) string {
	switch text {
	case "", "~", "null", "Null", "NULL":
		return "!!null"
	case "true", "True", "TRUE", "false", "False", "FALSE":
		return "!!bool"
	}
	switch strings.ToLower(strings.TrimLeft(text, "+-")) {
	case ".nan", ".inf":
		return "!!float"
	}
	digits := strings.ReplaceAll(text, "_", "")
	if _, err := strconv.ParseInt(digits, 0, 64); err == nil {
		return "!!int"
	}
	if floatForm.MatchString(digits) {
		return "!!float"
	}
	return "!!str"
}

// asText returns a word as a YAML string.
func asText(word string) string {
	if plainTag(word) != "!!str" {
		return inQuotes(word)
	}
	return plainOrQuoted(word)
}

// namesIn returns the list for {a, b}, which YAML takes for a mapping of names to nothing.
func namesIn(n *yaml.Node) string {
	var names []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := n.Content[i], n.Content[i+1]
		if key.Kind != yaml.ScalarNode || value.ShortTag() != "!!null" {
			return ""
		}
		names = append(names, asText(key.Value))
	}
	return "[" + strings.Join(names, ", ") + "]"
}

// insideOf returns a suggestion as it is written at path: without brackets inside a list.
func insideOf(path, suggestion string) string {
	if strings.HasSuffix(path, "]") && strings.HasPrefix(suggestion, "[") {
		return strings.TrimSuffix(strings.TrimPrefix(suggestion, "["), "]")
	}
	return suggestion
}

func hasKey(n *yaml.Node, key string) bool { return valueOf(n, key) != nil }

// valueOf returns the value of a key of a mapping, or nil.
func valueOf(n *yaml.Node, key string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
}
