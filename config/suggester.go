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

// suggester finds what was probably meant. What it suggests holds: written verbatim into its place, it is not reported at
// the same place again. So each suggestion is decoded, as the value that it is for, before it is made.
type suggester struct {
	types structTypes
	vars  *variables
	try   func(n *yaml.Node, t reflect.Type, f *field) *Problem // decodes a value apart
	quiet bool                                                  // values are not echoed
	trial bool                                                  // what is suggested is tried
}

// explain puts what is wrong with the word n into the words for its reader, with a suggestion that holds.
func (s *suggester) explain(n *yaml.Node, t reflect.Type, f *field, message, suggestion, path string, blockList bool) (string, string) {
	if message, suggestion = s.quotes(message, suggestion, n, t, f); suggestion == "" {
		suggestion = foreignValue(f, n.Value)
	}
	message, suggestion = s.offered(message, t, f), s.proven(suggestion, t, f, path, blockList)
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

// foreignPair is what a key of another system says, where our key has another value: minute: 100 is rate: 100, per: 1m.
// ours is our key.
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
			return "maxAttempts", fmt.Sprintf("maxAttempts: %d", n+1) // the first is none of them
		}
	case t == reflect.TypeFor[Retry]() && word == "maxtokens":
		return "budget", "budget: 20%" // tokens of a throttle are no share: the default
	}
	return "", ""
}

// key returns what is wrong with a key that is unknown, and the one that was probably meant.
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

// meant is the key that was probably meant: the same word spelt otherwise, the word of another system, a misspelling,
// or a key of one of the blocks inside.
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

// tried is what a value would be told in the place of a field: no problem, if it holds.
func (s *suggester) tried(n *yaml.Node, t reflect.Type, f *field) *Problem {
	if s.trial {
		return nil // what is tried makes suggestions too
	}
	return s.try(n, t, f)
}

// told is tried for text as it would stand in the file.
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

// proven is a suggestion for a value at path if it holds: one value, or a list of several in its place.
func (s *suggester) proven(suggestion string, t reflect.Type, f *field, path string, blockList bool) string {
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
	return "" // each would need a line of its own
}

var alternatives = regexp.MustCompile(`^(.*[^:]): (\S+(?:, \S+)*) or (\S+)\?$`)

// offered drops, of the values that a message offers, those that do not hold: 800 has no unit: 800ms or 800s?
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

// keyAndValue is the suggestion for a key that is meant otherwise: with its value if that has to change as well.
func (s *suggester) keyAndValue(ours string, key, value *yaml.Node, f *field, secret bool) string {
	if value.Kind != yaml.ScalarNode || s.quiet || secret || s.vars.expanded[value] != "" {
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

// nested is the suggestion for a key that belongs inside of a block, if that holds: rateLimit: {burst: 5}.
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

// flowText is a short value as it can stand in a { }, or "".
func (s *suggester) flowText(n *yaml.Node) string {
	const most = 80
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
	if text := open + strings.Join(parts, ", ") + end; len(text) <= most {
		return text
	}
	return ""
}

// isTelling tells that text is a number, with a unit or without, in the place of a duration: it may be shown, because no
// secret looks like that.
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

// describe says in a few words what n is.
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

// wrapped is a value written as the list or the block that is wanted, if that holds.
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
		if text = blockOf(n, t.Elem()); text != "" && t != exceptionsType {
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

// namedIn is the list that {a: {…}, b: {…}} was meant for: of blocks with names.
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

// splitList is the list that a word, or several with commas between, stand for.
func (s *suggester) splitList(n *yaml.Node, element reflect.Type, f *field) string {
	var list []string
	for part := range strings.SplitSeq(n.Value, ",") {
		one := *n
		one.Value = strings.TrimSpace(part)
		text := elementOf(&one, element)
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
