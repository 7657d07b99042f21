package config

import (
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// plainOrQuoted is a word as it can stand in a { } or a [ ].
func plainOrQuoted(word string) string {
	if strings.ContainsAny(word, "*{}[],:#&!|>'\"%@`") || strings.HasPrefix(word, "- ") || strings.HasPrefix(word, "? ") {
		return inQuotes(word)
	}
	return word
}

var escaped = strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\r", `\r`)

func inQuotes(word string) string { return `"` + escaped.Replace(word) + `"` }

var floatForm = regexp.MustCompile(`^[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?$`)

// plainTag is the YAML type of unquoted text that the YAML library has not seen: what a variable became, and defaults.
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

// asText is a word as it can stand in YAML for a text.
func asText(word string) string {
	if plainTag(word) != "!!str" {
		return inQuotes(word)
	}
	return plainOrQuoted(word)
}

// namesIn is the list that {a, b} was meant for, which is a mapping of names to nothing.
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

// insideOf is a suggestion as it can stand at path: within a list without brackets of its own.
func insideOf(path, suggestion string) string {
	if strings.HasSuffix(path, "]") && strings.HasPrefix(suggestion, "[") {
		return strings.TrimSuffix(strings.TrimPrefix(suggestion, "["), "]")
	}
	return suggestion
}

func hasKey(n *yaml.Node, key string) bool {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return true
		}
	}
	return false
}
