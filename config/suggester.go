package config

import (
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"
)

// suggester finds what was probably meant. Every suggestion is decoded in place of the value first, so that
// following it never leads to another problem at the same place.
type suggester struct {
	types structTypes
	vars  *variables
	try   func(n *yaml.Node, t reflect.Type, f *field) *Problem // decodes a value on the side
	quiet bool                                                  // never repeat a value
	trial bool                                                  // a suggestion is being decoded
}

// explain completes the message for the scalar n, and adds a suggestion that holds.
func (s *suggester) explain(n *yaml.Node, t reflect.Type, f *field, message, suggestion, path string, blockList bool) (string, string) {
	if message, suggestion = s.quotes(message, suggestion, n, t, f); suggestion == "" {
		suggestion = foreignValue(f, n.Value)
	}
	message, suggestion = s.offered(message, t, f), s.checked(suggestion, t, f, path, blockList)
	if bare, ok := strings.CutSuffix(message, withoutQuotes); ok && n.ShortTag() == "!!str" && s.vars.expanded[n] != "" {
		message = bare + "only an unquoted variable becomes one, on a line of its own"
	}
	if s.quiet && !isTelling(t, n.Value) {
		message, suggestion = "must be "+typeName(t)+bounds(f), ""
		if len(f.enum) > 0 {
			message = "must be one of " + strings.Join(f.enum, ", ")
		}
	}
	return message, suggestion
}

// foreignPair translates a key of another system together with its value: minute: 100 to rate: 100, per: 1m. ours is
// our key.
func (s *suggester) foreignPair(t reflect.Type, key, value *yaml.Node) (ours, pair string) {
	word := fold(key.Value)
	switch {
	case s.quiet || s.vars.expanded[value] != "":
	case t == reflect.TypeFor[RateLimit]():
		return ratePair(word, value)
	case t == reflect.TypeFor[CircuitBreaker]():
		return breakerPair(word, value)
	case t == reflect.TypeFor[Retry]() && slices.Contains([]string{"maxretries", "retries", "numretries", "maxretry", "retrycount"}, word):
		if n, err := strconv.Atoi(value.Value); err == nil && n > 0 && n < 100 {
			return "maxAttempts", fmt.Sprintf("maxAttempts: %d", n+1) // the first attempt is not a retry
		}
	case t == reflect.TypeFor[Retry]() && word == "maxtokens":
		return "budget", "budget: 20%" // tokens of a throttle are not a ratio: suggest the default
	}
	return "", ""
}

// key returns the message for an unknown key, and the key that was probably meant.
func (s *suggester) key(key, value, around *yaml.Node, block *structType, t reflect.Type) (ours, message, suggestion string) {
	message = "unknown key"
	secret := t == reflect.TypeFor[Token]()
	if hint := foreignHint(t, fold(key.Value)); hint != "" {
		return "", hint, ""
	}
	ours, suggestion = s.foreignPair(t, key, value)
	if ours == "" {
		ours = s.meant(key.Value, block, t)
		suggestion = ours
		outer, inner, isNested := strings.Cut(ours, ".")
		switch {
		case ours == "":
			message += "; known are " + strings.Join(slices.Sorted(slices.Values(block.names)), ", ")
		case !isNested:
			suggestion = s.keyAndValue(ours, key, value, block.byName[ours], secret)
		default:
			suggestion = ""
			if !hasKey(around, outer) && !secret {
				suggestion = s.nested(block.byName[outer], outer, inner, value)
			}
			if suggestion == "" {
				message = fmt.Sprintf("unknown key: %s belongs inside %s", inner, outer)
			}
		}
	}
	return ours, message, suggestion
}

// meant returns the key that was probably meant: another spelling, the word of another system, a misspelling, or a
// key of a nested block.
func (s *suggester) meant(word string, block *structType, t reflect.Type) string {
	folded := fold(word)
	for _, name := range block.names {
		if fold(name) == folded {
			return name
		}
	}
	if hint := foreignKey(t, folded); hint != "" {
		return hint
	}
	if near := Suggest(word, block.names); near != "" {
		return near
	}
	inside := ""
	for _, f := range block.fields {
		ft := f.typ
		if ft.Kind() == reflect.Pointer {
			ft = ft.Elem()
		}
		if f.later != "" || ft.Kind() != reflect.Struct || ft == timeType || ft == rawOptionsType {
			continue
		}
		if s.types.of(ft).byName[word] == nil {
			continue
		}
		if inside != "" {
			return ""
		}
		inside = f.name + "." + word
	}
	return inside
}

