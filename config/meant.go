package config

import (
	"reflect"
	"regexp"
	"strings"

	"go.yaml.in/yaml/v4"
)

// What is suggested holds: written verbatim into its place, it is not reported at the same place again. So each
// suggestion is decoded, as the value that it is for, before it is made.

// tried is what a value would be told in the place of a field: no problem, if it holds.
func (d *decoder) tried(n *yaml.Node, t reflect.Type, f *field) *Problem {
	if d.trial {
		return nil // what is tried makes suggestions too
	}
	trial := newDecoder("", d.env)
	trial.types, trial.trial = d.types, true
	trial.value(n, reflect.New(t).Elem(), f, "")
	if len(trial.problems) == 0 {
		return nil
	}
	return &trial.problems[0]
}

// told is tried for text as it would stand in the file.
func (d *decoder) told(text string, t reflect.Type, f *field) *Problem {
	n, _, problem := parse([]byte(text))
	switch {
	case problem != nil:
		return problem
	case n == nil:
		return &Problem{Message: "is empty"}
	}
	return d.tried(n, t, f)
}

func (d *decoder) holds(text string, t reflect.Type, f *field) bool { return d.told(text, t, f) == nil }

// proven is a suggestion for a value at path if it holds: one value, or a list of several in its place.
func (d *decoder) proven(suggestion string, t reflect.Type, f *field, path string) string {
	if suggestion == "" || !strings.HasPrefix(suggestion, "[") {
		if suggestion != "" && d.holds(suggestion, t, f) {
			return suggestion
		}
		return ""
	}
	if !d.holds(suggestion, reflect.SliceOf(t), f) {
		return ""
	}
	inside := insideOf(path, suggestion)
	if inside == suggestion || !d.blockList {
		return inside
	}
	return "" // each would need a line of its own
}

var alternatives = regexp.MustCompile(`^(.*[^:]): (\S+(?:, \S+)*) or (\S+)\?$`)

// offered drops, of the values that a message offers, those that do not hold: 800 has no unit: 800ms or 800s?
func (d *decoder) offered(message string, t reflect.Type, f *field) string {
	m := alternatives.FindStringSubmatch(message)
	if m == nil {
		return message
	}
	var good []string
	for _, value := range append(strings.Split(m[2], ", "), m[3]) {
		if d.holds(value, t, f) {
			good = append(good, value)
		}
	}
	switch last := len(good) - 1; last {
	case -1:
		return m[1]
	case 0:
		return m[1] + ": " + good[0] + "?"
	default:
		return m[1] + ": " + strings.Join(good[:last], ", ") + " or " + good[last] + "?"
	}
}

// quotes looks through the words on quotes: of what is wrong with or without them, that is told which comes next.
func (d *decoder) quotes(message, suggestion string, n *yaml.Node, t reflect.Type, f *field) (string, string) {
	var other string
	switch {
	case strings.HasSuffix(message, withoutQuotes):
		other = n.Value
	case strings.HasSuffix(message, inQuotesInstead):
		other = inQuotes(n.Value)
	default:
		return message, suggestion
	}
	if p := d.told(other, t, f); p != nil {
		return p.Message, p.Suggestion
	}
	return message, suggestion
}

const (
	withoutQuotes   = "leave out the quotes"
	inQuotesInstead = "write it in quotes"
)

// keyAndValue is the suggestion for a key that is meant otherwise: with its value if that has to change as well.
func (d *decoder) keyAndValue(ours string, key, value *yaml.Node, f *field, secret bool) string {
	if value.Kind != yaml.ScalarNode || d.quiet || secret || d.expanded[value] != "" {
		return ours
	}
	p := d.tried(value, f.typ, f)
	if p == nil {
		return ours
	}
	candidates := []string{p.Suggestion}
	switch f.typ {
	case shareType:
		candidates = append(candidates, value.Value+"%")
	case addressType:
		candidates = append(candidates, inQuotes(":"+value.Value))
	default:
		candidates = append(candidates, value.Value+unitIn(key.Value))
	}
	for _, text := range candidates {
		if text != "" && text != value.Value && d.holds(text, f.typ, f) {
			return ours + ": " + text
		}
	}
	return ours
}

var units = regexp.MustCompile(`(?i)(?:^|[a-z])(?:_?(ms|millis|milliseconds|msec)|(?:_|-)?(s|sec|secs|seconds))$`)

// unitIn is the unit that a key has in its name: timeoutMs.
func unitIn(key string) string {
	m := units.FindStringSubmatch(key)
	switch {
	case m == nil:
		return ""
	case m[1] != "":
		return "ms"
	default:
		return "s"
	}
}

// nested is the suggestion for a key that belongs inside of a block, if that holds: rateLimit: {burst: 5}.
func (d *decoder) nested(f *field, outer, inner string, value *yaml.Node) string {
	text := d.flowText(value)
	if text == "" || d.quiet {
		return ""
	}
	if block := "{" + inner + ": " + text + "}"; d.holds(block, f.typ, f) {
		return outer + ": " + block
	}
	return ""
}

// flowText is a short value as it can stand in a { }, or "".
func (d *decoder) flowText(n *yaml.Node) string {
	const most = 80
	var parts []string
	open, end := "[", "]"
	switch {
	case d.expanded[n] != "" || n.Kind == yaml.AliasNode:
		return ""
	case n.Kind == yaml.ScalarNode && n.ShortTag() == "!!str":
		if open, end = "", ""; n.Value != "" {
			parts = append(parts, asText(n.Value))
		}
	case n.Kind == yaml.ScalarNode:
		open, end, parts = "", "", []string{n.Value}
	case n.Kind == yaml.MappingNode:
		open, end = "{", "}"
		for i := 0; i+1 < len(n.Content); i += 2 {
			key, value := d.flowText(n.Content[i]), d.flowText(n.Content[i+1])
			if key == "" || value == "" {
				return ""
			}
			parts = append(parts, key+": "+value)
		}
	default:
		for _, c := range n.Content {
			text := d.flowText(c)
			if text == "" {
				return ""
			}
			parts = append(parts, text)
		}
	}
	if text := open + strings.Join(parts, ", ") + end; len(text) <= most {
		return text
	}
	return ""
}
