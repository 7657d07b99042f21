package config

import (
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// fieldDiffer collects the changes of fields.
type fieldDiffer struct {
	types   structTypes
	changes Changes
	subject string
	at      func(path string) Position
	rule    *ruleEffect // of the rule that is compared; nil: none is
}

func (d *fieldDiffer) add(c Change) { d.changes = append(d.changes, c) }

// changed reports a field of the subject.
func (d *fieldDiffer) changed(path, old, next string, class Class, effect Effect) {
	text := fmt.Sprintf("%s %s → %s", path, orAbsent(path, old), orAbsent(path, next))
	if old == "" && next == "" {
		text = path + " changed"
	}
	d.add(Change{Subject: d.subject, Path: path, Old: old, New: next, Text: text, Class: class, Position: d.at(path), Op: OpChange, Effect: effect})
}

// effect returns the effect of a change of a field.
func (d *fieldDiffer) effect(path string, old, next reflect.Value, how tags) Effect {
	e := how.of(old, next)
	if d.rule != nil {
		e = d.rule.of(path, e)
	}
	return e
}

// orAbsent returns the word for an absent field, which in a match means any.
func orAbsent(path, s string) string {
	switch {
	case s != "":
		return s
	case strings.HasPrefix(path, "match.") && path != "match.except":
		return "any"
	}
	return "none"
}

// structs compares two structs field by field.
func (d *fieldDiffer) structs(path string, old, next reflect.Value, how tags) {
	for _, f := range d.types.of(next.Type()).fields {
		d.values(join(path, f.name), old.FieldByIndex(f.index), next.FieldByIndex(f.index), how.inside(f))
	}
}

// values compares two values of one type.
func (d *fieldDiffer) values(path string, old, next reflect.Value, how tags) {
	t := next.Type()
	switch {
	case t == aroundList:
		a, _ := old.Interface().([]Around)
		b, _ := next.Interface().([]Around)
		d.around(path, a, b, how)
	case t == rawOptionsType:
		d.options(path, optionsOf(old), optionsOf(next), how)
	case t.Kind() == reflect.Pointer && isScalar(t.Elem()):
		d.whole(path, old, next, how)
	case t.Kind() == reflect.Pointer && (old.IsNil() || next.IsNil()):
		d.block(path, old, next, how)
	case t.Kind() == reflect.Pointer:
		d.structs(path, old.Elem(), next.Elem(), how)
	case t.Kind() == reflect.Struct && !isScalar(t):
		d.structs(path, old, next, how)
	case t.Kind() == reflect.Map:
		d.maps(path, old, next, how)
	default:
		d.whole(path, old, next, how)
	}
}

// whole compares two values that are shown as one.
func (d *fieldDiffer) whole(path string, old, next reflect.Value, how tags) {
	if same(old, next) {
		return
	}
	if a, b := written(d.types, old), written(d.types, next); a != b {
		d.changed(path, a, b, how.class, d.effect(path, old, next, how))
	}
}

// same reports without allocating whether two values are equal, as thousands are.
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

// block reports a block that was added or removed.
func (d *fieldDiffer) block(path string, old, next reflect.Value, how tags) {
	switch {
	case old.IsNil() && next.IsNil():
	case old.IsNil():
		added := written(d.types, next)
		d.add(Change{
			Subject: d.subject, Path: path, New: added, Text: fmt.Sprintf("%s added %s", path, added), Class: how.class, Position: d.at(path),
			Op: OpAdd, Effect: d.effect(path, old, next, how),
		})
	default:
		d.add(Change{
			Subject: d.subject, Path: path, Old: written(d.types, old), Text: path + " removed", Class: how.class, Position: d.at(path),
			Op: OpRemove, Effect: d.effect(path, old, next, how),
		})
	}
}

func (d *fieldDiffer) maps(path string, old, next reflect.Value, how tags) {
	for _, key := range sortedKeys(old, next) {
		a, b := "", ""
		if v := old.MapIndex(key); v.IsValid() {
			a = written(d.types, v)
		}
		if v := next.MapIndex(key); v.IsValid() {
			b = written(d.types, v)
		}
		if a != b {
			d.changed(join(path, key.String()), a, b, how.class, d.effect(path, old, next, how))
		}
	}
}

// options compares options of a handler by key.
func (d *fieldDiffer) options(path string, old, next RawOptions, how tags) {
	a, _ := old.plain().(map[string]any)
	b, _ := next.plain().(map[string]any)
	va, vb := reflect.ValueOf(a), reflect.ValueOf(b)
	for _, key := range sortedKeys(va, vb) {
		x, y := a[key.String()], b[key.String()]
		if reflect.DeepEqual(x, y) {
			continue
		}
		d.changed(join(path, key.String()), harmless(key.String(), x), harmless(key.String(), y), how.class, how.unordered())
	}
}

// around compares two lists of interceptors: which there are in which order, and the options of those that stay.
func (d *fieldDiffer) around(path string, old, next []Around, how tags) {
	names := func(list []Around) reflect.Value {
		all := make([]string, len(list))
		for i := range list {
			all[i] = list[i].Name
		}
		return reflect.ValueOf(all)
	}
	d.whole(path, names(old), names(next), how)
	for i := range next {
		for j := range old {
			if old[j].Name == next[i].Name {
				d.options(fmt.Sprintf("%s[%d].options", path, i), old[j].Options, next[i].Options, how)
			}
		}
	}
}

// secretWords are parts of option names whose values are never shown, not even numbers.
var secretWords = []string{"pass", "pin", "secret", "token", "key", "auth", "cred", "code", "salt", "seed"}

// hidden replaces values that may be secrets.
const hidden = "…"

// harmless shows values that cannot be secrets: booleans, and numbers and durations unless the name suggests one.
func harmless(name string, v any) string {
	isSecret := func(word string) bool { return strings.Contains(strings.ToLower(name), word) }
	switch v := v.(type) {
	case nil:
		return ""
	case bool:
		return fmt.Sprint(v)
	case int64, float64:
		if !slices.ContainsFunc(secretWords, isSecret) {
			return fmt.Sprint(v)
		}
	case string:
		if d, err := time.ParseDuration(v); err == nil && !slices.ContainsFunc(secretWords, isSecret) {
			return Duration(d).String()
		}
	}
	return hidden
}

func sortedKeys(a, b reflect.Value) []reflect.Value {
	keys := a.MapKeys()
	for _, k := range b.MapKeys() {
		if !a.MapIndex(k).IsValid() {
			keys = append(keys, k)
		}
	}
	slices.SortFunc(keys, func(x, y reflect.Value) int { return strings.Compare(x.String(), y.String()) })
	return keys
}

// oneLine returns text for one line of a log.
func oneLine(s string) string {
	if s = clip(s); strings.ContainsFunc(s, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(s)
	}
	return s
}

// written returns a value on one line: 500ms, [a, b], {max: 5}. Defaults are left out.
func written(types structTypes, v reflect.Value) string {
	t := v.Type()
	switch {
	case t.Kind() == reflect.Pointer && v.IsNil():
		return ""
	case t.Kind() == reflect.Pointer:
		return written(types, v.Elem())
	case t == rawOptionsType:
		return "{…}"
	case t.Kind() == reflect.String:
		return oneLine(v.String())
	case isScalar(t):
		return show(v)
	case t.Kind() == reflect.Slice && v.Len() == 0:
		return ""
	case t.Kind() == reflect.Slice:
		parts := make([]string, v.Len())
		for i := range parts {
			parts[i] = written(types, v.Index(i))
		}
		if (t == patternsType || t == keyType || oneOrList[t]) && len(parts) == 1 {
			return parts[0]
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case t.Kind() == reflect.Struct:
		var parts []string
		for _, f := range types.of(t).fields {
			fv := v.FieldByIndex(f.index)
			if text := written(types, fv); text != "" && !fv.IsZero() && !isOff(fv, f) {
				parts = append(parts, f.name+": "+text)
			}
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case t.Kind() == reflect.Map && t.Key().Kind() == reflect.String:
		var parts []string
		for _, key := range sortedKeys(v, v) {
			parts = append(parts, oneLine(key.String())+": "+written(types, v.MapIndex(key)))
		}
		if len(parts) == 0 {
			return ""
		}
		return "{" + strings.Join(parts, ", ") + "}"
	default:
		return fmt.Sprint(v.Interface())
	}
}