// tried returns the problem that a value would have as the value of a field, or nil.
func (s *suggester) tried(n *yaml.Node, t reflect.Type, f *field) *Problem {
	if s.trial {
		return nil // a suggestion needs no suggestions
	}
	return s.try(n, t, f)
}

// told is tried for text in YAML.
func (s *suggester) told(text string, t reflect.Type, f *field) *Problem {
	n, _, problem := parse([]byte(text))
	switch {
	case problem != nil:
		return problem
	case n == nil:
		return &Problem{Message: "is empty"}
	}
	return s.tried(n, t, f)
}

func (s *suggester) holds(text string, t reflect.Type, f *field) bool {
	return s.told(text, t, f) == nil
}

// checked returns a suggestion for the value at path if it holds: one value, or a list in its place.
func (s *suggester) checked(suggestion string, t reflect.Type, f *field, path string, blockList bool) string {
	if suggestion == "" || !strings.HasPrefix(suggestion, "[") {
		if suggestion != "" && s.holds(suggestion, t, f) {
			return suggestion
		}
		return ""
	}
	if !s.holds(suggestion, reflect.SliceOf(t), f) {
		return ""
	}
	inside := insideOf(path, suggestion)
	if inside == suggestion || !blockList {
		return inside
	}
	return "" // each element would need its own line
}

var alternatives = regexp.MustCompile(`^(.*[^:]): (\S+(?:, \S+)*) or (\S+)\?$`)

// offered drops the alternatives of a message that do not hold: 800 has no unit: 800ms or 800s?
func (s *suggester) offered(message string, t reflect.Type, f *field) string {
	m := alternatives.FindStringSubmatch(message)
	if m == nil {
		return message
	}
	var good []string
	for _, value := range append(strings.Split(m[2], ", "), m[3]) {
		if s.holds(value, t, f) {
			good = append(good, value)
		}
	}
	switch len(good) {
	case 0:
		return m[1]
	case 1:
		return m[1] + ": " + good[0] + "?"
	default:
		return m[1] + ": " + orList(good) + "?"
	}
}

// quotes checks an advice about quotes: if following it leads to another problem, it returns that one.
func (s *suggester) quotes(message, suggestion string, n *yaml.Node, t reflect.Type, f *field) (string, string) {
	var other string
	switch {
	case strings.HasSuffix(message, withoutQuotes):
		other = n.Value
	case strings.HasSuffix(message, inQuotesInstead):
		other = inQuotes(n.Value)
	default:
		return message, suggestion
	}
	if p := s.told(other, t, f); p != nil {
		return p.Message, p.Suggestion
	}
	return message, suggestion
}

// keyAndValue returns the suggestion for a key, together with its value if that has to change too.
func (s *suggester) keyAndValue(ours string, key, value *yaml.Node, f *field, secret bool) string {
	if value.Kind != yaml.ScalarNode || value.Value == "" || s.quiet || secret || s.vars.expanded[value] != "" {
		return ours
	}
	p := s.tried(value, f.typ, f)
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
		if text != "" && text != value.Value && s.holds(text, f.typ, f) {
			return ours + ": " + text
		}
	}
	return ours
}

// nested returns the suggestion for a key that belongs inside a block, if it holds: rateLimit: {burst: 5}.
func (s *suggester) nested(f *field, outer, inner string, value *yaml.Node) string {
	text := s.flowText(value)
	if text == "" || s.quiet {
		return ""
	}
	if block := "{" + inner + ": " + text + "}"; s.holds(block, f.typ, f) {
		return outer + ": " + block
	}
	return ""
}

