package config

import (
	"bytes"
	"cmp"
	"errors"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// ParseShare parses a ratio as files have it, such as 10% or 0.1.
func ParseShare(text string) (Share, error) {
	value, message, suggestion := parseShare(plainTag(text), text)
	switch {
	case message == "":
		return Share(value), nil
	case suggestion != "":
		message += " (did you mean " + suggestion + "?)"
	}
	return 0, errors.New(message)
}

// Promoted returns the text of the file of a rule, in which the rule, if it has a mode, has mode: enforce, and has enforceShare only
// if share is less than 1. All else stays as it is written, comments included.
func Promoted(r *Rule, text []byte, share Share) ([]byte, error) {
	root, _, problem := parse(text)
	if problem != nil {
		problem.File = r.at.file
		return nil, Problems{*problem}
	}
	bare := bytes.TrimPrefix(text, []byte(byteOrderMark))
	p := promotion{rule: r, text: bare, mapping: mappingNamed(root, r.Position("name"))}
	if p.mapping == nil {
		p.fail("name")
		return nil, p.problems
	}
	p.replace("mode", string(Enforce))
	switch has := hasKey(p.mapping, "enforceShare"); {
	case has && share == 1:
		p.remove("enforceShare")
	case has:
		p.replace("enforceShare", share.String())
	case share < 1:
		p.insert("enforceShare", share.String(), "mode")
	}
	edited := p.edited()
	if now, _, problem := parse(edited); len(p.problems) == 0 && (problem != nil || !sameNodes(root, now)) {
		p.fail("mode") // such as a file with other ends of lines, which the positions count
	}
	return slices.Concat(text[:len(text)-len(bare)], edited), p.problems.Err()
}

// sameNodes reports whether two nodes have the same content, wherever they are.
func sameNodes(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Value == b.Value && a.Anchor == b.Anchor && slices.EqualFunc(a.Content, b.Content, sameNodes)
}

// mappingNamed returns the mapping whose name is at a position; nil: none.
func mappingNamed(root *yaml.Node, at Position) *yaml.Node {
	for todo := []*yaml.Node{root}; len(todo) > 0; {
		n := todo[len(todo)-1]
		todo = append(todo[:len(todo)-1], n.Content...)
		if n.Kind != yaml.MappingNode {
			continue
		}
		if name := valueOf(n, "name"); name != nil && name.Line == at.Line && name.Column == at.Column {
			return n
		}
	}
	return nil
}

// promotion edits the text of a rule, and its nodes alike.
type promotion struct {
	rule     *Rule
	text     []byte
	mapping  *yaml.Node
	edits    []textEdit
	problems Problems
}

// textEdit puts words in place of a part of a text.
type textEdit struct {
	from, to int
	words    string
}

// replace edits the value of a key. Without the key it does nothing.
func (p *promotion) replace(key, value string) {
	old := valueOf(p.mapping, key)
	if old == nil {
		return
	}
	quote := quoteOf(old)
	p.edit(key, old, quote+old.Value+quote, func(string) string { return quote + value + quote })
	old.Value = value
}

// insert adds a key and its value before another key.
func (p *promotion) insert(key, value, before string) {
	i := 0
	for i < len(p.mapping.Content) && p.mapping.Content[i].Value != before {
		i += 2
	}
	if i >= len(p.mapping.Content) {
		p.fail(before)
		return
	}
	at := p.mapping.Content[i]
	quote, next := quoteOf(at), "\n"+strings.Repeat(" ", at.Column-1)
	switch {
	case p.mapping.Style&yaml.FlowStyle != 0:
		next = ", "
	case bytes.Contains(p.text, []byte("\r\n")):
		next = "\r" + next
	}
	p.edit(before, at, quote+before+quote, func(is string) string { return quote + key + quote + ": " + quote + value + quote + next + is })
	p.mapping.Content = slices.Insert(p.mapping.Content, i, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, &yaml.Node{Kind: yaml.ScalarNode, Value: value})
}

// remove removes a key, which is not the only one, and its value.
func (p *promotion) remove(key string) {
	i := 0
	for p.mapping.Content[i].Value != key {
		i += 2
	}
	name, value := p.mapping.Content[i], p.mapping.Content[i+1]
	from, at := offsetOf(p.text, name.Line, name.Column), offsetOf(p.text, value.Line, value.Column)
	written := quoteOf(value) + value.Value + quoteOf(value)
	if value.Kind != yaml.ScalarNode || !bytes.HasPrefix(p.text[at:], []byte(written)) {
		p.fail(key)
		return
	}
	to := at + len(written)
	if i+2 < len(p.mapping.Content) {
		next := p.mapping.Content[i+2]
		if end := offsetOf(p.text, next.Line, next.Column); !bytes.Contains(p.text[to:end], []byte("#")) { // comments stay
			to = end
		}
	} else {
		from = len(bytes.TrimRight(p.text[:from], " \t\r\n"))
		if p.mapping.Style&yaml.FlowStyle != 0 {
			from = len(bytes.TrimSuffix(p.text[:from], []byte(",")))
		}
	}
	p.edits = append(p.edits, textEdit{from, to, ""})
	p.mapping.Content = slices.Delete(p.mapping.Content, i, i+2)
}

// edit puts words in place of a node, which must be written as it is expected.
func (p *promotion) edit(key string, n *yaml.Node, written string, words func(string) string) {
	at := offsetOf(p.text, n.Line, n.Column)
	if n.Kind != yaml.ScalarNode || !bytes.HasPrefix(p.text[at:], []byte(written)) {
		p.fail(key)
		return
	}
	p.edits = append(p.edits, textEdit{at, at + len(written), words(written)})
}

func (p *promotion) fail(key string) {
	p.problems = append(p.problems, p.rule.Position(key).Problem(join(p.rule.path, key), "cannot be changed by command: edit the file"))
}

// edited returns the text with the edits.
func (p *promotion) edited() []byte {
	text := p.text
	slices.SortFunc(p.edits, func(a, b textEdit) int { return cmp.Compare(b.from, a.from) })
	for _, e := range p.edits { // the last one first, so that the offsets of the others stay
		text = slices.Concat(text[:e.from], []byte(e.words), text[e.to:])
	}
	return text
}

// quoteOf returns the quote of a scalar, if it has one.
func quoteOf(n *yaml.Node) string {
	switch {
	case n.Style&yaml.DoubleQuotedStyle != 0:
		return `"`
	case n.Style&yaml.SingleQuotedStyle != 0:
		return "'"
	}
	return ""
}
