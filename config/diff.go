package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Change is one difference between two sets.
type Change struct {
	Subject  string   `json:"subject"`        // the rule, service or listener by name; or a block of the manifest
	Path     string   `json:"path,omitempty"` // inside the subject; empty when the subject itself was added or removed
	Old      string   `json:"old,omitempty"`
	New      string   `json:"new,omitempty"`
	Text     string   `json:"text"` // in words, without subject and place: rateLimit.rate 500 → 1
	Class    Class    `json:"class"`
	Position Position `json:"position,omitzero"` // in the new set; in the old one for what was removed
}

// Changes are the differences: of the manifest in its order, then of the rules in the order of the new set, then what
// was removed.
type Changes []Change

// Class is the strongest class among the changes; Live when there are none.
func (c Changes) Class() Class {
	strongest := Live
	for _, change := range c {
		if change.Class.weight() > strongest.weight() {
			strongest = change.Class
		}
	}
	return strongest
}

// Pending are the changes that take effect with the next start only.
func (c Changes) Pending() Changes {
	var pending Changes
	for _, change := range c {
		if change.Class == Restart {
			pending = append(pending, change)
		}
	}
	return pending
}

// String is all lines in one.
func (c Changes) String() string { return strings.Join(c.Lines(), "; ") }

// Lines has one line for each subject: "arith-mul: rateLimit.rate 500 → 1, burst 1000 → 1 (policies.yaml:4)".
func (c Changes) Lines() []string {
	var lines []string
	for i := 0; i < len(c); {
		first, end := c[i], i+1
		texts := []string{first.Text}
		for ; end < len(c) && first.joins(c[end]); end++ {
			texts = append(texts, withoutParent(c[end-1].Path, c[end]))
		}
		line := strings.Join(texts, ", ")
		if first.Path != "" && first.Subject != "" {
			line = first.Subject + ": " + line
		}
		if !first.Position.IsZero() {
			line += " (" + first.Position.String() + ")"
		}
		lines = append(lines, line)
		i = end
	}
	return lines
}

// joins tells that the changes stand in one line: of one subject, or else of one block of the manifest.
func (c Change) joins(next Change) bool {
	if c.Path == "" || next.Path == "" || c.Subject != next.Subject {
		return false
	}
	block := func(path string) string { return strings.SplitN(path, ".", 2)[0] }
	return c.Subject != "" || block(c.Path) == block(next.Path)
}

// withoutParent is the text of a change, without the block that the one before it named already.
func withoutParent(before string, c Change) string {
	if p := parent(c.Path); p != "" && p == parent(before) {
		return strings.TrimPrefix(c.Text, p+".")
	}
	return c.Text
}

// Diff tells how the meaning of next differs from that of old: fields by value with their defaults, rules, services and
// listeners by name. Order, comments and spelling do not count. Nothing that may be secret is shown.
func Diff(old, next *Set) Changes {
	d := &differ{types: newDecoder("", nil)}
	if old.Manifest != nil && next.Manifest != nil {
		d.manifest(old.Manifest, next.Manifest)
	}
	d.rules(old.Rules, next.Rules)
	d.tokens(old.Tokens, next.Tokens)
	d.contents(old, next)
	return d.changes
}

// differ collects changes.
type differ struct {
	types   *decoder // for what the tags say
	changes Changes

	subject string
	at      func(path string) Position
}

func (d *differ) add(c Change) { d.changes = append(d.changes, c) }

// changed reports one field of the subject.
func (d *differ) changed(path, old, next string, class Class) {
	text := fmt.Sprintf("%s %s → %s", path, orAbsent(path, old), orAbsent(path, next))
	if old == "" && next == "" {
		text = path + " changed"
	}
	d.add(Change{Subject: d.subject, Path: path, Old: old, New: next, Text: text, Class: class, Position: d.at(path)})
}

// orAbsent is the word for a field that is not given, which in a match is all but nothing.
func orAbsent(path, s string) string {
	switch {
	case s != "":
		return s
	case strings.HasPrefix(path, "match.") && path != "match.except":
		return "any"
	}
	return "none"
}

// structs compares two structs of one type, field by field.
func (d *differ) structs(path string, old, next reflect.Value, class Class) {
	for _, f := range d.types.structType(next.Type()).fields {
		inside := class
		if f.class != "" {
			inside = f.class
		}
		d.values(join(path, f.name), old.FieldByIndex(f.index), next.FieldByIndex(f.index), inside)
	}
}

// values compares two values of one type.
func (d *differ) values(path string, old, next reflect.Value, class Class) {
	t := next.Type()
	switch {
	case t == rawOptionsType:
		d.options(path, optionsOf(old), optionsOf(next), class)
	case t.Kind() == reflect.Slice && isListOfBlocks(t) || t.Kind() == reflect.Slice && isScalar(t.Elem()):
		d.whole(path, old, next, class)
	case t.Kind() == reflect.Pointer && isScalar(t.Elem()):
		d.whole(path, old, next, class)
	case t.Kind() == reflect.Pointer && (old.IsNil() || next.IsNil()):
		d.block(path, old, next, class)
	case t.Kind() == reflect.Pointer:
		d.structs(path, old.Elem(), next.Elem(), class)
	case t.Kind() == reflect.Struct && !isScalar(t):
		d.structs(path, old, next, class)
	case t.Kind() == reflect.Map:
		d.maps(path, old, next, class)
	default:
		d.whole(path, old, next, class)
	}
}

func isListOfBlocks(t reflect.Type) bool {
	return t.Elem().Kind() == reflect.Struct && !isScalar(t.Elem())
}

// whole compares two values that are shown as one.
func (d *differ) whole(path string, old, next reflect.Value, class Class) {
	if same(old, next) {
		return
	}
	if a, b := written(old), written(next); a != b {
		d.changed(path, a, b, class)
	}
}

// same tells without allocating that two values are equal, for the thousands that are.
func same(a, b reflect.Value) bool {
	if a.Kind() == reflect.Pointer && !a.IsNil() && !b.IsNil() {
		a, b = a.Elem(), b.Elem()
	}
	if a.Kind() == reflect.Slice {
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !same(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	}
	return a.Comparable() && a.Equal(b)
}

// block reports a block that came or went.
func (d *differ) block(path string, old, next reflect.Value, class Class) {
	switch {
	case old.IsNil() && next.IsNil():
	case old.IsNil():
		d.add(Change{Subject: d.subject, Path: path, New: written(next), Text: fmt.Sprintf("%s added %s", path, written(next)), Class: class, Position: d.at(path)})
	default:
		d.add(Change{Subject: d.subject, Path: path, Old: written(old), Text: path + " removed", Class: class, Position: d.at(path)})
	}
}

func (d *differ) maps(path string, old, next reflect.Value, class Class) {
	for _, key := range sortedKeys(old, next) {
		a, b := "", ""
		if v := old.MapIndex(key); v.IsValid() {
			a = written(v)
		}
		if v := next.MapIndex(key); v.IsValid() {
			b = written(v)
		}
		if a != b {
			d.changed(join(path, key.String()), a, b, class)
		}
	}
}