// flowText returns a short value as it is written in { }, or "".
func (s *suggester) flowText(n *yaml.Node) string {
	const limit = 80
	var parts []string
	open, end := "[", "]"
	switch {
	case s.vars.expanded[n] != "" || n.Kind == yaml.AliasNode:
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
			key, value := s.flowText(n.Content[i]), s.flowText(n.Content[i+1])
			if key == "" || value == "" {
				return ""
			}
			parts = append(parts, key+": "+value)
		}
	default:
		for _, c := range n.Content {
			text := s.flowText(c)
			if text == "" {
				return ""
			}
			parts = append(parts, text)
		}
	}
	if text := open + strings.Join(parts, ", ") + end; len(text) <= limit {
		return text
	}
	return ""
}

// isTelling reports whether text in place of a duration is a number, with or without a unit. Secrets do not look
// like that, so it may be shown.
func isTelling(t reflect.Type, text string) bool {
	if t != durationType && t != stdDuration {
		return false
	}
	if _, err := time.ParseDuration(text); err == nil {
		return true
	}
	_, unit, ok := split(text)
	return ok && len(text) <= 12 && (unit == "" || durationUnits[strings.ToLower(unit)] != "")
}

// describe returns n in a few words.
func (s *suggester) describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	case yaml.AliasNode:
		return "an alias"
	}
	if s.quiet || s.vars.expanded[n] != "" {
		return "a plain value"
	}
	return quoted(n.ShortTag(), n.Value)
}

// wrapped returns a value as the list or the block that is wanted, if that holds.
func (s *suggester) wrapped(n *yaml.Node, t reflect.Type, f *field) string {
	if s.quiet || s.trial && t.Kind() != reflect.Struct || s.vars.expanded[n] != "" || len(n.Value) > 60 {
		return ""
	}
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	text := ""
	switch list := t.Kind() == reflect.Slice; {
	case n.Kind == yaml.ScalarNode && n.Value == "":
	case n.Kind == yaml.ScalarNode && list && isScalar(t.Elem()):
		text = s.splitList(n, t.Elem(), f)
	case n.Kind == yaml.ScalarNode && list:
		if text = blockOf(n, t.Elem()); text != "" && !oneOrList[t] {
			text = "[" + text + "]"
		}
	case n.Kind == yaml.ScalarNode:
		text = blockOf(n, t)
	case n.Kind == yaml.MappingNode && list && isScalar(t.Elem()):
		text = namesIn(n)
	case n.Kind == yaml.MappingNode && n.Style&yaml.FlowStyle != 0 && list && !s.trial:
		text = s.namedIn(n)
	case n.Kind == yaml.SequenceNode && t == reflect.TypeFor[Access]():
		if text = s.flowText(n); !strings.HasPrefix(text, "[{") && text != "" {
			text = "[{caller: " + text + "}]"
		}
		if text != "" {
			text = "{allow: " + text + "}"
		}
	}
	if text == "" || !s.holds(text, t, f) {
		return ""
	}
	return text
}

// namedIn returns the list for {a: {…}, b: {…}}: blocks with names.
func (s *suggester) namedIn(n *yaml.Node) string {
	var list []string
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, inside := s.flowText(n.Content[i]), s.flowText(n.Content[i+1])
		rest, ok := strings.CutPrefix(inside, "{")
		if name == "" || !ok || rest == "}" {
			return ""
		}
		list = append(list, "{name: "+name+", "+rest)
	}
	return "[" + strings.Join(list, ", ") + "]"
}

// splitList returns the list for one word, or for several separated by commas.
func (s *suggester) splitList(n *yaml.Node, element reflect.Type, f *field) string {
	var list []string
	for part := range strings.SplitSeq(n.Value, ",") {
		text := plainOrQuoted(strings.TrimSpace(part))
		if element.Kind() == reflect.String {
			text = asText(strings.TrimSpace(part))
		}
		if p := s.told(text, element, f); p != nil && p.Suggestion != "" {
			text = strings.Trim(p.Suggestion, "[]")
		}
		for one := range strings.SplitSeq(text, ", ") {
			if !slices.Contains(list, one) {
				list = append(list, one)
			}
		}
	}
	return "[" + strings.Join(list, ", ") + "]"
}
