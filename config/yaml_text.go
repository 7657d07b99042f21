package config

import (
	"fmt"
	"reflect"
	"regexp"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// blockKeys are the keys that a lone number, or a lone word, is probably for.
var blockKeys = map[reflect.Type]struct{ number, word string }{
	reflect.TypeFor[RateLimit]():      {number: "rate"},
	reflect.TypeFor[Concurrency]():    {number: "max"},
	reflect.TypeFor[CircuitBreaker](): {number: "consecutiveFailures"},
	reflect.TypeFor[AccessEntry]():    {word: "caller"},
	reflect.TypeFor[Match]():          {word: "service"},
	reflect.TypeFor[Exceptions]():     {word: "caller"},
	reflect.TypeFor[Exception]():      {word: "caller"},
	reflect.TypeFor[Compression]():    {word: "type"},
}

// blockOf is the word n written as the block that was probably meant, or "".
func blockOf(n *yaml.Node, t reflect.Type) string {
	isNumber := n.ShortTag() == "!!int" || n.ShortTag() == "!!float"
	keys := blockKeys[t]
	switch {
	case isNumber && (n.Value == "0" || strings.HasPrefix(n.Value, "-")):
		return "" // would be wrong there, too
	case t == reflect.TypeFor[Access]():
		return accessOf(n.Value, isNumber)
	case t == reflect.TypeFor[CircuitBreaker]() && (strings.HasSuffix(n.Value, "%") || strings.HasPrefix(n.Value, "0.")):
		return "{failureRate: " + n.Value + "}"
	case t == reflect.TypeFor[RateLimit]() && !isNumber:
		return rateOf(n.Value)
	case t == reflect.TypeFor[Retry]() && isWhole.MatchString(n.Value):
		retries, _ := strconv.Atoi(n.Value)
		return fmt.Sprintf("{maxAttempts: %d}", retries+1) // the first is none of them
	case n.ShortTag() == "!!float" && t != reflect.TypeFor[RateLimit]():
		return ""
	case isNumber && keys.number != "":
		return "{" + keys.number + ": " + n.Value + "}"
	case !isNumber && keys.word != "":
		return "{" + keys.word + ": " + plainOrQuoted(n.Value) + "}"
	}
	return ""
}

// accessOf is the access list that allow, deny or the name of a caller stand for.
func accessOf(word string, isNumber bool) string {
	switch strings.ToLower(word) {
	case "deny", "none", "denyall", "deny-all", "false":
		return `{deny: [{caller: "*"}]}`
	case "allow", "all", "any", "allowall", "allow-all", "true", "*":
		return `{allow: [{caller: "*"}]}`
	}
	if isNumber {
		return ""
	}
	return "{allow: [{caller: " + plainOrQuoted(word) + "}]}"
}

// rateOf is the block for 5/s and 100/1m.
func rateOf(text string) string {
	number, per, ok := ratePer(text)
	if !ok {
		return ""
	}
	return "{rate: " + number + ", per: " + per + "}"
}

// elementOf is the word n as it can stand in a list of t: text that YAML would take for something else is quoted.
func elementOf(n *yaml.Node, t reflect.Type) string {
	if t.Kind() == reflect.String {
		return asText(n.Value)
	}
	return plainOrQuoted(n.Value)
}

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
